"""Worker processes that are there at once and take turns, repeat by repeat."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..children.memory import available_bytes, resident_bytes
from ..children.protocol import OnProgress
from ..children.question import asked
from ..errors import EngineError, ProfileFormatError
from ..models.resolve import check_source
from ..settings.capture import CaptureConfig
from .prompt_file import check_prompt

if TYPE_CHECKING:
    from ..profiles.records.meta import Model
    from ..views import Profile

_MODULE = "slmprof.capture.worker"


class Worker:
    """A worker process of a configuration, and then the profile that it gave.

    The worker only spools; whatever becomes of it, what it spooled is put together here.

    Attributes:
        error: why it failed, where it did; with the profile of its complete repeats, if any.
        profile: of one that `run_round` has run.
    """

    profile: Profile

    def __init__(self, config: CaptureConfig, on_progress: OnProgress) -> None:
        self.config, self.on_progress = config, on_progress
        self.error: EngineError | None = None

    @contextlib.contextmanager
    def started(self, *, takes_turns: bool) -> Iterator[None]:
        """Starts the process, which is gone afterwards, with its files.

        Raises:
            ModelError, UsageError: MODEL or the prompt is no file that it could read.
            EngineError: the system starts no process.
        """
        check_source(self.config.source)
        if self.config.prompt_file is not None:
            check_prompt(self.config.prompt_file)
        question = {"config": self.config.to_json(), "takes_turns": takes_turns}
        timeout = self.config.timeout
        with contextlib.ExitStack() as ends:
            try:
                self._answer = ends.enter_context(
                    asked(_MODULE, question, "runs llama.cpp", timeout=timeout)
                )
            except EngineError as error:
                self.error = error
                raise
            yield

    def take_turn(self) -> bool:
        """Lets it load the model and warm up, or make its next repeat.

        Returns:
            Whether there is more to come.

        Raises:
            As `slmprof.profile`.
        """
        try:
            return self._answer.take_turn(self.on_progress)
        except EngineError as error:
            self.error = error
            # What was measured before is not lost when it forms complete repeats.
            with contextlib.suppress(ProfileFormatError, OSError):
                partial = self._assemble(str(error))
                if partial.meta.run.n_repeats_done:
                    # A file that was cut off while it was mapped ends the worker, too.
                    _check_model(partial.meta.model)
                    error.profile = partial
            raise

    def collect(self) -> None:
        """Makes the profile, of a process that has ended and whose files are still there."""
        self.profile = self._assemble()

    @property
    def resident_bytes(self) -> int:
        """What the process has in memory now."""
        return resident_bytes(self._answer.child.pid)

    def _assemble(self, error: str | None = None) -> Profile:
        from ..profiles.storage.assemble import assemble
        from ..views import Profile

        return Profile.of(assemble(self._answer.folder, error=error))


def run_round(workers: Sequence[Worker]) -> None:
    """Runs workers side by side, of which only one does something at a time.

    All are loaded and warmed up, one after the other; then each makes a repeat, there and back
    through them. Where memory would not hold one more, those that are there are run to their end
    first.

    Raises:
        As `slmprof.profile`, of the first that fails; the others are ended.
    """
    with contextlib.ExitStack() as ends:
        waiting: list[Worker] = []
        for worker in workers:
            if waiting and not _has_room(waiting):
                _run_to_end(waiting)
                waiting = []
            ends.enter_context(worker.started(takes_turns=len(workers) > 1))
            if worker.take_turn():
                waiting.append(worker)
        _run_to_end(waiting)
        for worker in workers:
            worker.collect()


def _run_to_end(workers: Sequence[Worker]) -> None:
    waiting = list(workers)
    while waiting:
        waiting = [worker for worker in waiting if worker.take_turn()][::-1]


def _has_room(workers: Sequence[Worker]) -> bool:
    """Whether memory holds one more of the size of the largest."""
    available = available_bytes()
    if available is None:
        return True
    sizes = [worker.resident_bytes for worker in workers]
    # What is mapped counts as available, and is not: it would have to be read again and again.
    return available - sum(sizes) > max(sizes)


def _check_model(model: Model) -> None:
    """Raises CaptureError where the file is no longer the one that the worker opened."""
    from msgspec import UNSET

    from ..models.identity import check_unchanged

    if model.path is not None and model.identity is not UNSET:
        check_unchanged(Path(model.path), model.identity)

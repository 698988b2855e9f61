"""A capture in a worker process, so that nothing that llama.cpp does can end the caller's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..children.protocol import OnProgress, Progress
from ..children.question import asked
from ..errors import EngineError, ProfileFormatError
from ..settings.capture import CaptureConfig

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..profiles.records.meta import Model
    from ..settings.keywords import ProfileKeywords
    from ..views import Profile

_WORKER = "slmprof.capture.worker"


def profile(
    model: str | os.PathLike[str],
    *,
    on_progress: OnProgress | None = None,
    **settings: Unpack[ProfileKeywords],
) -> Profile:
    """Measures prefill and decode of a model in a worker process.

    Args:
        model: a GGUF file, `preset:NAME[@TYPE]` or a Hugging Face `config.json`.
        on_progress: called with a Progress as the run goes on.
        settings: the other options of `slmprof breakdown --help`, by their names in
            `slmprof.settings.table`: `n_prompt`, `threads`, `repeats`, `timeout`, …

    Raises:
        UsageError: an invalid setting; ModelError: the model is unusable;
        EngineError: llama.cpp refused or died (`log_lines`, and in `profile` what complete
        repeats gave); CaptureError: the measurement could not be made here.
    """
    config = CaptureConfig.from_json({"model": os.fspath(model), **settings})
    return profile_in_worker(config, on_progress or (lambda _: None))


def profile_in_worker(config: CaptureConfig, on_progress: OnProgress) -> Profile:
    """As `profile`, from a configuration."""
    from .scaling import compared_threads, measure_scaling

    if config.scaling:
        compared_threads(config.n_threads)
    found = interleaved([config], config.processes, on_progress)[0]
    if not config.scaling:
        return found
    scaling = measure_scaling(config, profile_in_one_process, on_progress)
    return replace(found, meta=found.meta.replace(scaling=scaling))


def interleaved(
    configs: Sequence[CaptureConfig], n_processes: int, on_progress: OnProgress
) -> list[Profile]:
    """Measures each configuration in so many processes, in turns; see `in_turns`.

    Returns:
        For each configuration one profile, with the steps of all its processes.
    """
    from ..profiles.merging import merge_processes
    from ..views import Profile

    found = in_turns(configs, n_processes, on_progress)
    return [Profile.of(merge_processes(profiles)) for profiles in found]


def in_turns(
    configs: Sequence[CaptureConfig],
    n_processes: int,
    on_progress: OnProgress,
    names: Sequence[str] = (),
    done: list[list[Profile]] | None = None,
) -> list[list[Profile]]:
    """Measures each configuration in so many processes, one after another and in turns.

    Every process warms up and makes all repeats of its configuration. In a round each configuration
    has one process; the next round has them in the reverse order. So a machine that drifts does so
    for all, and what runs first in a round is not the same one each time.

    Args:
        configs: what to measure; `processes` of each is not looked at.
        on_progress: called with how far all processes are.
        names: what to call the configurations there.
        done: an empty list for each configuration, to have what was measured before one fails.

    Returns:
        For each configuration the profile of each process: `done`, where that is given.

    Raises:
        As `profile`. EngineError has in `profile` what the complete repeats of the configuration
        that failed gave, of all its processes.
    """
    done = [[] for _ in configs] if done is None else done
    places = range(len(configs))
    turns = [(n, place) for n in range(n_processes) for place in places[:: -1 if n % 2 else 1]]
    for number, (process, place) in enumerate(turns):
        config, found = configs[place], done[place]
        told = on_progress
        if len(turns) > 1:
            which = f"{names[place]}, " if names else ""
            told = _of_turn(
                on_progress, number, len(turns), f"{which}process {process + 1}", n_processes
            )
        try:
            made = profile_in_one_process(config, told)
        except EngineError as error:
            kept = found if error.profile is None else [*found, error.profile]
            if kept:
                error.profile = _incomplete(kept, n_processes * config.repeats, str(error))
            raise
        _check_same_model([*found, made])
        found.append(made)
    return done


def profile_in_one_process(config: CaptureConfig, on_progress: OnProgress) -> Profile:
    """What one worker process gives; `processes` of the configuration is not looked at.

    The worker only spools; whatever becomes of it, what it spooled is put together here.
    """
    from ..profiles.storage.assemble import assemble
    from ..views import Profile

    with asked(_WORKER, config.to_json(), "runs llama.cpp", timeout=config.timeout) as answer:
        try:
            answer.wait(on_progress)
        except EngineError as error:
            # What was measured before is not lost when it forms complete repeats.
            with contextlib.suppress(ProfileFormatError, OSError):
                partial = Profile.of(assemble(answer.folder, error=str(error)))
                if partial.meta.run.n_repeats_done:
                    # A file that was cut off while it was mapped ends the worker, too.
                    _check_model(partial.meta.model)
                    error.profile = partial
            raise
        return Profile.of(assemble(answer.folder))


def _of_turn(
    on_progress: OnProgress, number: int, n_turns: int, process: str, n_processes: int
) -> OnProgress:
    """Progress of one of several workers as progress of all."""

    def told(progress: Progress) -> None:
        stage = f"{process} of {n_processes}: {progress.stage}"
        done = number * progress.total + progress.done
        on_progress(replace(progress, stage=stage, done=done, total=n_turns * progress.total))

    return told


def _incomplete(found: Sequence[Profile], n_repeats: int, error: str) -> Profile:
    """What several processes gave before one failed."""
    from ..profiles.merging import merge_processes
    from ..views import Profile

    data = merge_processes(found)
    meta = data.meta.replace_run(n_repeats=n_repeats, complete=False, error=error)
    return Profile.of(replace(data, meta=meta))


def _check_same_model(found: Sequence[Profile]) -> None:
    """Raises CaptureError where the last process measured another file than the first."""
    from msgspec import UNSET

    from ..models.identity import check_same

    first, last = found[0].meta.model, found[-1].meta.model
    if first.path is not None and first.identity is not UNSET and last.identity is not UNSET:
        check_same(Path(first.path), first.identity, last.identity, "between two processes")


def _check_model(model: Model) -> None:
    """Raises CaptureError where the file is no longer the one that the worker opened."""
    from msgspec import UNSET

    from ..models.identity import check_unchanged

    if model.path is not None and model.identity is not UNSET:
        check_unchanged(Path(model.path), model.identity)

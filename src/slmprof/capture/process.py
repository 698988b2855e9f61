"""A capture in a worker process, so that nothing that llama.cpp does can end the caller's."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..children.protocol import OnProgress
from ..children.question import asked
from ..errors import EngineError, ProfileFormatError
from ..settings.capture import CaptureConfig

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..profiles.meta import Model
    from ..settings.keywords import RunKeywords
    from ..views import Profile

_WORKER = "slmprof.capture.worker"


def profile(
    model: str | os.PathLike[str],
    *,
    on_progress: OnProgress | None = None,
    **settings: Unpack[RunKeywords],
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
    """As `profile`, from a configuration.

    The worker only spools; whatever becomes of it, what it spooled is put together here.
    """
    from ..profiles.storage.assemble import assemble
    from ..views import Profile

    question = config.to_json()
    with asked(_WORKER, question, "runs llama.cpp", timeout=config.timeout) as answer:
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


def _check_model(model: Model) -> None:
    """Raises CaptureError where the file is no longer the one that the worker opened."""
    from msgspec import UNSET

    from ..models.identity import check_unchanged

    if model.path is not None and model.identity is not UNSET:
        check_unchanged(Path(model.path), model.identity)

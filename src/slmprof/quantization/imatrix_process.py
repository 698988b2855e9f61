"""Importances, collected in a child process, so that nothing can end the caller's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..children.protocol import OnProgress
from ..children.question import asked
from ..errors import UsageError
from ..models.resolve import check_source
from ..settings.model_source import ModelSource
from ..settings.scoring import ImatrixSettings
from .collection import FILE_NAME
from .output import check_output

_WORKER = "slmprof.quantization.imatrix_worker"


@dataclass(frozen=True)
class Collected:
    """What an importance matrix was made of."""

    n_chunks: int
    n_tokens: int
    n_tensors: int


def collect_importances(
    model: str | os.PathLike[str],
    text: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: ImatrixSettings,
    *,
    overwrite: bool = True,
    timeout: float | None = None,
    on_progress: OnProgress | None = None,
) -> Collected:
    """Runs a text through a model and writes how much each column of its weights counts.

    Args:
        model: a GGUF file.
        output: the file to write. It appears whole or not at all.

    Raises:
        UsageError: the text is none or too short, the weights are random, or a path that cannot be
            written. ModelError: the model is unusable. EngineError: llama.cpp died, or the time was
            over.
    """
    source = ModelSource.parse(model)
    check_source(source)
    target = check_output(model, Path(output), overwrite)
    question = {"model": source.text, "text": os.fspath(text), "settings": settings.to_json()}
    what = "collects importances"
    try:
        with asked(_WORKER, question, what, "", timeout, folder_in=target.parent) as answer:
            found = answer.wait(on_progress)
            Path(answer.folder, FILE_NAME).replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror or error}") from None
    return Collected(**found)

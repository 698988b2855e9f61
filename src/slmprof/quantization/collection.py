"""Importances of a model's weights on a text; runs in the child process."""

from __future__ import annotations

import functools
from pathlib import Path

from ..children.native_errors import guarded
from ..children.protocol import OnProgress, Progress
from ..errors import UsageError
from ..settings.scoring import ImatrixSettings
from .importance import write_imatrix
from .texts import chunks_of, open_engine, read_text, trained_model

FILE_NAME = "imatrix.gguf"


def collect(
    model: str, text: str, settings: ImatrixSettings, folder: Path, on_progress: OnProgress
) -> dict[str, int]:
    """Runs the text and leaves the file in a folder, as `FILE_NAME`, synced.

    Returns:
        How many chunks, tokens and weights there were.

    Raises:
        UsageError: the text is none, or the model cannot read it. ModelError: the model is
            unusable. EngineError: llama.cpp failed, or a weight met what is not finite.
    """
    from .. import _core

    content = read_text(Path(text))
    opened = trained_model(model, "importances", on_progress)
    engine = open_engine(opened, settings)
    chunks = chunks_of(engine, content, settings, text)
    sums = _core.ImportanceSums(takes_head=settings.head)

    def add(number: int) -> None:
        on_progress(Progress("collecting importances", number, len(chunks)))
        engine.truncate(0)
        sums.add(engine, chunks[number])

    for number in range(len(chunks)):
        guarded(opened.path, functools.partial(add, number))
    found = sums.sums()
    if not found:
        raise UsageError(f"{model} has no weights that importances are counted of")
    target = folder / FILE_NAME
    write_imatrix(
        target, found, dataset=Path(text).name, n_chunks=len(chunks), n_ctx=settings.n_ctx
    )
    return {"n_chunks": len(chunks), "n_tokens": int(chunks.size), "n_tensors": len(found)}

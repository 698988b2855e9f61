"""Quality, measured in a child process, so that nothing can end the caller's."""

from __future__ import annotations

import os

from ...children.protocol import OnProgress
from ...children.question import asked
from ...models.resolve import check_source
from ...profiles.records.decoding import decode
from ...settings.model_source import ModelSource
from ...settings.scoring import QualitySettings
from .records import Quality

_WORKER = "slmprof.quantization.quality.worker"


def measure_quality(
    model: str | os.PathLike[str],
    reference: str | os.PathLike[str] | None,
    text: str | os.PathLike[str],
    settings: QualitySettings,
    *,
    timeout: float | None = None,
    on_progress: OnProgress | None = None,
) -> Quality:
    """What a model is worth on a text, and how far it is from a reference.

    Args:
        model, reference: GGUF files with the same vocabulary.

    Raises:
        UsageError: the text is none or too short, weights are random, or the two models cannot be
            compared. ModelError: a file is unusable. EngineError: llama.cpp died, or the time was
            over.
    """
    for one in (model, *([] if reference is None else [reference])):
        check_source(ModelSource.parse(one))
    question = {
        "model": ModelSource.parse(model).text,
        "reference": ModelSource.parse(reference).text if reference is not None else None,
        "text": os.fspath(text),
        "settings": settings.to_json(),
    }
    with asked(_WORKER, question, "measures quality", "", timeout, has_files=False) as answer:
        return decode(Quality, answer.wait(on_progress))

"""Recipes, tried and carried out in a child process, so that nothing can end the caller's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..children.protocol import OnProgress
from ..children.question import asked
from ..errors import UsageError
from ..models.resolve import check_source
from ..profiles.records.decoding import decode
from ..settings.model_source import ModelSource
from ..settings.recipe import Recipe
from ..system.cores import default_threads
from .output import check_output
from .records import FILE_NAME, QuantizationPlan

_WORKER = "slmprof.quantization.worker"


def plan(
    model: str | os.PathLike[str], recipe: Recipe, *, timeout: float | None = None
) -> QuantizationPlan:
    """What a recipe would make of a model; no weight is read.

    Raises:
        UsageError: a recipe that cannot be followed. ModelError: the model is unusable.
        EngineError: llama.cpp died, or the time was over.
    """
    question = _question(model, recipe, makes=False)
    with asked(_WORKER, question, "plans a quantization", timeout=timeout) as answer:
        return decode(QuantizationPlan, answer.wait())


def make(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    recipe: Recipe,
    *,
    threads: int | None = None,
    overwrite: bool = True,
    timeout: float | None = None,
    on_progress: OnProgress | None = None,
) -> QuantizationPlan:
    """Quantizes a model with llama.cpp's own quantizer.

    Args:
        output: the file to write. It appears whole or not at all.
        overwrite: replace an existing file instead of raising UsageError.

    Raises:
        UsageError: a recipe that cannot be followed, or a path that cannot be written.
        ModelError: the model is unusable. EngineError: llama.cpp died, or the time was over.
    """
    target = check_output(model, Path(output), overwrite)
    question = _question(model, recipe, makes=True, n_threads=threads or default_threads())
    try:
        with asked(_WORKER, question, "quantizes", "", timeout, folder_in=target.parent) as answer:
            made = decode(QuantizationPlan, answer.wait(on_progress))
            Path(answer.folder, FILE_NAME).replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror or error}") from None
    return made


def _question(
    model: str | os.PathLike[str], recipe: Recipe, *, makes: bool, n_threads: int = 1
) -> dict[str, Any]:
    check_source(ModelSource.parse(model))  # what is no MODEL needs no child
    return {
        "model": ModelSource.parse(model).text,  # what is none needs no child
        "recipe": recipe.to_json(),
        "makes": makes,
        "n_threads": n_threads,
    }

"""The process that asks llama.cpp's quantizer: `python -m slmprof.quantization.worker`.

Its question is a MODEL, a recipe, and whether a file is to be made; its answer the plan.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import _core
from ..children.protocol import OnProgress
from ..children.serving import serve
from ..models.outline import outline
from ..settings.recipe import Recipe
from .importance import read_imatrix
from .make import make
from .plan import obstacle, plan_quantization, source_of
from .schemes.loading import load_scheme


def _answer(question: dict[str, Any], folder: str, on_progress: OnProgress) -> dict[str, Any]:
    _core.log_to_stderr(True)
    model, recipe = str(question["model"]), Recipe.from_json(question["recipe"])
    if question["makes"]:
        plan = make(model, recipe, Path(folder), int(question["n_threads"]), on_progress)
        return plan.to_json()
    imatrix = read_imatrix(Path(recipe.imatrix)) if recipe.imatrix is not None else None
    source = source_of(model)
    scheme = load_scheme(recipe.scheme) if recipe.scheme is not None else None
    path = outline(source, Path(folder), file_type=source.file_type)
    plan = plan_quantization(model, path, recipe, imatrix, scheme)
    if reason := obstacle(plan, recipe, imatrix):
        notes = (*plan.notes, f"`quant make` refuses this: {reason}")
        plan = plan.replace(notes=notes, obstacle=reason)
    return plan.to_json()


if __name__ == "__main__":
    serve("quantize", _answer)

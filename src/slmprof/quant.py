"""Quantization in Python: recipes, and what they make of a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .quantization.process import make, plan
from .quantization.schemes.scheme import Scheme as Scheme
from .settings.recipe import Recipe as Recipe

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

    from .settings.keywords import RecipeKeywords

__all__ = ["Recipe", "Scheme", "apply", "dry_run", "recipe"]


def recipe(**settings: Unpack[RecipeKeywords]) -> Recipe:
    """Which type each weight is to get, in llama-quantize's words: `file_type`, `tensor_type`, …

    Args:
        settings: `scheme` is the place of one (`FILE.py:NAME`), or a class or function that stands
            in a file.

    Raises:
        UsageError: an unknown or invalid setting.
    """
    return Recipe.of(**settings)


def dry_run(
    model: str | os.PathLike[str],
    recipe: Recipe | None = None,
    **settings: Unpack[RecipeKeywords],
) -> pd.DataFrame:
    """What a recipe makes of each weight of a model; no weight is read.

    Args:
        model: a GGUF file, `preset:NAME[@TYPE]` or a Hugging Face `config.json`.
        recipe: without it one of the settings.

    Returns:
        pandas.DataFrame, a row for each tensor: `tensor`, `shape` (tuple, the row's length first),
        `source` (its type), `asked` (the type that the recipe would give it if every block divided
        its rows), `type` (the one that it gets), `source_bytes`, `size_bytes`, `bits_per_weight`,
        `is_quantizable` and `fell_back`.

    Raises:
        UsageError: a recipe that cannot be followed. ModelError: the model is unusable.
        SchemeError: its scheme breaks the contract. EngineError: llama.cpp died.
    """
    from .analysis.tables.typed import typed_table
    from .quantization.rows import DTYPES, tensor_rows

    return typed_table(tensor_rows(plan(model, _given(recipe, settings))), DTYPES)


def apply(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    recipe: Recipe | None = None,
    *,
    overwrite: bool = True,
    threads: int | None = None,
    **settings: Unpack[RecipeKeywords],
) -> Path:
    """Quantizes a model, with llama.cpp's own quantizer where the recipe has no scheme.

    Args:
        model, recipe, settings: as `dry_run`.
        output: the GGUF file to write. It appears whole or not at all.
        overwrite: replace an existing file instead of raising UsageError.
        threads: of the quantizer; all usable cores without.

    Returns:
        The path of the file.

    Raises:
        UsageError: a recipe that cannot be followed, or a path that cannot be written.
        ModelError: the model is unusable. SchemeError: its scheme breaks the contract.
        EngineError: llama.cpp died.
    """
    make(model, output, _given(recipe, settings), overwrite=overwrite, threads=threads)
    return Path(output)


def _given(given: Recipe | None, settings: Any) -> Recipe:
    if given is None:
        return recipe(**settings)
    return recipe(**{**given.to_json(), **settings}) if settings else given

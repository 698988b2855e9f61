"""Quantization in Python: recipes, and what they make of a model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .quantization.process import make, plan
from .quantization.schemes.scheme import Scheme as Scheme
from .settings.arguments import takes
from .settings.kinds import File, Instance, Switch
from .settings.model_source import ModelName
from .settings.recipe import Recipe as Recipe
from .settings.scheme_place import SchemePlace
from .settings.table import THREADS
from .settings.threads import warn_of_threads

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

    from .quantization.quality.records import Quality as Quality
    from .settings.keywords import (
        AdviceKeywords,
        DossierKeywords,
        ImatrixKeywords,
        QualityKeywords,
        RecipeKeywords,
    )
    from .studies.advice import Advice as Advice
    from .studies.dossier import Dossier as Dossier

__all__ = [
    "Advice",
    "Dossier",
    "Recipe",
    "Scheme",
    "advise",
    "apply",
    "dossier",
    "dry_run",
    "imatrix",
    "quality",
    "recipe",
]


_MODEL, _TEXT = ModelName(), File(what="a file of text")
_RECIPE = Instance(Recipe, "a recipe; slmprof.quant.recipe makes one")


def recipe(**settings: Unpack[RecipeKeywords]) -> Recipe:
    """Which type each weight is to get, in llama-quantize's words: `file_type`, `tensor_type`, …

    Args:
        settings: `scheme` is the place of one (`FILE.py:NAME`), or a class or function that stands
            in a file.

    Raises:
        UsageError: an unknown or invalid setting.
    """
    return Recipe.of(**settings)


@takes(model=_MODEL, recipe=_RECIPE)
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


@takes(model=_MODEL, output=File(), recipe=_RECIPE, overwrite=Switch(), threads=THREADS)
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


@takes(model=_MODEL, output=File(), text=_TEXT, overwrite=Switch())
def imatrix(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    text: str | os.PathLike[str],
    overwrite: bool = True,
    **settings: Unpack[ImatrixKeywords],
) -> Path:
    """Writes how much each column of a model's weights counts on a text, for `imatrix` of a recipe.

    Args:
        model: a GGUF file.
        output: the file to write, as llama-imatrix does. It appears whole or not at all.
        text: a file of text in UTF-8.
        settings: `n_ctx`, `chunks`, `threads`, `head`.

    Returns:
        The path of the file.

    Raises:
        UsageError: the text is none or too short, the weights are random, or the path cannot be
            written. ModelError: the model is unusable. EngineError: llama.cpp died.
    """
    from .quantization.imatrix_process import collect_importances
    from .settings.scoring import ImatrixSettings

    found: ImatrixSettings = ImatrixSettings.of(**settings)
    warn_of_threads(found.n_threads)
    collect_importances(model, text, output, found, overwrite=overwrite)
    return Path(output)


@takes(model=_MODEL, text=_TEXT, reference=_MODEL)
def quality(
    model: str | os.PathLike[str],
    *,
    text: str | os.PathLike[str],
    reference: str | os.PathLike[str] | None = None,
    **settings: Unpack[QualityKeywords],
) -> Quality:
    """Perplexity on a text and, with a reference, how far the model is from it.

    Args:
        model, reference: GGUF files with the same vocabulary.
        text: a file of text in UTF-8.
        settings: `n_ctx`, `chunks`, `threads`, `both_halves`, `compatible`, `costs`, `cost_chunks`.

    Returns:
        The figures with their errors; with a reference also the deviation of each layer's output
        and of each weight. `to_json()` is what the command prints.

    Raises:
        UsageError: the text is none or too short, weights are random, or the two models cannot be
            compared. ModelError: a file is unusable. EngineError: llama.cpp died.
    """
    from .settings.scoring import QualitySettings
    from .studies.costs import measure_with_costs

    found: QualitySettings = QualitySettings.of(**settings)
    warn_of_threads(found.n_threads)
    return measure_with_costs(model, reference, text, found)


@takes(
    model=_MODEL, text=_TEXT, output=File("DIR", "a folder"), recipe=_RECIPE, scheme=SchemePlace()
)
def dossier(
    model: str | os.PathLike[str],
    *,
    text: str | os.PathLike[str],
    output: str | os.PathLike[str],
    recipe: Recipe | None = None,
    scheme: str | type | Callable[..., Any] | None = None,
    **settings: Unpack[DossierKeywords],
) -> Dossier:
    """Measures a scheme or recipe beside its neighbours, and writes the pages of its dossier.

    Args:
        model: a GGUF file of floats that was trained; the reference.
        text: a file of text in UTF-8.
        output: the folder: `dossier.md`, `dossier.html`, and all that they are made of. What it has
            of the same question already is not measured again.
        recipe: what the dossier is of; `scheme` alone is a recipe, too.
        settings: `against` (file types), `n_ctx`, `chunks`, `threads`, `n_prompt`, `n_gen`,
            `repeats`, `processes`, `costs`, `cost_chunks`.

    Returns:
        The dossier: `frame()` has a row for each model.

    Raises:
        UsageError: an input that cannot be used, or a folder with something else in it.
        ModelError: the model is unusable. SchemeError: the scheme breaks its contract.
        EngineError, CaptureError: a measurement failed.
    """
    from .reporters.documents.studies.dossier import dossier_document
    from .reporters.pages import write_pages
    from .settings.studies import DossierSettings
    from .studies.dossier import make_dossier

    asked = _given(recipe, {"scheme": scheme} if scheme is not None else {})
    found: DossierSettings = DossierSettings.of(**settings)
    warn_of_threads(found.n_threads)
    made = make_dossier(model, asked, text, output, found)
    write_pages(dossier_document(made, is_page=True), made.path, "dossier")
    return made


@takes(model=_MODEL, text=_TEXT)
def advise(
    model: str | os.PathLike[str],
    *,
    text: str | os.PathLike[str],
    **settings: Unpack[AdviceKeywords],
) -> Advice:
    """Looks for recipes, weight by weight, and measures those that it proposes.

    Args:
        model: a GGUF file of floats that was trained.
        text: a file of text in UTF-8.
        settings: the limits `fit_bytes`, `decode_ms` and `max_kld`; `types`, `scheme` and
            `imatrix`, what to choose from; and how to measure, as of `dossier`.

    Returns:
        The proposals, each with what was predicted and what was measured; `frame()` has a row for
        each, `recipe` of a proposal is what `apply` takes.

    Raises:
        UsageError: an input that cannot be used, or limits that nothing meets.
        ModelError: the model is unusable. SchemeError: the scheme breaks its contract.
        EngineError, CaptureError: a measurement failed.
    """
    from .settings.studies import AdviceSettings
    from .studies.advising import find_advice

    found: AdviceSettings = AdviceSettings.of(**settings)
    warn_of_threads(found.n_threads)
    return find_advice(model, text, found)


def _given(recipe_: Recipe | None, settings: Any) -> Recipe:
    known = recipe_.to_json() if recipe_ is not None else {}
    # Checked again: a recipe can be made without `recipe`.
    return recipe(**{**known, **settings})

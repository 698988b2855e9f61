"""What a recipe makes of a model, asked of llama.cpp's quantizer; runs in the child process."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..children.native_errors import guarded
from ..errors import UsageError
from ..models.ggml_types import weight_types
from ..models.resolve import model_name
from ..profiles.records.decoding import decode
from ..settings.model_source import ModelSource
from ..settings.recipe import Recipe
from .importance import Imatrix
from .records import QuantizationPlan, QuantizedModel, QuantizedTensor
from .scheme_choice import choose_for_scheme, kept
from .schemes.loaded import LoadedScheme

if TYPE_CHECKING:
    from .. import _core

# What a model of random weights is quantized from, where its MODEL names no type.
SOURCE_TYPE = "F16"
_ANY = "Q8_0"
_OUTPUT = "output.weight"
_EMBEDDING = "token_embd.weight"
_MOST_NAMED = 3


def source_of(model: str) -> ModelSource:
    """MODEL, in `SOURCE_TYPE` where it is synthesised in no other. Raises ModelError."""
    source = ModelSource.parse(model).refuse_scheme()
    if not source.is_synthesised:
        return source
    return replace(source, file_type=source.file_type or SOURCE_TYPE)


def native_recipe(recipe: Recipe, imatrix: Imatrix | None) -> _core.Recipe:
    """The recipe as llama.cpp's quantizer gets it. Raises UsageError.

    Where nothing but a scheme is asked for it says at least what is ever quantized.
    """
    from .. import _core

    try:
        return _core.Recipe(
            recipe.file_type or _ANY,
            tensor_types=recipe.tensor_types(),
            output_type=recipe.output_tensor_type,
            embedding_type=recipe.token_embedding_type,
            keeps_output=recipe.leave_output_tensor,
            is_pure=recipe.pure,
            has_imatrix=imatrix is not None,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def plan_quantization(
    model: str,
    path: Path,
    recipe: Recipe,
    imatrix: Imatrix | None,
    scheme: LoadedScheme | None = None,
) -> QuantizationPlan:
    """What the recipe makes of each tensor. Reads the header only.

    Args:
        model: as the user wrote it.
        path: its file, or an outline of it.
        scheme: that of the recipe.

    Raises:
        UsageError: a recipe that cannot be followed. ModelError: the file is unusable.
    """
    from .. import _core

    native = native_recipe(recipe, imatrix)
    _core.clear_log()
    found = guarded(path, lambda: _core.plan_quantization(os.fsencode(path), native))
    info = {**found["model"], "path": model}
    info["name"] = model_name(found["model"]["name"], path)
    tensors = decode(tuple[QuantizedTensor, ...], found["tensors"])
    if recipe.file_type is None:
        tensors = tuple(map(kept, tensors))
    if scheme is not None:
        packable = None
        if (kernels := scheme.native) is not None and not recipe.fake_quant:
            packable = functools.partial(_packable, path, kernels)
        tensors = choose_for_scheme(tensors, scheme, recipe.scheme_tensors, packable)
    return QuantizationPlan(
        model=decode(QuantizedModel, info),
        recipe=recipe.to_json(),
        tensors=tensors,
        notes=tuple(_notes(recipe, imatrix, tensors, scheme)),
        scheme=scheme.info if scheme is not None else None,
    )


def _packable(path: Path, kernels: _core.KernelScheme, tensors: list[str]) -> list[str]:
    """The weights that the model uses in no other way than kernels do."""
    from .. import _core

    settings = _core.EngineSettings()
    settings.path, settings.scheme = os.fsencode(path), kernels
    return guarded(path, lambda: _core.packable_tensors(settings, tensors))


def obstacle(plan: QuantizationPlan, recipe: Recipe, imatrix: Imatrix | None) -> str | None:
    """Why the quantizer would refuse to make the file of a plan; None where it would not."""
    converted = [tensor for tensor in plan.tensors if tensor.is_converted]
    again = _quantized(converted)
    if again and not recipe.allow_requantize:
        types = ", ".join(sorted({tensor.source for tensor in again}))
        return (
            f"{len(again)} tensors of the source are quantized already ({types}); quantizing them "
            "again loses accuracy: start from a file of floats, or give --allow-requantize to "
            "`quant make`"
        )
    known = imatrix.weights if imatrix is not None else {}
    missing = [one for one in converted if one.needs_imatrix and one.tensor not in known]
    if missing:
        what = f"{_named(missing)} would become {missing[0].type}, which needs"
        if imatrix is None:
            return f"{what} an importance matrix (--imatrix FILE)"
        return f"{what} importances, and {imatrix.path} has none of it"
    for tensor in converted:
        weights = known.get(tensor.tensor)
        n_needed = tensor.shape[0] * (tensor.shape[2] if len(tensor.shape) > 2 else 1)
        if weights is not None and weights.size != n_needed and tensor.tensor != _EMBEDDING:
            return (
                f"the importance matrix is of another model: {tensor.tensor} has {n_needed} "
                f"columns, and it has {weights.size}"
            )
    return None


def _quantized(tensors: list[QuantizedTensor]) -> list[QuantizedTensor]:
    types = weight_types()
    return [one for one in tensors if (own := types.get(one.source)) and own.is_quantized]


def _named(tensors: list[QuantizedTensor]) -> str:
    names = [tensor.tensor for tensor in tensors[:_MOST_NAMED]]
    more = len(tensors) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _notes(
    recipe: Recipe,
    imatrix: Imatrix | None,
    tensors: tuple[QuantizedTensor, ...],
    scheme: LoadedScheme | None,
) -> list[str]:
    notes = []
    if imatrix is not None and scheme is not None and not scheme.takes_importance:
        notes.append(f"{scheme.info.name} takes no importances: --imatrix changes nothing for it")
    names = {tensor.tensor for tensor in tensors}
    if _OUTPUT not in names:
        for option, value in (
            ("--output-tensor-type", recipe.output_tensor_type),
            ("--leave-output-tensor", recipe.leave_output_tensor),
        ):
            if value:
                notes.append(
                    f"{option} changes nothing: this model's LM head is its token embeddings "
                    f"({_EMBEDDING}, --token-embedding-type)"
                )
    converted = [tensor for tensor in tensors if tensor.is_converted]
    again = _quantized(converted)
    if again and recipe.allow_requantize:
        notes.append(
            f"{len(again)} tensors are quantized a second time, from values that were rounded once"
        )
    if imatrix is not None:
        bare = [one for one in converted if one.tensor not in imatrix.weights]
        if bare:
            notes.append(f"no importances of {_named(bare)}, whose columns count alike")
    return notes

"""Which type a file is named for, and the weights that have another because of their rows.

Without pandas: plans of memory tell it as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...profiles.records.fallbacks import Fallbacks, StoredWeight, find_fallbacks
from ...profiles.tables import TensorType

# The types that llama.cpp's quantizer falls back to from one other type alone; what else is found
# in its place was asked for in the type that the file is named for.
_FALLS_FROM = {"q5_0": "q4_K", "q5_1": "q5_K", "q8_0": "q6_K"}
_SIZED = re.compile(r"Q[2-5]_K")
# What is left where no quantized type can hold a row.
_LAST_RESORT = "f16"

Weight = tuple[str, Sequence[int], int]
"""Type, shape with the row's length first, and bytes of a weight."""


def named_type(file_type: str, types: Mapping[str, TensorType]) -> str | None:
    """The tensor type that a file type is named for: q4_K for `Q4_K - Medium`; None where there
    is none, as for `IQ2_M`."""
    text = file_type.strip().lower()
    for prefix in ("(guessed) ", "all ", "mostly "):
        text = text.removeprefix(prefix)
    fitting = [name for name in types if name and text.startswith(name.lower())]
    if not fitting:
        return None
    name = max(fitting, key=len)
    rest = text[len(name) :]
    # `Q4_0_4_4` and `IQ3_XXS` are not `Q4_0` and `IQ3_X`.
    return name if not rest or not rest[0].isalnum() else None


def quantizer_name(file_type: str) -> str:
    """A file type as llama-quantize is asked for it: `Q4_K_M` for `Q4_K - Medium`."""
    name, _, size = file_type.removeprefix("(guessed) ").partition(" - ")
    # Of two bits there is a small one beside the one that has no other name.
    if _SIZED.fullmatch(name) and size in ("Small", "Medium", "Large"):
        return name if (name, size) == ("Q2_K", "Medium") else f"{name}_{size[0]}"
    return name if size.endswith("bpw") and name != "IQ3_S mix" else file_type.strip()


def fallbacks_of(
    weights: Iterable[Weight],
    file_type: str | None,
    types: Mapping[str, TensorType],
    n_params: int,
    size_bytes: int,
) -> Fallbacks | None:
    """The weights whose rows do not divide by a block of the type that a file is named for.

    Which type each was asked for is inferred from the one that it has.

    Args:
        weights: all of a model's.
        file_type: as llama.cpp calls it.
        types: how ggml stores each type.
        n_params, size_bytes: of the whole model.
    """
    label = quantizer_name(file_type or "")
    named = named_type(label, types)
    if named is None or not types[named].is_quantized:
        return None
    known = list(weights)
    stored = _stored(known, named, types)
    return find_fallbacks(stored, label, len(known), n_params, size_bytes)


def _stored(
    weights: Iterable[Weight], named: str, types: Mapping[str, TensorType]
) -> Iterator[StoredWeight]:
    for got, shape, size_bytes in weights:
        own = types.get(got)
        row = int(shape[0])
        is_matrix = len(shape) > 1 and int(shape[1]) > 1
        if own is None or not is_matrix or not (own.is_quantized or got == _LAST_RESORT):
            continue
        if row % own.block_size:
            continue  # which no file can hold
        asked = _FALLS_FROM.get(got, named)
        stored = types.get(asked, types[named])
        if got in (asked, named) or row % types[named].block_size == 0:
            continue
        n_elements = math.prod(map(int, shape))
        asked_bytes = n_elements * stored.type_size // stored.block_size
        yield StoredWeight(asked, got, row, size_bytes, asked_bytes)

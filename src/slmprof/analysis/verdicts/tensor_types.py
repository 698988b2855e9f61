"""Tensor types: which one a file type is named for, and which rows a type can hold."""

from __future__ import annotations

import pandas as pd

from ..graphs.kernel_names import PLAIN_TYPES

# Elements of a block; rows are whole blocks (ggml/src/ggml-common.h: QK_K, QK4_0 and so on).
_OF_32 = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "mxfp4")
_OF_256 = (
    *("q2_K", "q3_K", "q4_K", "q5_K", "q6_K"),
    *("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq4_xs"),
    *("tq1_0", "tq2_0"),
)
_BLOCK: dict[str, int] = {**dict.fromkeys(_OF_32, 32), **dict.fromkeys(_OF_256, 256)}
_NAMED = (*_BLOCK, *sorted(PLAIN_TYPES))


def named_type(file_type: str) -> str | None:
    """The tensor type that a file type is named for: q4_K for `Q4_K - Medium`; None where there
    is none, as for `IQ2_M`."""
    text = file_type.strip().lower()
    for prefix in ("(guessed) ", "all ", "mostly "):
        text = text.removeprefix(prefix)
    fitting = [name for name in _NAMED if text.startswith(name.lower())]
    if not fitting:
        return None
    name = max(fitting, key=len)
    rest = text[len(name) :]
    # `Q4_0_4_4` and `IQ3_XXS` are not `Q4_0` and `IQ3_X`.
    return name if not rest or not rest[0].isalnum() else None


def block_length(type_name: str) -> int | None:
    """Elements that are stored together: 1 for plain types, None for an unknown type."""
    return 1 if type_name in PLAIN_TYPES else _BLOCK.get(type_name)


def rows_unfit(weights: pd.DataFrame, type_name: str | None) -> pd.DataFrame:
    """The weights, stored in another quantized type, whose rows the type cannot hold."""
    length = block_length(type_name) if type_name else None
    if length is None or weights.empty:
        none: pd.DataFrame = weights.iloc[:0]
        return none
    row = pd.Series([int(shape[0]) for shape in weights["shape"]], index=weights.index)
    chosen = (
        (row % length != 0) & ~weights["type"].isin(PLAIN_TYPES) & (weights["type"] != type_name)
    )
    unfit: pd.DataFrame = weights[chosen]
    return unfit

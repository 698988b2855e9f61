"""Tensor types: which one a file type is named for, and which rows a type can hold."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ...profiles.tables import TensorType


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


def rows_unfit(
    weights: pd.DataFrame, type_name: str | None, types: Mapping[str, TensorType]
) -> pd.DataFrame:
    """The weights, stored in another quantized type, whose rows the type cannot hold."""
    stored = types.get(type_name) if type_name else None
    if stored is None or weights.empty:
        none: pd.DataFrame = weights.iloc[:0]
        return none
    row = pd.Series([int(shape[0]) for shape in weights["shape"]], index=weights.index)
    plain = [name for name, one in types.items() if not one.is_quantized]
    chosen = (
        (row % stored.block_size != 0)
        & ~weights["type"].isin(plain)
        & (weights["type"] != type_name)
    )
    unfit: pd.DataFrame = weights[chosen]
    return unfit

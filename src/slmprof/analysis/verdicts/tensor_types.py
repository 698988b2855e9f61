"""Rows that the type does not hold which a file is named for."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ...profiles.data import ProfileData
from ...profiles.records.fallbacks import Fallbacks
from ...profiles.tables import TensorType
from ..memory.weights import weight_table
from .fallbacks import fallbacks_of


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


def profile_fallbacks(profile: ProfileData) -> Fallbacks | None:
    """Those of a profile's model; of a weight that no graph reads nothing is known."""
    model = profile.meta.model
    weights = weight_table(profile)
    columns = (weights[name].tolist() for name in ("type", "shape", "size_bytes"))
    types = profile.types.by_name(profile.strings)
    stored = zip(*columns, strict=True)
    return fallbacks_of(stored, model.file_type, types, model.n_params or 0, model.size_bytes or 0)

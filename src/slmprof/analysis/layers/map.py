"""Layers against blocks: which cells are slower or faster than the rest of their column."""

from __future__ import annotations

import pandas as pd


def layer_map(layers: pd.DataFrame) -> pd.DataFrame:
    """From the rows of `layer_table` those within layers, and how each compares.

    Adds `relative`: time_ms over the median time of the block in the layers of the phase that
    have it; null where that median is zero.
    """
    inside: pd.DataFrame = layers[layers["layer"].notna()].reset_index(drop=True)
    median = inside.groupby(["phase", "block"])["time_ms"].transform("median")
    compared: pd.DataFrame = inside.assign(relative=(inside["time_ms"] / median).where(median > 0))
    return compared

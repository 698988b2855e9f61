"""Time by layer, and by layer and block side by side."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ..tables.grouping import sum_by


def layer_table(ops: pd.DataFrame) -> pd.DataFrame:
    """Op rows added up by layer and block: phase, layer, block, time_ms, share.

    `layer` is null outside the layers. Rows stand in the order of the layers, null last.
    """
    rows = sum_by(ops, ["layer", "block"], ["time_ms", "share"])
    ordered: pd.DataFrame = rows.sort_values(
        ["phase", "layer", "block"], ascending=[False, True, True], kind="stable"
    ).reset_index(drop=True)
    return ordered


def layer_map(layers: pd.DataFrame) -> pd.DataFrame:
    """From the rows of `layer_table` those within layers, and how each compares.

    Adds `relative`: time_ms over the median time of the block in the layers of the phase that
    have it; null where that median is zero.
    """
    inside: pd.DataFrame = layers[layers["layer"].notna()].reset_index(drop=True)
    median = inside.groupby(["phase", "block"])["time_ms"].transform("median")
    compared: pd.DataFrame = inside.assign(relative=(inside["time_ms"] / median).where(median > 0))
    return compared


@dataclass(frozen=True)
class LayerSpread:
    """How equal the layers of a phase are: milliseconds per step of one layer."""

    phase: str
    n_layers: int
    median_ms: float
    fastest_ms: float
    fastest_layer: int
    slowest_ms: float
    slowest_layer: int
    outside_ms: float


def layer_spreads(layers: pd.DataFrame) -> tuple[LayerSpread, ...]:
    """From the rows of `layer_table`: one spread for each phase that has layers."""
    spreads = []
    for phase, rows in layers.groupby("phase", sort=False):
        inside = rows[rows["layer"].notna()]
        if inside.empty:
            continue
        times = inside.groupby("layer")["time_ms"].sum()
        spreads.append(
            LayerSpread(
                phase=str(phase),
                n_layers=len(times),
                median_ms=float(times.median()),
                fastest_ms=float(times.min()),
                fastest_layer=int(times.idxmin()),
                slowest_ms=float(times.max()),
                slowest_layer=int(times.idxmax()),
                outside_ms=float(rows["time_ms"].sum() - times.sum()),
            )
        )
    return tuple(spreads)

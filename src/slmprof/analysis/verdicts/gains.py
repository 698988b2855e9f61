"""What would help most, and by how much at best: upper bounds, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...profiles.meta import Model
from ...profiles.tables import TensorType
from ..tables.waits import wait_totals
from .findings import GAIN, Finding
from .tensor_types import named_type

MIN_SHARE = 0.05

CEILING, NO_WAITING, QUANTIZE = "ceiling", "no_waiting", "quantize"
# What float weights could be stored in with the least loss.
_CAREFUL = "q8_0"


def gains(
    ops: pd.DataFrame,
    weights: pd.DataFrame,
    model: Model,
    types: Mapping[str, TensorType],
    n_threads: Mapping[str, int],
) -> list[Finding]:
    """The largest possible gain of each phase, where it is at least `MIN_SHARE` of its op time and
    ceilings are known; and where that is better code, the largest one without.

    Figures of all: `what`, `gain_ms` of `time_ms`, `share`, `is_modelled`, `is_largest`. Of
    `ceiling`: `block`, `ops` (`products`, or a kernel): the ops running at their ceilings.
    `no_waiting`: equal shares and barriers that cost nothing. `quantize`: `block`, `type`,
    `to_type`: products bound by memory that read fewer bytes.
    """
    found = []
    for phase, rows in ops.groupby("phase", sort=False):
        total = float(rows["time_ms"].sum())
        if not rows["ceiling_share"].notna().any():
            # Nothing to compare with: what is known to cost time is not what would help most.
            continue
        candidates = [*_at_ceiling(rows), *_quantized(rows, weights, model, types)]
        if n_threads.get(str(phase), 0) > 1:
            candidates += _without_waiting(rows)
        candidates.sort(key=lambda one: one["gain_ms"], reverse=True)
        largest = candidates[:1]
        if largest and largest[0]["what"] == CEILING:
            # Better code is the business of few; what else could be done comes second.
            largest += [one for one in candidates if one["what"] != CEILING][:1]
        for rank, gain in enumerate(largest):
            if total > 0 and gain["gain_ms"] >= MIN_SHARE * total:
                gain.update(time_ms=total, share=gain["gain_ms"] / total, is_largest=rank == 0)
                found.append(Finding(str(phase), GAIN, gain))
    return found


def is_product(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which op rows are products proper, and not the conversion of activations before one."""
    return rows["kernel"].str.startswith("mul_mat")


def _at_ceiling(rows: pd.DataFrame) -> list[dict[str, Any]]:
    known = rows[rows["ceiling_share"].notna()]
    if known.empty:
        return []
    lost = known["time_ms"] * (1.0 - known["ceiling_share"].clip(0.0, 1.0))
    name = known["kernel"].mask(is_product(known), "products")
    sums = lost.groupby([known["block"], name]).sum()
    block, ops = sums.idxmax()
    return [
        {
            "what": CEILING,
            "block": block,
            "ops": ops,
            "gain_ms": float(sums.max()),
            "is_modelled": True,
        }
    ]


def _without_waiting(rows: pd.DataFrame) -> list[dict[str, Any]]:
    totals = wait_totals(rows)
    if totals.empty:
        return []
    gain = float(totals["time_ms"].iloc[0] - totals["compute_ms"].iloc[0])
    return [{"what": NO_WAITING, "gain_ms": gain, "is_modelled": False}]


def _quantized(
    rows: pd.DataFrame,
    weights: pd.DataFrame,
    model: Model,
    types: Mapping[str, TensorType],
) -> list[dict[str, Any]]:
    """Products whose time is that of reading weights, with these in the file's own type; float
    weights in q8_0 where the file has no quantized type."""
    bound = rows[(rows["bound"] == "memory") & is_product(rows)]
    bound = bound[bound["weight_bytes"].notna() & (bound["weight_bytes"] > 0)]
    if bound.empty:
        return []
    bits = _bits(weights)
    named = named_type(model.file_type or "", types)
    target = named if named and types[named].is_quantized else _CAREFUL
    if target not in types:
        return []
    stored = types[target]
    to_bits = bits.get(
        target, 8.0 * stored.type_size / stored.block_size if target == _CAREFUL else math.inf
    )
    source = bound["dtypes"].str.partition(",")[0]
    found = []
    for (block, type_name), time in (
        bound["time_ms"].groupby([bound["block"], source]).sum().items()
    ):
        own = bits.get(type_name, 0.0)
        if own > to_bits and _fits(weights, str(type_name), stored):
            found.append(
                {
                    "what": QUANTIZE,
                    "block": block,
                    "type": type_name,
                    "to_type": target,
                    "gain_ms": float(time) * (1.0 - to_bits / own),
                    "is_modelled": True,
                }
            )
    return found


def _bits(weights: pd.DataFrame) -> dict[str, float]:
    """Bits of an element of each type, as the weights are stored."""
    sums = weights.groupby("type")[["size_bytes", "n_elements"]].sum()
    bits = 8.0 * sums["size_bytes"] / sums["n_elements"].replace(0.0, np.nan)
    return {str(name): float(value) for name, value in bits.items() if value > 0}


def _fits(weights: pd.DataFrame, type_name: str, target: TensorType) -> bool:
    """Whether every matrix of a type has rows that the target can hold."""
    shapes = weights.loc[weights["type"] == type_name, "shape"]
    return all(int(shape[0]) % target.block_size == 0 for shape in shapes if shape[1] > 1)

"""What would help most, and by how much at best: upper bounds, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ...profiles.records.meta import Model
from ...profiles.tables import TensorType
from ..tables.waits import wait_totals
from .fallbacks import named_type
from .findings import CeilingGain, Finding, Gain, QuantizeGain, WaitingGain

MIN_SHARE = 0.05

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
    ceilings are known; and where that is better code, the largest one without."""
    found = []
    for phase, rows in ops.groupby("phase", sort=False):
        total = float(rows["time_ms"].sum())
        if total <= 0 or not rows["ceiling_share"].notna().any():
            # Nothing to compare with: what is known to cost time is not what would help most.
            continue
        candidates = [*_at_ceiling(rows, total), *_quantized(rows, total, weights, model, types)]
        if n_threads.get(str(phase), 0) > 1:
            candidates += _without_waiting(rows, total)
        candidates.sort(key=lambda one: one.gain_ms, reverse=True)
        largest = candidates[:1]
        if largest and isinstance(largest[0], CeilingGain):
            # Better code is the business of few; what else could be done comes second.
            largest += [one for one in candidates if not isinstance(one, CeilingGain)][:1]
        for rank, gain in enumerate(largest):
            if gain.share >= MIN_SHARE:
                found.append(Finding(str(phase), gain.replace(is_largest=rank == 0)))
    return found


def is_product(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which op rows are products proper, and not the conversion of activations before one."""
    return rows["kernel"].str.startswith("mul_mat")


def _at_ceiling(rows: pd.DataFrame, total: float) -> list[Gain]:
    known = rows[rows["ceiling_share"].notna()]
    if known.empty:
        return []
    # Better code is not held up by how good today's kernel can be.
    hardware = known[["memory_share", "compute_share"]].max(axis=1)
    reached = hardware.where(known["compute_share"].notna(), known["ceiling_share"])
    lost = known["time_ms"] * (1.0 - reached.clip(0.0, 1.0))
    name = known["kernel"].mask(is_product(known), "products")
    sums = lost.groupby([known["block"], name]).sum()
    block, ops = sums.idxmax()
    gain = float(sums.max())
    return [
        CeilingGain(
            block=block, ops=ops, gain_ms=gain, time_ms=total, share=gain / total, is_modelled=True
        )
    ]


def _without_waiting(rows: pd.DataFrame, total: float) -> list[Gain]:
    totals = wait_totals(rows)
    if totals.empty:
        return []
    gain = float(totals["time_ms"].iloc[0] - totals["compute_ms"].iloc[0])
    return [WaitingGain(gain_ms=gain, time_ms=total, share=gain / total, is_modelled=False)]


def _quantized(
    rows: pd.DataFrame,
    total: float,
    weights: pd.DataFrame,
    model: Model,
    types: Mapping[str, TensorType],
) -> list[Gain]:
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
    found: list[Gain] = []
    for (block, type_name), time in (
        bound["time_ms"].groupby([bound["block"], source]).sum().items()
    ):
        own = bits.get(type_name, 0.0)
        if own > to_bits and _fits(weights, str(type_name), stored):
            gain = float(time) * (1.0 - to_bits / own)
            found.append(
                QuantizeGain(
                    block=block,
                    type=type_name,
                    to_type=target,
                    gain_ms=gain,
                    time_ms=total,
                    share=gain / total,
                    is_modelled=True,
                )
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

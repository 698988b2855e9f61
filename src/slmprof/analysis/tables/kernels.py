"""Op rows added up by kernel and the code that ran, with what they reach and what bounds them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .grouping import sum_by

# Ops of one code have one bound where so much of their time has it.
_MAJORITY = 0.6

_KEYS = ["phase", "kernel", "impl"]


def impl_table(ops: pd.DataFrame) -> pd.DataFrame:
    """One row for each kernel and code of a phase: phase, kernel, impl, calls, time_ms, share,
    gbps, ceiling_share, bound.

    `impl` is `generic` where ggml has one implementation, and empty where none was observed.
    `gbps` is of those ops whose bytes are known, `ceiling_share` the mean of those whose roofs are,
    weighted by time. `bound` is that of most of the time; null where it is divided, or not known.
    """
    time = ops["time_ms"].astype("float64")
    has_bytes, has_roof = ops["bytes"].notna(), ops["ceiling_share"].notna()
    weighted = ops.assign(
        counted_ms=time.where(has_bytes),
        counted_bytes=ops["bytes"].astype("float64").where(has_bytes),
        roofed_ms=time.where(has_roof),
        reached_ms=(time * ops["ceiling_share"].astype("float64")).where(has_roof),
    )
    values = ["counted_ms", "counted_bytes", "roofed_ms", "reached_ms"]
    sums = sum_by(weighted, _KEYS[1:], ["calls", "time_ms", "share", *values])
    counted, roofed = (sums[name].where(sums[name] > 0, np.nan) for name in values[::2])
    made: pd.DataFrame = sums[[*_KEYS, "calls", "time_ms", "share"]].assign(
        gbps=sums["counted_bytes"] / counted / 1e6, ceiling_share=sums["reached_ms"] / roofed
    )
    bounds = _bounds(ops)
    made["bound"] = pd.Series(
        [bounds.get(key) for key in zip(*(made[name] for name in _KEYS), strict=True)],
        index=made.index,
        dtype="object",
    )
    return made


def _bounds(ops: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """The bound of each group that has one."""
    total = ops.groupby(_KEYS, sort=False, dropna=False)["time_ms"].sum()
    named = ops[ops["bound"].notna()]
    found: dict[tuple[str, str, str], str] = {}
    for (*key, bound), time in (
        named.groupby([*_KEYS, "bound"], sort=False)["time_ms"].sum().items()
    ):
        phase, kernel, impl = key
        if time > _MAJORITY * total[phase, kernel, impl]:
            found[phase, kernel, impl] = str(bound)
    return found

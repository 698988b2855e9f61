"""Adding up rows of `stats` that mean the same op."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .tables import StatTable

_MERGE: dict[str, np.ufunc] = {"sum": np.add, "min": np.minimum, "max": np.maximum}
_KEY = tuple(name for name, column in StatTable.schema().items() if not column.merge)


def merge_stats(stats: StatTable) -> StatTable:
    """Makes one row of those that agree in all columns before `calls`, sorted by these columns."""
    if len(stats) == 0:
        return stats
    ordered = stats.take(_order(stats))
    is_first = np.zeros(len(ordered), dtype=bool)
    is_first[0] = True
    for name in _KEY:
        values = getattr(ordered, name)
        is_first[1:] |= values[1:] != values[:-1]
    starts = np.flatnonzero(is_first)
    merged: dict[str, npt.NDArray[Any]] = {}
    for name, values in ordered.columns().items():
        how = StatTable.schema()[name].merge
        merged[name] = _MERGE[how].reduceat(values, starts) if how else values[starts]
    return StatTable.from_columns(merged)


def _order(stats: StatTable) -> npt.NDArray[np.intp]:
    """The rows' order by key. One number for the whole key, where it fits, sorts far faster."""
    packed = np.zeros(len(stats), np.int64)
    room = 1
    for name in _KEY:
        values = getattr(stats, name)
        low = int(values.min())
        extent = int(values.max()) - low + 1
        room *= extent
        if room >= 2**63:
            # lexsort takes the most significant key last.
            return np.lexsort([getattr(stats, name) for name in reversed(_KEY)])
        packed *= extent
        packed += values
        packed -= low
    return np.argsort(packed, kind="stable")

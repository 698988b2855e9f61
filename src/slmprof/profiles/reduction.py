"""Adding up rows of `stats` that mean the same op."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .tables import StatTable

_KEY = ("phase", "graph", "node", "n_fused", "path")


def merge_stats(stats: StatTable) -> StatTable:
    """Adds up the rows of one (phase, graph, node, n_fused, path), sorted by that key."""
    if len(stats) == 0:
        return stats
    # lexsort takes the most significant key last.
    ordered = stats.take(np.lexsort([getattr(stats, name) for name in reversed(_KEY)]))
    is_first = np.zeros(len(ordered), dtype=bool)
    is_first[0] = True
    for name in _KEY:
        values = getattr(ordered, name)
        is_first[1:] |= values[1:] != values[:-1]
    starts = np.flatnonzero(is_first)
    merged: dict[str, npt.NDArray[Any]] = {}
    for name, values in ordered.columns().items():
        if name in _KEY:
            merged[name] = values[starts]
        elif name == "span_min_ns":
            merged[name] = np.minimum.reduceat(values, starts)
        elif name == "span_max_ns":
            merged[name] = np.maximum.reduceat(values, starts)
        else:
            merged[name] = np.add.reduceat(values, starts)
    return StatTable.from_columns(merged)

"""Medians of many stretches of one array, without a loop over them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Numbers that are gathered at a time.
_MOST_AT_ONCE = 1 << 22


def medians_between(
    values: npt.NDArray[np.float64],
    begin: npt.NDArray[np.integer],
    end: npt.NDArray[np.integer],
) -> npt.NDArray[np.float64]:
    """float64[n]: the median of `values[begin[i]:end[i]]` for each i; no stretch is empty."""
    medians = np.empty(len(begin))
    lengths = end - begin
    # Stretches of one length are rows of a matrix. There are few lengths: a run is regular.
    order = np.argsort(lengths, kind="stable")
    starts = np.flatnonzero(np.diff(lengths[order], prepend=-1))
    for alike in np.split(order, starts[1:]) if len(order) else []:
        length = int(lengths[alike[0]])
        at_once = max(1, _MOST_AT_ONCE // length)
        for first in range(0, len(alike), at_once):
            chosen = alike[first : first + at_once]
            rows = values[begin[chosen][:, None] + np.arange(length)]
            medians[chosen] = np.median(rows, axis=1)
    return medians

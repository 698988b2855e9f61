"""The rows of a table that differ in some columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.integer[Any]]
Rows = npt.NDArray[np.intp]

_MOST = 2**62


def distinct_rows(columns: Sequence[Integers]) -> tuple[Rows, Rows]:
    """What `numpy.unique` tells of rows, by sorting a number for each of them: far sooner.

    Args:
        columns: one and more, each int[n], of numbers that int64 can hold.

    Returns:
        int[m]: the first row of each kind, ordered by the first column, then by the second, …
        int[n]: of which kind each row is.
    """
    number = np.zeros(len(columns[0]), np.int64)
    n_numbers = 1
    for column in columns:
        values = column.astype(np.int64)
        low = int(values.min(initial=0))
        n_values = int(values.max(initial=0)) - low + 1
        if n_numbers * n_values > _MOST:
            n_numbers, number = _ranked(number)
            low, (n_values, values) = 0, _ranked(values)
        number = number * n_values + (values - low)
        n_numbers *= n_values
    _, first, which = np.unique(number, return_index=True, return_inverse=True)
    return first, which


def values_of(columns: Sequence[Integers], rows: Rows) -> list[tuple[int, ...]]:
    """What stands in these columns of some rows."""
    return list(zip(*(column[rows].tolist() for column in columns), strict=True))


def _ranked(values: npt.NDArray[np.int64]) -> tuple[int, Rows]:
    """How many different ones there are, and int[n]: how many of them are smaller than each."""
    different, rank = np.unique(values, return_inverse=True)
    return len(different), rank

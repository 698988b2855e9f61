"""Distinct rows, as NumPy finds them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from slmprof.profiles.distinct_rows import distinct_rows

RNG = np.random.default_rng(3)
WIDE = np.array([-(2**63), 2**63 - 1, 0], np.int64)
COLUMNS = {
    "few": [RNG.integers(-1, 3, 200, np.int32), RNG.integers(0, 2, 200)],
    "many": [RNG.integers(-9, 9, 500) for _ in range(6)],
    "wide": [WIDE[RNG.integers(0, 3, 300)] for _ in range(3)],
    "wide in 32 bits": [(WIDE >> 32)[RNG.integers(0, 3, 300)].astype(np.int32) for _ in range(4)],
    "one": [np.array([7, 7, -7])],
    "none": [np.array([], np.int32), np.array([], np.int64)],
}


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_as_numpy_finds_them(columns: list[npt.NDArray[np.signedinteger]]) -> None:
    rows = np.stack(columns, axis=1).astype(np.int64)
    distinct, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    found = distinct_rows(columns)
    np.testing.assert_array_equal(found[0], first)
    np.testing.assert_array_equal(found[1], which.reshape(-1))
    np.testing.assert_array_equal(rows[found[0]], distinct)

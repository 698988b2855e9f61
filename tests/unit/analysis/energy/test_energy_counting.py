"""Readings of one counter added up."""

from __future__ import annotations

import pytest

from slmprof.analysis.energy.counting import Count, count


@pytest.mark.parametrize(
    ("readings", "range_uj", "expected"),
    [
        ([5, 5, 9, 9, 12], None, Count(7, 2, 0, False)),
        ([7], None, Count(0, 0, 0, False)),
        # From 95 to 99 and on to 3 are 8 steps, for after 99 comes 0.
        ([95, 99, 3], 99, Count(8, 2, 1, False)),
        ([95, 5, 40, 80, 10], 99, Count(115, 4, 2, False)),
        # A counter that falls a little has not begun anew.
        ([50, 40, 45], 99, Count(5, 2, 0, True)),
        ([50, 40, 45], None, Count(5, 2, 0, True)),
    ],
)
def test_a_counter_may_begin_anew_but_not_fall(
    readings: list[int], range_uj: int | None, expected: Count
) -> None:
    assert count(readings, range_uj) == expected

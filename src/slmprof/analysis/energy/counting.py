"""What a counter of energy counted between its first reading and its last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Count:
    """What the readings of one counter add up to.

    Attributes:
        energy_uj: microjoules.
        n_updates: how often a reading differed from the one before.
        n_wraps: how often the counter began anew.
        ran_backwards: whether it fell where it cannot have begun anew.
    """

    energy_uj: int
    n_updates: int
    n_wraps: int
    ran_backwards: bool


def count(readings_uj: Sequence[int], range_uj: int | None) -> Count:
    """Adds up a counter that was read often enough to move by a small part of its range.

    Args:
        readings_uj: in the order of time.
        range_uj: the largest value of the counter, after which it begins at zero; None where it
            never does.
    """
    energy_uj = n_updates = n_wraps = 0
    ran_backwards = False
    for before, after in pairwise(readings_uj):
        step = after - before
        n_updates += step != 0
        if step < 0 and range_uj is not None:
            step += range_uj + 1
            # Readings are so close that a step of half the range is a fall, not a new beginning.
            if step <= range_uj // 2:
                n_wraps += 1
            else:
                step = -1
        if step < 0:
            ran_backwards, step = True, 0
        energy_uj += step
    return Count(energy_uj, n_updates, n_wraps, ran_backwards)

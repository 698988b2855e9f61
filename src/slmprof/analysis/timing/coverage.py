"""When a graph ran: the time that ops have, whatever the host did meanwhile."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...profiles.data import ProfileData
from ...profiles.schema import Int32, Int64

Flags = npt.NDArray[np.bool_]


class Coverage:
    """The time in which a graph ran on any lane, in chosen steps.

    Lanes run side by side; what several are busy with counts once. Steps of several processes may
    have been at one time, and are kept apart.
    """

    def __init__(self, profile: ProfileData, steps: Flags) -> None:
        """Args:
        steps: bool[n_steps]: the steps.
        """
        taken = profile.runs.take(steps[profile.runs.step])
        self._begin, last = profile.steps.begin_ns.copy(), profile.steps.end_ns.copy()
        np.minimum.at(self._begin, taken.step, taken.begin_ns)
        np.maximum.at(last, taken.step, taken.end_ns)
        # On a line of time on which the chosen steps follow each other.
        self._length = np.where(steps, last - self._begin, 0)
        self._offset = np.cumsum(self._length) - self._length
        begin, end = (self._place(taken.step, at) for at in (taken.begin_ns, taken.end_ns))
        order = np.argsort(begin, kind="stable")
        begin, end = begin[order], np.maximum.accumulate(end[order]) if len(order) else end
        before = np.concatenate([[0], end[:-1]]) if len(end) else end
        self._from = np.maximum(begin, before)
        self._until = np.maximum(end, self._from)
        self._sum = np.concatenate([[0], np.cumsum(self._until - self._from)])

    @property
    def total_ns(self) -> int:
        """All of it."""
        return int(self._sum[-1])

    def within(self, step: Int32, begin_ns: Int64, end_ns: Int64) -> Int64:
        """int64[n]: how much of it lies within each of some spans of chosen steps."""
        until, before = (self._up_to(self._place(step, at)) for at in (end_ns, begin_ns))
        found: Int64 = until - before
        return found

    def _place(self, step: Int32, at_ns: Int64) -> Int64:
        place: Int64 = self._offset[step] + np.clip(
            at_ns - self._begin[step], 0, self._length[step]
        )
        return place

    def _up_to(self, place: Int64) -> Int64:
        last = np.searchsorted(self._from, place, "right") - 1
        known = last >= 0
        row = np.where(known, last, 0)
        if len(self._from) == 0:
            return np.zeros(len(place), np.int64)
        of_last = np.minimum(place, self._until[row]) - self._from[row]
        found: Int64 = np.where(known, self._sum[row] + of_last, 0)
        return found

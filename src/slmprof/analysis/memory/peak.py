"""What a compute buffer holds when it is fullest, and how small it could be at best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .liveness import Lives


@dataclass(frozen=True, eq=False)
class PeakMoment:
    """When a compute buffer is fullest.

    Attributes:
        step: the row that is computed then; -1 is the time before the first.
        end_bytes: where the last tensor in the buffer ends, ever.
        live_bytes: bytes of the storages there at that moment.
        lower_bound_bytes: the most bytes that the graph has a use for at once: no allocator that
            computes the rows in this order, and in the same places, can do with less.
        storages: the elements of the lives that are there, the largest first.
    """

    step: int
    end_bytes: int
    live_bytes: int
    lower_bound_bytes: int
    storages: tuple[int, ...]


def find_peak(lives: Lives) -> PeakMoment:
    """The moment at which the buffer's end is in use; of several, that with most live bytes."""
    if not len(lives):
        return PeakMoment(-1, 0, 0, 0, ())
    ends = lives.offset_bytes + lives.size_bytes
    live = lives.live_bytes()
    highest = np.flatnonzero(ends == ends.max())
    moments = np.concatenate([np.arange(lives.birth[i], lives.death[i] + 1) for i in highest])
    if not len(moments):  # only what was taken over at once
        moments = lives.birth[highest]
    step = int(moments[np.argmax(live[moments + 1])])
    there = lives.live(step)
    order = np.argsort(-lives.size_bytes[there], kind="stable")
    return PeakMoment(
        step=step,
        end_bytes=int(ends.max()),
        live_bytes=int(live[step + 1]),
        lower_bound_bytes=int(lives.needed_bytes().max()),
        storages=tuple(int(i) for i in there[order]),
    )

"""Which steps of the op passes something else disturbed (docs/measurement.md, disturbed steps)."""

from __future__ import annotations

import weakref

import numpy as np
import numpy.typing as npt

from ...profiles.data import ProfileData
from ...profiles.schema import Float64
from ...profiles.selection import select_repeat
from ...profiles.vocabulary import PASS_OP, PASS_SPLIT, PASS_TIMING, PASS_WARMUP
from .medians import medians_between

Flags = npt.NDArray[np.bool_]

# A step is disturbed that took so much more than the steps around it.
MAX_EXCESS = 0.25
# Steps with so many numbers less or more are around it, of all repeats of its process.
_N_AROUND = 8
# What a number costs in every repeat is no disturbance; fewer repeats do not tell.
_LEAST_REPEATS = 3

_known: weakref.WeakKeyDictionary[ProfileData, Flags] = weakref.WeakKeyDictionary()


def undisturbed(profile: ProfileData) -> Flags:
    """bool[n_steps]: the steps of timing and op passes that nothing disturbed.

    Per-op figures are means over those of the op passes. Where statistics of ops were kept, the
    recorder has decided which of them these are (`steps.set_apart`).
    """
    if profile not in _known:
        _known[profile] = _find(profile)
    return _known[profile]


def split_repeats(profile: ProfileData) -> list[ProfileData]:
    """The parts of a profile that each of its repeats measured.

    Which steps are disturbed is told by all of them together.
    """
    flags, steps = undisturbed(profile), profile.steps
    repeats: list[int] = np.unique(steps.repeat[steps.pass_ != PASS_WARMUP]).tolist()
    parts = []
    for repeat in repeats:
        part = select_repeat(profile, repeat)
        _known[part] = flags[steps.repeat == repeat]
        parts.append(part)
    return parts


def keeps_statistics(profile: ProfileData) -> bool:
    """Whether the profile has statistics of each op in place of events."""
    return profile.meta.run.events == "aggregate" or len(profile.events) == 0


def _find(profile: ProfileData) -> Flags:
    steps = profile.steps
    wall = (steps.end_ns - steps.begin_ns).astype(np.float64)
    found = np.zeros(len(steps), bool)
    for pass_ in (PASS_TIMING, PASS_OP, PASS_SPLIT):
        if pass_ == PASS_OP and keeps_statistics(profile):
            found |= (steps.pass_ == PASS_OP) & (steps.set_apart == 0)
            continue
        of_pass = steps.pass_ == pass_
        for phase, depth in _distinct(steps.phase[of_pass], steps.depth[of_pass]):
            chosen = np.flatnonzero(of_pass & (steps.phase == phase) & (steps.depth == depth))
            excess = _excess(wall[chosen], steps.index[chosen], steps.process[chosen])
            found[chosen] = excess <= 1 + MAX_EXCESS
    return found


def _excess(wall: Float64, index: npt.NDArray[np.int32], process: npt.NDArray[np.int32]) -> Float64:
    """float64[n]: each step over what it would have taken undisturbed."""
    excess = np.ones(len(wall))
    by_process = np.argsort(process, kind="stable")
    for of_process in np.split(by_process, np.flatnonzero(np.diff(process[by_process])) + 1):
        around = _running_median(wall[of_process], index[of_process])
        excess[of_process] = np.divide(
            wall[of_process], around, out=np.ones(len(around)), where=around > 0
        )
    # A graph is built anew at the same numbers in every repeat.
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    usual = medians_between(excess[order], starts, ends)
    n = ends - starts
    usual = np.where(n >= _LEAST_REPEATS, np.maximum(usual, 1.0), 1.0)
    excess[order] /= np.repeat(usual, n)
    return excess


def _running_median(wall: Float64, index: npt.NDArray[np.int32]) -> Float64:
    """float64[n]: for each step the median of those around it."""
    order = np.argsort(index, kind="stable")
    ordered, values = index[order], wall[order]
    numbers = np.unique(ordered)
    low = np.searchsorted(ordered, numbers - _N_AROUND, "left")
    high = np.searchsorted(ordered, numbers + _N_AROUND, "right")
    return medians_between(values, low, high)[np.searchsorted(numbers, index)]


def _distinct(*columns: npt.NDArray[np.integer]) -> list[tuple[int, ...]]:
    return sorted(set(zip(*(column.tolist() for column in columns), strict=True)))

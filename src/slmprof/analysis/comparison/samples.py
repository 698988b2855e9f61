"""What the processes of one profile measured: a time for each thing that can be compared."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ...profiles.data import ProfileData
from ...profiles.merging import load_of, peak_of
from ...profiles.records.meta import Meta
from ...profiles.selection import measured_processes, select_process
from ...profiles.vocabulary import PASS_TIMING, PHASES
from ..memory.use import memory_totals
from ..tables.derived import Derived
from ..timing.devices import serialized_devices
from ..timing.disturbance import keeps_statistics, split_repeats
from ..timing.phases import (
    difference_of,
    off_core_share,
    step_walls,
    summarize_phases,
    tells_another_run,
)
from ..timing.segments import NS_PER_MS
from ..timing.statistics import summarize
from ..timing.traces import incomplete_joins
from .intervals import Floats
from .op_times import OpTimes
from .places import LATENCY, Place

# Standard error of a median of n samples: this times their MAD, over the root of n (if normal).
_MEDIAN_ERROR = 1.4826 * 1.2533
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, eq=False)
class Subject:
    """A profile, as far as a comparison needs it.

    Attributes:
        name: what reports call it.
        meta: what it says about itself.
        n_depth: the depth of the context that is compared.
        n_tokens: tokens of each phase in one repeat.
        n_processes: how many there were.
        times: milliseconds of a step, float64 [n_processes, n_repeats]; NaN where a process has no
            such repeat, or a repeat no such step. Of the latency, the median unprofiled step; of
            all else the median undisturbed step of the op pass.
        noise: of latencies, the standard error of the logarithm of one process's median, by how its
            own steps differ.
        spans_ns: when each process measured, by the system's monotonic clock.
        memory_totals: allocated bytes of each kind.
        n_withheld: of each phase, the processes whose ops are not those of the step that was timed,
            so that their shares would be withheld.
        withheld: the phases of which that is so of all processes taken together.
        has_ops: whether times of ops can be told process by process.
        serialized: the devices that ran their ops one by one for the times of ops.
        joins: what is to be said of recorded kernels that have no op.
    """

    name: str
    meta: Meta
    n_depth: int
    n_tokens: Mapping[str, int]
    n_processes: int
    times: Mapping[Place, Floats]
    noise: Mapping[Place, float]
    spans_ns: tuple[tuple[int, int], ...]
    memory_totals: Mapping[str, int]
    n_withheld: Mapping[str, int]
    withheld: frozenset[str]
    has_ops: bool
    serialized: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases that were measured, prefill first."""
        return tuple(self.n_tokens)


def summarize_subject(name: str, profiles: Sequence[Derived], n_depth: int) -> Subject:
    """The figures of each process, at one depth of the context.

    Args:
        profiles: one or several of the same model and settings, in the order in which they ran;
            what is not measured in steps is taken from the first.
    """
    at_depth = _under_one_load([profile.at_depth(n_depth).data for profile in profiles])
    parts = [
        (at, select_process(data, process))
        for at, data in enumerate(at_depth)
        for process in measured_processes(data)
    ]
    # Statistics that were added up in the run are those of all processes of a profile together.
    has_ops = all(len(measured_processes(data)) == 1 or len(data.events) > 0 for data in at_depth)
    ops = [OpTimes(data) for data in at_depth]
    found: dict[Place, dict[tuple[int, int], float]] = {}
    noise: dict[Place, list[float]] = {}
    spans: list[tuple[int, int]] = []
    disturbance = {phase: _Disturbance() for phase in PHASES}
    for number, (at, part) in enumerate(parts):
        spans.append((int(part.steps.begin_ns.min()), int(part.steps.end_ns.max())))
        for phase in PHASES:
            disturbance[phase].add(part, PHASES.index(phase))
        for place, _, error in _latencies(part):
            noise.setdefault(place, []).append(error)
        repeats = split_repeats(part)
        for repeat, of_repeat in enumerate(repeats):
            for place, median, _ in _latencies(of_repeat):
                found.setdefault(place, {})[number, repeat] = median
        # Statistics that were added up in the run are those of all repeats together.
        for repeat, of_ops in enumerate([part] if keeps_statistics(part) else repeats):
            for place, time_ms in ops[at].of(of_ops).items() if has_ops else ():
                found.setdefault(place, {})[number, repeat] = time_ms
    n_repeats = 1 + max((repeat for times in found.values() for _, repeat in times), default=0)
    return Subject(
        name=name,
        meta=_meta(profiles, len(parts)),
        n_depth=n_depth,
        n_tokens={summary.phase: summary.n_tokens for summary in summarize_phases(at_depth[0])},
        n_processes=len(parts),
        times={p: _matrix(times, len(parts), n_repeats) for p, times in found.items()},
        noise={p: math.sqrt(sum(e * e for e in es) / len(es)) for p, es in noise.items()},
        spans_ns=tuple(spans),
        memory_totals=memory_totals(at_depth[0]),
        n_withheld={phase: of.n_withheld for phase, of in disturbance.items()},
        withheld=frozenset(phase for phase, of in disturbance.items() if of.is_withheld),
        has_ops=has_ops,
        serialized=tuple(dict.fromkeys(name for at in at_depth for name in serialized_devices(at))),
        joins=tuple(dict.fromkeys(text for at in at_depth for text in incomplete_joins(at))),
    )


def _under_one_load(profiles: Sequence[ProfileData]) -> list[ProfileData]:
    """The profiles, each with the load of all: a profile of several processes keeps no other, and
    is to be told as they are."""
    load = load_of(profiles)
    return [
        replace(one, meta=one.meta.replace(environment=one.meta.environment.replace(load=load)))
        for one in profiles
    ]


def _matrix(times: Mapping[tuple[int, int], float], n_processes: int, n_repeats: int) -> Floats:
    """The times by process and repeat; NaN where there is none."""
    matrix = np.full((n_processes, n_repeats), math.nan)
    for place, time_ms in times.items():
        matrix[place] = time_ms
    return matrix


class _Disturbance:
    """How far the ops of a phase are those of other steps than were timed, process by process."""

    def __init__(self) -> None:
        self.n_withheld = 0
        self._timed: list[npt.NDArray[np.int64]] = []
        self._profiled: list[npt.NDArray[np.int64]] = []
        self._off_core: list[float] = []

    def add(self, part: ProfileData, phase: int) -> None:
        timed, profiled = step_walls(part, phase)
        off_core = off_core_share(part, phase)
        self.n_withheld += tells_another_run(difference_of(timed, profiled), off_core)
        self._timed.append(timed)
        self._profiled.append(profiled)
        if off_core is not None:
            self._off_core.append(off_core)

    @property
    def is_withheld(self) -> bool:
        """Of all processes taken together."""
        difference = difference_of(np.concatenate(self._timed), np.concatenate(self._profiled))
        off_core = float(np.mean(self._off_core)) if self._off_core else None
        return tells_another_run(difference, off_core)


def _meta(profiles: Sequence[Derived], n_processes: int) -> Meta:
    """The first profile's, with the memory of the largest peak and the warnings of all; of those
    that differ in their numbers alone, the one with the largest."""
    first = profiles[0].data.meta
    told: dict[str, str] = {}
    for profile in profiles:
        for text in profile.data.meta.environment.warnings:
            kind = warning_kind(text)
            told[kind] = max(text, told.get(kind, text), key=_numbers)
    environment = first.environment.replace(warnings=tuple(told.values()))
    config = replace(first.config, processes=n_processes)
    memory = max((profile.data.meta.memory for profile in profiles), key=peak_of)
    return first.replace(config=config, environment=environment, memory=memory)


def warning_kind(text: str) -> str:
    """What a warning is about, whatever its numbers."""
    return _NUMBER.sub("#", text)


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def are_interleaved(a: Subject, b: Subject) -> bool:
    """Whether the processes of both ran in turns, one of each in a round.

    The clock of all processes of a machine is the same, and starts anew with the machine: they have
    where rounds do not overlap.
    """
    if a.n_processes != b.n_processes or a.n_processes < 2:
        return False
    rounds = [
        (min(begin_a, begin_b), max(end_a, end_b))
        for (begin_a, end_a), (begin_b, end_b) in zip(a.spans_ns, b.spans_ns, strict=True)
    ]
    return all(before[1] <= after[0] for before, after in pairwise(rounds))


def _latencies(part: ProfileData) -> Iterator[tuple[Place, float, float]]:
    """For each phase the median unprofiled step, and the standard error of its logarithm."""
    steps = part.steps
    wall_ms = (steps.end_ns - steps.begin_ns) / NS_PER_MS
    for number, phase in enumerate(PHASES):
        summary = summarize(wall_ms[(steps.phase == number) & (steps.pass_ == PASS_TIMING)])
        if summary is None or summary.median <= 0:
            continue
        n = int(((steps.phase == number) & (steps.pass_ == PASS_TIMING)).sum())
        error = _MEDIAN_ERROR * summary.mad / summary.median / math.sqrt(n)
        yield Place(LATENCY, phase, phase), summary.median, error

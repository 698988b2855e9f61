"""How long all ops of each place took in a step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...profiles.data import ProfileData
from ...profiles.schema import Float64
from ...profiles.vocabulary import PHASES, STAGE_CONVERSION
from ..graphs.nodes import UNRECORDED_NODE, Node, describe_nodes
from ..graphs.structures import Structures
from ..timing.disturbance import keeps_statistics
from ..timing.phases import op_steps, ops_total_ns
from ..timing.segments import NS_PER_MS
from ..timing.spans import op_spans, op_stats
from .places import Place, places_of

Numbers = npt.NDArray[np.integer]


class OpTimes:
    """Times of ops, of the parts of one profile."""

    def __init__(self, profile: ProfileData) -> None:
        self._profile = profile
        self._structures = Structures(profile)
        self._nodes: dict[tuple[int, int, int], Node] = {}
        self._places: dict[tuple[int, ...], tuple[Place, ...]] = {}

    def of(self, part: ProfileData) -> dict[Place, float]:
        """Milliseconds of a step of a part, by block, part, kernel, layer and op.

        The median of the undisturbed op-pass steps in which something of the place ran, times the
        share of the steps that these are. Where the profile keeps statistics in place of events,
        the mean.
        """
        times: dict[Place, float] = {}
        ran = _Ran.of(part)
        for number, phase in enumerate(PHASES):
            chosen = op_steps(part, number)
            n_steps = int(chosen.sum())
            if n_steps == 0:
                continue
            keys, times_ns = ran.of_phase(number, chosen)
            places, of_places_ns = self._by_place(number, keys, times_ns)
            typical_ns = _typical(of_places_ns)
            times.update(zip(places, (typical_ns / NS_PER_MS).tolist(), strict=True))
            # What graphs ran while the recorder was full.
            rest_ns = ops_total_ns(part, number) / n_steps - np.nansum(times_ns) / times_ns.shape[1]
            if rest_ns >= 1:
                for place in places_of(phase, UNRECORDED_NODE, ""):
                    times[place] = times.get(place, 0.0) + rest_ns / NS_PER_MS
        return times

    def _by_place(
        self, phase: int, keys: npt.NDArray[np.int64], times_ns: Float64
    ) -> tuple[list[Place], Float64]:
        """What the keys are parts of, and the rows of the keys added up: [n_places, n_steps]."""
        nodes = dict.fromkeys(map(tuple, keys[:, :3].tolist()))
        new = [node for node in nodes if node not in self._nodes]
        self._nodes.update(describe_nodes(self._profile, new, self._structures))
        numbers: dict[Place, int] = {}
        of_key = [self._of_key(phase, *key) for key in keys.tolist()]
        place = [numbers.setdefault(one, len(numbers)) for found in of_key for one in found]
        row = np.repeat(np.arange(len(keys)), [len(found) for found in of_key])
        known = ~np.isnan(times_ns)
        sums, ran = (np.zeros((len(numbers), times_ns.shape[1])) for _ in range(2))
        np.add.at(sums, place, np.where(known, times_ns, 0.0)[row])
        np.add.at(ran, place, known[row])
        sums[ran == 0] = np.nan
        return list(numbers), sums

    def _of_key(
        self, phase: int, graph: int, node: int, n_fused: int, stage: int, path: int
    ) -> tuple[Place, ...]:
        key = phase, graph, node, n_fused, stage, path
        if key not in self._places:
            code = self._profile.text(path)
            described = self._nodes[graph, node, n_fused]
            if stage == STAGE_CONVERSION:
                described = described.conversion(code)
            self._places[key] = tuple(places_of(PHASES[phase], described, code))
        return self._places[key]


class _Ran(NamedTuple):
    """What ran in the op passes of a part: columns of one length.

    Attributes:
        phase: of the step.
        key: graph, node, n_fused, stage and path.
        step: the step, or -1 where the times of all steps are added up.
    """

    phase: Numbers
    key: tuple[Numbers, ...]
    step: Numbers
    span_ns: Numbers

    @classmethod
    def of(cls, part: ProfileData) -> _Ran:
        if keeps_statistics(part):
            stats = op_stats(part)
            key = stats.graph, stats.node, stats.n_fused, stats.stage, stats.path
            return cls(stats.phase, key, np.full(len(stats), -1), stats.span_sum_ns)
        spans = op_spans(part)
        key = part.runs.graph[spans.run], spans.node, spans.n_fused, spans.stage, spans.path
        step = part.runs.step[spans.run]
        return cls(part.steps.phase[step], key, step, spans.span_ns)

    def of_phase(
        self, phase: int, chosen: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.int64], Float64]:
        """The distinct keys of some steps of a phase, and nanoseconds of each.

        Returns:
            The keys, [n_keys, 5], and their times in each of the steps, [n_keys, n_steps], NaN
            where one did not run; where times are added up, the mean is the only column.
        """
        is_sum = self.step < 0
        kept = (self.phase == phase) & (is_sum | chosen[self.step])
        n_steps = int(chosen.sum())
        # As one number each, which sorts faster than five.
        parts = [np.asarray(of[kept], np.int64) for of in self.key]
        least = [int(of.min(initial=0)) for of in parts]
        parts = [of - low for of, low in zip(parts, least, strict=True)]
        dims = [int(of.max(initial=0)) + 1 for of in parts]
        distinct, row = np.unique(np.ravel_multi_index(parts, dims), return_inverse=True)
        keys = np.stack(np.unravel_index(distinct, dims), axis=1).astype(np.int64) + least
        span_ns = self.span_ns[kept].astype(np.float64)
        if is_sum.any():
            means_ns: Float64 = np.bincount(row, span_ns, minlength=len(keys)) / n_steps
            return keys, means_ns[:, None]
        number = (np.cumsum(chosen) - 1)[self.step[kept]]
        place, size = row * n_steps + number, len(keys) * n_steps
        times_ns = np.bincount(place, span_ns, minlength=size).astype(np.float64)
        times_ns[np.bincount(place, minlength=size) == 0] = np.nan
        return keys, times_ns.reshape(len(keys), n_steps)


def _typical(times_ns: Float64) -> Float64:
    """Of each row the median of the steps in which it has a value, times their share of all."""
    typical: Float64 = np.median(times_ns, axis=1)
    for row in np.flatnonzero(np.isnan(typical)):
        ran = times_ns[row][~np.isnan(times_ns[row])]
        typical[row] = np.median(ran) * len(ran) / times_ns.shape[1]
    return typical

"""The work of every op of a profile: what a graph says, and what only a run knows of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ...profiles.data import ProfileData
from ...profiles.distinct_rows import distinct_rows, values_of
from ...profiles.tables import StatTable
from ...profiles.vocabulary import PASS_OP, STAGE_CONVERSION
from ..graphs.kernel_names import converted_type
from ..graphs.structures import Structures
from ..timing.disturbance import undisturbed
from .counts import Attended, GraphWork, Work

_Place = tuple[int, int, int, int]
"""Phase, depth, graph, and a row of the graph."""
_NO_CODE = -2  # of a row: that of no conversion


class ProfileWork:
    """Work per call of the rows of `stats`.

    The lengths that attention really saw and the experts that were really read differ from run to
    run; work is linear in both, so that their means give the mean work.
    """

    def __init__(self, profile: ProfileData, stats: StatTable, structures: Structures) -> None:
        self._strings, self._text = profile.strings, profile.text
        self._structures = structures
        self._graphs: dict[int, GraphWork] = {}
        self._attended = dict(_mean_attended(profile))
        self._n_experts = dict(_mean_experts(stats))

    def of_rows(self, stats: StatTable) -> tuple[list[Work], npt.NDArray[np.intp]]:
        """Mean work of one call of each row of `stats`: what differs, and int[n], which it is."""
        # An op that ran on several lanes, or by several kernels, has a row for each.
        is_conversion = stats.stage == STAGE_CONVERSION
        code = np.where(is_conversion, stats.path, _NO_CODE)
        columns = (stats.phase, stats.depth, stats.graph, stats.node, stats.n_fused, code)
        first, which = distinct_rows(columns)
        works = []
        for phase, depth, graph, node, n_fused, path in values_of(columns, first):
            converted = None if path == _NO_CODE else converted_type(self._text(path))
            works.append(self._of((phase, depth, graph, node), n_fused, converted))
        return works, which

    def _of(self, place: _Place, n_fused: int, converted: str | None) -> Work:
        phase, depth, number, node = place
        graph = self._graph(number)
        if converted is not None:
            return graph.of_conversion(node, converted)
        mask, router = graph.mask_of(node), graph.router_of(node)
        return graph.of(
            node,
            n_fused,
            attended=self._attended.get((phase, depth, number, mask)),
            n_experts=self._n_experts.get((phase, depth, number, router if router >= 0 else node)),
        )

    def _graph(self, number: int) -> GraphWork:
        if number not in self._graphs:
            tensors = self._structures.tensors(number)
            edges = self._structures.of(number).edges
            self._graphs[number] = GraphWork(tensors, self._strings, self._structures.types, edges)
        return self._graphs[number]


def _mean_experts(stats: StatTable) -> Iterator[tuple[_Place, float]]:
    """The experts that each routed product read, on the mean of its calls."""
    routed = stats.take(
        (stats.n_experts_sum > 0) & (stats.calls > 0) & (stats.stage != STAGE_CONVERSION)
    )
    for row in range(len(routed)):
        place = (routed.phase[row], routed.depth[row], routed.graph[row], routed.node[row])
        phase, depth, graph, node = (int(number) for number in place)
        # Products that took several paths have a row for each; one of them is as good as all.
        yield (phase, depth, graph, node), int(routed.n_experts_sum[row]) / int(routed.calls[row])


def _mean_attended(profile: ProfileData) -> Iterator[tuple[_Place, Attended]]:
    """What each mask let through, on the mean of its runs."""
    masks, runs, steps = profile.masks, profile.runs, profile.steps
    step = runs.step[masks.run]
    observed = (steps.pass_[step] == PASS_OP) & undisturbed(profile)[step]
    columns = [
        column[observed]
        for column in (steps.phase[step], steps.depth[step], runs.graph[masks.run], masks.tensor)
    ]
    first, group = distinct_rows(columns)
    distinct = values_of(columns, first)
    n = np.bincount(group, minlength=len(distinct))
    pairs = np.bincount(group, masks.n_pairs[observed], minlength=len(distinct)) / n
    seen = np.bincount(group, masks.n_keys[observed], minlength=len(distinct)) / n
    for key, n_pairs, n_keys in zip(distinct, pairs.tolist(), seen.tolist(), strict=True):
        phase, depth, graph, tensor = key
        yield (phase, depth, graph, tensor), Attended(n_pairs, n_keys)

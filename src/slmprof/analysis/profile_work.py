"""The work of every op of a profile: what a graph says, and what only a run knows of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..profiles.data import Profile
from ..profiles.tables import StatTable
from ..profiles.vocabulary import PASS_OP, STAGE_CONVERSION
from .kernels import converted_type
from .work import Attended, GraphWork, Work


class ProfileWork:
    """Work per call of the rows of `stats`.

    The lengths that attention really saw and the experts that were really read differ from run to
    run; work is linear in both, so that their means give the mean work.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._graphs: dict[int, GraphWork] = {}
        self._attended = dict(_mean_attended(profile))

    def of_row(self, stats: StatTable, row: int, code: str) -> Work:
        """Mean work of one call of a row of `stats`; `code` is the text of its path."""
        graph = self._graph(int(stats.graph[row]))
        node = int(stats.node[row])
        calls = int(stats.calls[row])
        n_experts = int(stats.n_experts_sum[row]) / calls if calls else 0.0
        experts = n_experts if n_experts > 0 else None
        if stats.stage[row] == STAGE_CONVERSION:
            return graph.of_conversion(node, converted_type(code), n_experts=experts)
        mask = graph.mask_of(node)
        attended = None
        if mask >= 0:
            phase, depth = int(stats.phase[row]), int(stats.depth[row])
            attended = self._attended.get((phase, depth, int(stats.graph[row]), mask))
        return graph.of(node, int(stats.n_fused[row]), attended=attended, n_experts=experts)

    def _graph(self, number: int) -> GraphWork:
        if number not in self._graphs:
            tensors = self._profile.tensors.of_graph(number)
            self._graphs[number] = GraphWork(tensors, self._profile.strings)
        return self._graphs[number]


def _mean_attended(profile: Profile) -> Iterator[tuple[tuple[int, int, int, int], Attended]]:
    """(phase, depth, graph, mask's row) and what the mask let through, on the mean of its runs."""
    masks, runs, steps = profile.masks, profile.runs, profile.steps
    step = runs.step[masks.run]
    keys = np.stack(
        [steps.phase[step], steps.depth[step], runs.graph[masks.run], masks.tensor], axis=1
    ).astype(np.int64)
    observed = steps.pass_[step] == PASS_OP
    distinct, group = np.unique(keys[observed], axis=0, return_inverse=True)
    group = group.reshape(-1)
    n = np.bincount(group, minlength=len(distinct))
    pairs = np.bincount(group, masks.n_pairs[observed], minlength=len(distinct)) / n
    seen = np.bincount(group, masks.n_keys[observed], minlength=len(distinct)) / n
    for key, n_pairs, n_keys in zip(distinct.tolist(), pairs.tolist(), seen.tolist(), strict=True):
        phase, depth, graph, tensor = key
        yield (phase, depth, graph, tensor), Attended(n_pairs, n_keys)

"""Recorded kernels joined to ops again, from what the profile keeps of the recording.

As the recorder does it (csrc/cuda/joiner.cpp, docs/cuda.md), without a GPU and without native code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ...errors import ProfileFormatError, UsageError
from ...profiles.data import ProfileData
from ...profiles.kernel_tables import StrayKernelTable
from ...profiles.schema import Int32, Int64, UInt8, UInt16
from ...profiles.tables import EventTable
from ...profiles.vocabulary import GPU, JOIN_WAYS, NODE_KINDS

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
_Profile = TypeVar("_Profile", bound=ProfileData)

NONE, LAUNCH, SOURCE, NODE, CLONE, LOCAL, ORDER = range(len(JOIN_WAYS))
_KERNEL = NODE_KINDS.index("kernel")
# A graph is cloned for an executable one, a child for the graph that it is put in: no chain is
# longer than a few, and an id that was used twice must not make it endless.
_LONGEST_CHAIN = 16
_LOCAL_HALF = 2**32 - 1
# Columns of `traces` by way.
_COUNTS = (
    "n_stray", "n_launched", "n_by_source", "n_by_node", "n_by_clone", "n_by_local", "n_by_order",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class KernelJoin:
    """One element for each launch, and counts for each trace.

    Attributes:
        run, node, n_fused, way: as in the profile's `launches`.
        differs: which launches the recorder joined otherwise.
        n_ordered, n_misplaced, n_misnamed, n_unordered_replays: as in `traces`.
    """

    run: Int32
    node: Int32
    n_fused: UInt16
    way: UInt8
    differs: Flags
    n_ordered: Int64
    n_misplaced: Int64
    n_misnamed: Int64
    n_unordered_replays: Int64

    @property
    def n_different(self) -> int:
        """Launches that the recorder joined otherwise."""
        return int(self.differs.sum())


def join_again(profile: ProfileData) -> KernelJoin:
    """Joins the launches of a profile to ops.

    Raises:
        UsageError: the profile does not keep what they were joined by.
        ProfileFormatError: a launch leads to an op that its run does not have.
    """
    if len(profile.launches) == 0 or len(profile.issues) == 0:
        raise UsageError(
            "the profile keeps no records of kernels to join again; a run on a GPU keeps them with "
            "--events all"
        )
    return _Joiner(profile).join()


def with_joins(profile: _Profile, joins: KernelJoin) -> _Profile:
    """The profile as if this had been the recorder's result.

    When runs began and ended, and the gaps in them, stay as recorded.
    """
    launches = profile.launches.replace(
        run=joins.run, node=joins.node, n_fused=joins.n_fused, way=joins.way
    )
    traces = profile.traces
    n = len(traces)
    took = launches.end_ns - launches.begin_ns
    joined = joins.node >= 0
    by_way = _sums(launches.trace * np.int64(len(JOIN_WAYS)) + joins.way, None, n * len(JOIN_WAYS))
    by_way = by_way.reshape(n, len(JOIN_WAYS))
    traces = traces.replace(
        kernel_ns=_sums(launches.trace, took, n),
        joined_ns=_sums(launches.trace[joined], took[joined], n),
        **{name: by_way[:, way] for way, name in enumerate(_COUNTS)},
        n_ordered=joins.n_ordered,
        n_misplaced=joins.n_misplaced,
        n_misnamed=joins.n_misnamed,
        n_unordered_replays=joins.n_unordered_replays,
    )
    tables = {"launches": launches, "traces": traces}
    made = profile.with_tables(tables)
    return made.with_tables({"stray_kernels": _strays(made), "events": _events(made)})


class _Joiner:
    """Joins the launches of one profile.

    What was captured is a list of entries, one for each node of each capture, which other names
    (`ids`) lead to; an entry's place in its capture is its distance from the capture's first.
    """

    def __init__(self, profile: ProfileData) -> None:
        self.profile = profile
        launches, issues = profile.launches, profile.issues
        issued = launches.issue >= 0
        # One more issue stands for none.
        at = launches.issue
        self.run = np.append(issues.run, np.int32(-1))[at]
        self.version = np.append(issues.version, np.int32(-1))[at]
        self.is_direct = issued & (np.append(issues.node, np.int32(-1))[at] >= 0)
        self.is_replay = issued & ~self.is_direct
        unissued = ~issued & (launches.cuda_graph != 0)
        self.version[unissued] = self._latest(
            launches.trace[unissued], launches.cuda_graph[unissued]
        )

        nodes, captures = profile.captured_nodes, profile.captures
        is_entry = np.diff(nodes.capture, prepend=-1) != 0
        is_entry |= np.diff(nodes.place, prepend=-1) != 0
        entry = np.cumsum(is_entry) - 1
        self.entries = nodes.take(is_entry)
        known = nodes.cuda_node != 0
        trace = captures.trace[nodes.capture[known]]
        names = zip(trace.tolist(), nodes.cuda_node[known].tolist(), strict=True)
        self.ids = dict(zip(names, entry[known].tolist(), strict=True))
        # Entries of capture c are those from first[c] to first[c + 1].
        self.first = np.searchsorted(self.entries.capture, np.arange(len(captures) + 1))
        clones = profile.cloned_nodes
        keys = zip(clones.trace.tolist(), clones.cuda_node.tolist(), strict=True)
        self.originals = dict(zip(keys, clones.original_cuda_node.tolist(), strict=True))

    def join(self) -> KernelJoin:
        entry, way = self._by_id()
        counts = self._check_order(entry, way)
        issues, launches = self.profile.issues, self.profile.launches
        found = entry >= 0
        misnamed = found.copy()
        misnamed[found] = _is_named_otherwise(self.entries.name[entry[found]], launches.name[found])
        # A node of a run that nobody knows is no op.
        way[self.run < 0] = NONE
        found &= way != NONE
        node = np.full(len(launches), -1, np.int64)
        n_fused = np.zeros(len(launches), np.uint16)
        direct = way == LAUNCH
        node[direct] = issues.node[launches.issue[direct]]
        n_fused[direct] = issues.n_fused[launches.issue[direct]]
        node[found] = self.entries.node[entry[found]]
        n_fused[found] = self.entries.n_fused[entry[found]]
        in_graph = self._in_graph(node, n_fused)
        differs = (self.run != launches.run) | (in_graph != launches.node)
        differs |= (n_fused != launches.n_fused) | (way != launches.way)
        n = len(self.profile.traces)
        return KernelJoin(
            run=self.run,
            node=in_graph,
            n_fused=n_fused,
            way=way,
            differs=differs,
            n_misnamed=_sums(launches.trace[misnamed], None, n),
            **counts,
        )

    def _latest(self, traces: Int32, graphs: npt.NDArray[np.uint32]) -> Int32:
        """The last version of each executable graph, or -1."""
        versions = self.profile.graph_versions
        keys = zip(versions.trace.tolist(), versions.cuda_graph.tolist(), strict=True)
        last = {key: row for row, key in enumerate(keys)}
        wanted = zip(traces.tolist(), graphs.tolist(), strict=True)
        return np.array([last.get(key, -1) for key in wanted], np.int32)

    def _by_id(self) -> tuple[Rows, UInt8]:
        """For each launch the entry that its ids lead to, or -1, and the way."""
        launches = self.profile.launches
        entry = np.full(len(launches), -1, np.intp)
        way = np.where(self.is_direct, LAUNCH, NONE).astype(np.uint8)
        named = (launches.cuda_graph | launches.cuda_node | launches.source_cuda_node) != 0
        rows = np.flatnonzero(~self.is_direct & named)
        keys = (launches.trace, self.version, launches.cuda_node, launches.source_cuda_node)
        # Replays name the same nodes again and again.
        for alike in _groups(rows, *(key[rows] for key in keys)):
            entry[alike], way[alike] = self._find(*(int(key[alike[0]]) for key in keys))
        return entry, way

    def _find(self, trace: int, version: int, node: int, source: int) -> tuple[int, int]:
        """The entry of a replayed node, or -1, and the way; by order nothing is found."""
        if source and (trace, source) in self.ids:
            return self.ids[trace, source], SOURCE
        versions = self.profile.graph_versions
        made, updated, graph = -1, -1, 0
        if version >= 0:
            made, updated = int(versions.made_from[version]), int(versions.updated_from[version])
            graph = int(versions.cuda_graph[version])
        number = node
        for step in range(_LONGEST_CHAIN):
            if (trace, number) in self.ids:
                way = CLONE if step else NODE
                return self._carried_over(trace, self.ids[trace, number], made, updated, way)
            number = self.originals.get((trace, number), 0)
            if number == 0:
                break
        # The clone itself was not seen. Nodes of a child graph have another graph's numbers; some
        # versions of CUPTI leave the graph's half of an id out.
        if version >= 0 and node >> 32 in (graph, 0):
            local = self._local(trace, made, node)
            if local >= 0:
                return self._carried_over(trace, local, made, updated, LOCAL)
        return -1, NONE

    def _carried_over(
        self, trace: int, entry: int, made: int, updated: int, way: int
    ) -> tuple[int, int]:
        """The entry after an update, which gives the parameters of the other capture to the nodes
        that the executable graph has."""
        if int(self.entries.capture[entry]) != made or updated == made:
            return entry, way
        if updated < 0:
            return -1, NONE  # by a capture that was not seen
        mine, other = self._entries_of(made), self._entries_of(updated)
        if np.array_equal(self.entries.kind[mine], self.entries.kind[other]):
            return int(other.start + entry - mine.start), way
        local = self._local(trace, updated, int(self.entries.cuda_node[entry]))
        return local, LOCAL if local >= 0 else NONE

    def _local(self, trace: int, capture: int, node: int) -> int:
        """The entry of a capture's launched graph with a node's local half, or -1."""
        graph = int(self.profile.captures.cuda_graph[capture]) if capture >= 0 else 0
        if graph == 0:
            return -1
        entry = self.ids.get((trace, graph << 32 | node & _LOCAL_HALF), -1)
        # An id that was used again is another capture's.
        return entry if entry >= 0 and int(self.entries.capture[entry]) == capture else -1

    def _entries_of(self, capture: int) -> slice:
        return slice(int(self.first[capture]), int(self.first[capture + 1]))

    def _check_order(self, entry: Rows, way: UInt8) -> dict[str, Int64]:
        """Holds each replay against the order of its capture, and joins by it what ids did not."""
        launches, versions = self.profile.launches, self.profile.graph_versions
        names = ("n_ordered", "n_misplaced", "n_unordered_replays")
        counts = {name: np.zeros(len(self.profile.traces), np.int64) for name in names}
        rows = np.flatnonzero(self.is_replay)
        for replay in _groups(rows, launches.trace[rows], launches.correlation[rows]):
            trace, version = launches.trace[replay[0]], self.version[replay[0]]
            capture = int(versions.updated_from[version]) if version >= 0 else -1
            captured = self._kernels_of(capture)
            has_order = np.all(launches.stream[replay] == launches.stream[replay[0]])
            has_order &= np.all(launches.begin_ns[replay] != 0)
            if capture < 0 or not has_order or len(captured) != len(replay):
                counts["n_unordered_replays"][trace] += 1
                continue
            in_order = replay[np.argsort(launches.begin_ns[replay], kind="stable")]
            is_misplaced = (way[in_order] != NONE) & (entry[in_order] != captured)
            counts["n_ordered"][trace] += len(replay)
            counts["n_misplaced"][trace] += int(is_misplaced.sum())
            misnamed = _is_named_otherwise(self.entries.name[captured], launches.name[in_order])
            if not np.any(is_misplaced | misnamed):
                is_open = way[in_order] == NONE
                entry[in_order[is_open]] = captured[is_open]
                way[in_order[is_open]] = ORDER
        return counts

    def _kernels_of(self, capture: int) -> Rows:
        if capture < 0:
            return np.empty(0, np.intp)
        mine = self._entries_of(capture)
        kernels: Rows = mine.start + np.flatnonzero(self.entries.kind[mine] == _KERNEL)
        return kernels

    def _in_graph(self, node: Int64, n_fused: UInt16) -> Int32:
        """Nodes of the graph; they are counted in the split of their run."""
        profile, found = self.profile, np.flatnonzero(node >= 0)
        run = self.run[found]
        node[found] += profile.splits.first_node[profile.runs.split[run]]
        after = profile.graphs.n_nodes[profile.runs.graph[run]] - node[found]
        if np.any(n_fused[found] >= after):
            raise ProfileFormatError("the records lead to an op that the run does not have")
        return node.astype(np.int32)


def _is_named_otherwise(captured: Int32, name: Int32) -> Flags:
    is_other: Flags = (captured >= 0) & (captured != name)
    return is_other


def _groups(rows: Rows, *keys: npt.NDArray[Any]) -> Iterator[Rows]:
    """The rows that agree in all keys, in their order."""
    if len(rows) == 0:
        return iter(())
    order = np.lexsort(keys)  # which is stable
    differs = np.zeros(len(rows) - 1, np.bool_)
    for key in keys:
        differs |= np.diff(key[order].astype(np.uint64)) != 0
    return iter(np.split(rows[order], np.flatnonzero(differs) + 1))


def _sums(group: npt.NDArray[Any], values: Int64 | None, n: int) -> Int64:
    """Sums of integers by group, exact; without values, how many there are."""
    sums = np.zeros(n, np.int64)
    np.add.at(sums, group, 1 if values is None else values)
    return sums


def _strays(profile: ProfileData) -> StrayKernelTable:
    """Those of no op by collection and name."""
    rest = profile.launches.take(profile.launches.node < 0)
    kinds, group = np.unique(rest.trace.astype(np.int64) << 32 | rest.name + 1, return_inverse=True)
    return StrayKernelTable.from_columns(
        {
            "step": profile.traces.step[kinds >> 32],
            "name": (kinds & _LOCAL_HALF) - 1,
            "calls": _sums(group, None, len(kinds)),
            "total_ns": _sums(group, rest.end_ns - rest.begin_ns, len(kinds)),
        }
    )


def _events(profile: ProfileData) -> EventTable:
    """The events, with those of GPUs made of the launches; they lie within their run."""
    kinds = [profile.text(kind) for kind in profile.lanes.kind.tolist()]
    on_gpu = np.array([kind == GPU for kind in kinds], np.bool_)
    mine = profile.launches.take(profile.launches.node >= 0)
    runs = profile.runs.take(mine.run)
    begin = np.clip(mine.begin_ns, runs.begin_ns, runs.end_ns)
    own: dict[str, npt.ArrayLike] = {
        "run": mine.run,
        "node": mine.node,
        "n_fused": mine.n_fused,
        "lane": runs.lane,
        "path": mine.name,
        "begin_ns": begin,
        "end_ns": np.clip(mine.end_ns, begin, runs.end_ns),
    }
    zeros, none = np.zeros(len(mine), np.int32), np.full(len(mine), -1, np.int32)
    rest = {
        name: none if column.is_text else zeros
        for name, column in EventTable.schema().items()
        if name not in own
    }
    others = profile.events.take(~on_gpu[profile.events.lane])
    events = EventTable.concatenate([others, EventTable.from_columns({**own, **rest})])
    return events.take(np.lexsort((events.begin_ns, events.lane, events.run)))

"""Checks that every reference within a profile's tables leads somewhere.

What passes here can be analysed without a further look: no index is out of range, times do not run
backwards, and sums of durations fit 64 bits. What concerns one column alone is said in the schema;
the rules here tie columns to each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ProfileFormatError
from .all_tables import TABLES
from .schema import Int64, Table
from .tables import N_SOURCES
from .vocabulary import GAPS

if TYPE_CHECKING:
    from .data import ProfileData

Ints = npt.NDArray[Any]

# What reads a graph takes these operands for granted.
_LEAST_SOURCES = {"MUL_MAT": 2, "MUL_MAT_ID": 3, "ADD": 2, "GET_ROWS": 2}
_LEAST_SOURCES |= dict.fromkeys(("SOFT_MAX", "SCALE", "CONT", "CPY", "DUP", "CAST"), 1)


def check_profile(profile: ProfileData) -> None:
    """Checks all tables of a profile.

    Raises:
        ProfileFormatError: names the first column that is wrong.
    """
    n_graphs = len(profile.graphs)
    of_graph = profile.tensors.graph.clip(-1, n_graphs) + 1
    n_tensors = np.bincount(of_graph, minlength=n_graphs + 2)[1 : n_graphs + 1].astype(np.int64)
    n_nodes = profile.graphs.n_nodes.astype(np.int64)
    # Those first that say how much there is in a graph, and which graph a run had.
    for table in sorted(TABLES, key=lambda t: any(c.within for c in t.schema().values())):
        _check_columns(profile, table.NAME, {"nodes": n_nodes, "tensors": n_tensors})
    _check_tensors(profile, n_tensors, n_nodes)
    _check_splits(profile, n_nodes)
    _check_events(profile)
    _check_launches(profile, n_nodes)
    _check_join_inputs(profile)
    for rows in (profile.events, profile.stats):
        n_following = n_nodes[_graph_of_rows(profile, rows)] - rows.node
        _check_range(f"{rows.NAME}.n_fused", rows.n_fused, 0, n_following)
    if float(profile.places.size_bytes.astype(np.float64).sum()) >= 2.0**62:
        raise ProfileFormatError("column places.size_bytes adds up to more than can be")


def _check_columns(profile: ProfileData, name: str, of_graph: dict[str, Int64]) -> None:
    """Checks each column of a table against its own limits and the size of what it refers to.

    What says which graph a row is about stands before what is counted within that graph.
    """
    table: Table = getattr(profile, name)
    columns = table.columns()
    for column in table.schema().values():
        end: float | Ints | None = column.end
        if column.is_text:
            end = len(profile.strings)
        elif column.row_of:
            end = len(getattr(profile, column.row_of))
        elif column.within:
            end = of_graph[column.within][_graph_of_rows(profile, table)]
        _check_range(f"{name}.{column.name}", columns[column.name], column.low, end)
    if "end_ns" in columns:
        _check_range(f"{name}.end_ns", columns["end_ns"], columns["begin_ns"], None)


def _graph_of_rows(profile: ProfileData, table: Table) -> npt.NDArray[np.int32]:
    """int32[n]: the graph that each row is about, by itself or by its run."""
    columns = table.columns()
    of_run: npt.NDArray[np.int32] = profile.runs.graph
    return columns["graph"] if "graph" in columns else of_run[columns["run"]]


def _check_tensors(profile: ProfileData, sizes: Int64, n_nodes: Int64) -> None:
    tensors = profile.tensors
    if np.any(np.diff(tensors.graph) < 0):
        raise ProfileFormatError("column tensors.graph is not in order")
    if np.any(n_nodes > sizes):
        raise ProfileFormatError("column graphs.n_nodes promises more nodes than the tensors have")
    # A graph's nodes come first, numbered as they stand; its leaves follow.
    first = np.cumsum(sizes) - sizes
    position = np.arange(len(tensors), dtype=np.int64) - first[tensors.graph]
    expected = np.where(position < n_nodes[tensors.graph], position, -1)
    if np.any(tensors.node != expected):
        raise ProfileFormatError("column tensors.node does not count the nodes of each graph")
    _check_operands(profile, position, n_nodes[tensors.graph])


def _check_splits(profile: ProfileData, n_nodes: Int64) -> None:
    splits, runs = profile.splits, profile.runs
    if np.any(np.diff(splits.graph) < 0):
        raise ProfileFormatError("column splits.graph is not in order")
    # Each begins where the one before it ends; the last one ends with the graph.
    n_before = np.cumsum(splits.n_nodes, dtype=np.int64) - splits.n_nodes
    first = np.searchsorted(splits.graph, splits.graph)
    following = n_nodes[splits.graph] - splits.first_node
    _check_range("splits.n_nodes", splits.n_nodes, 0, following + 1)
    is_last = np.diff(splits.graph, append=-1) != 0
    ends = splits.n_nodes == following
    if np.any(splits.first_node != n_before - n_before[first]) or np.any(is_last & ~ends):
        raise ProfileFormatError("column splits.first_node does not follow the splits before it")
    if np.any(splits.graph[runs.split] != runs.graph):
        raise ProfileFormatError("column runs.split names a split of another graph")


def _check_operands(profile: ProfileData, position: Int64, n_nodes: Int64) -> None:
    """Checks that nodes read leaves and earlier nodes alone: a walk against the edges ends."""
    tensors = profile.tensors
    rows = {op: _rows_of(profile, op) & (position < n_nodes) for op in _LEAST_SOURCES}
    for i in range(N_SOURCES):
        source = getattr(tensors, f"src{i}")
        is_late = (source >= 0) & (source < n_nodes) & (source >= position)
        if i == 1:
            # A cast is a copy whose second operand is its own result.
            is_late &= ~(rows["CPY"] & (source == position))
        if np.any(is_late):
            raise ProfileFormatError(f"column tensors.src{i} is not in the order of the nodes")
        for op, n_least in _LEAST_SOURCES.items():
            if i < n_least and np.any(source[rows[op]] < 0):
                raise ProfileFormatError(f"column tensors.src{i} lacks an operand of {op}")


def _rows_of(profile: ProfileData, op: str) -> npt.NDArray[np.bool_]:
    """bool[n]: which tensors are results of an operator."""
    return np.isin(profile.tensors.op, [i for i, s in enumerate(profile.strings) if s == op])


def _check_events(profile: ProfileData) -> None:
    events, runs = profile.events, profile.runs
    _check_range("runs.n_threads", runs.n_threads, 1, len(profile.lanes) - runs.lane + 1)
    first = runs.lane[events.run]
    _check_range("events.lane", events.lane, first, first + runs.n_threads[events.run])
    for name in ("convert_ns", "resume_ns"):
        column = getattr(events, name)
        _check_range(f"events.{name}", column, 0, events.end_ns - events.begin_ns + 1)
    lane = events.run.astype(np.int64) << 32 | events.lane
    step = np.diff(lane)
    if np.any(step < 0) or np.any((step == 0) & (np.diff(events.begin_ns) < 0)):
        raise ProfileFormatError("table events is not sorted by run, lane and begin_ns")


def _check_launches(profile: ProfileData, n_nodes: Int64) -> None:
    """Checks that what was joined to an op has a run with such an op."""
    launches, runs = profile.launches, profile.runs
    joined = np.flatnonzero(launches.node >= 0)
    if np.any(launches.run[joined] < 0):
        raise ProfileFormatError("column launches.node names a node of no run")
    n_after = np.zeros(len(launches), np.int64) + np.int64(2**31)
    n_after[joined] = n_nodes[runs.graph[launches.run[joined]]] - launches.node[joined]
    _check_range("launches.n_fused", launches.n_fused, 0, n_after)
    transfers = profile.transfers
    _check_range("transfers.n_joined", transfers.n_joined, 0, transfers.calls + 1)
    traces = profile.traces
    _check_range("traces.joined_ns", traces.joined_ns, 0, traces.kernel_ns + 1)
    gaps = sum(getattr(runs, f"gap_{kind}_ns") for kind in GAPS)
    _check_range("runs.gap_copy_ns", np.asarray(gaps), 0, runs.end_ns - runs.begin_ns + 1)


def _check_join_inputs(profile: ProfileData) -> None:
    """Checks that launches can be joined again: captures in order, and of one collection."""
    nodes, captures, versions = profile.captured_nodes, profile.captures, profile.graph_versions
    if np.any(np.diff(nodes.capture) < 0):
        raise ProfileFormatError("column captured_nodes.capture is not in order")
    is_first = np.diff(nodes.capture, prepend=-1) != 0
    step = np.diff(nodes.place, prepend=0)
    if np.any(nodes.place[is_first] != 0) or np.any(~is_first & (step != 0) & (step != 1)):
        raise ProfileFormatError("column captured_nodes.place does not count a capture's nodes")
    for name in ("made_from", "updated_from"):
        capture = getattr(versions, name)
        seen = np.flatnonzero(capture >= 0)
        if np.any(captures.trace[capture[seen]] != versions.trace[seen]):
            raise ProfileFormatError(f"column graph_versions.{name} is of another collection")
    issues, launches = profile.issues, profile.launches
    issued = np.flatnonzero(launches.issue >= 0)
    replayed = issues.version[launches.issue[issued]]
    there = replayed >= 0
    if np.any(versions.trace[replayed[there]] != launches.trace[issued[there]]):
        raise ProfileFormatError("column launches.issue is of another collection")


def _check_range(
    column: str, values: Ints, low: float | Ints | None, end: float | Ints | None
) -> None:
    """Checks low <= values < end; also false for what is no number."""
    for limit, holds in ((low, np.greater_equal), (end, np.less)):
        fits = True if limit is None else holds(values, limit)
        if not np.all(fits):
            row = int(np.argmin(fits))
            raise ProfileFormatError(
                f"column {column} holds {values[row]} in row {row}, which is out of its range"
            )

"""Checks that every reference within a profile's tables leads somewhere.

What passes here can be analysed without a further look: no index is out of range, times do not run
backwards, and sums of durations fit 64 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ProfileFormatError
from .tables import N_SOURCES, Int64
from .vocabulary import PASSES, PHASES, SEGMENTS, STAGES, USAGES

if TYPE_CHECKING:
    from .data import Profile

Ints = npt.NDArray[Any]

# 36 years in nanoseconds; differences of such times, and sums of them, are far from overflow.
MAX_NS = 2**60
MAX_SUM = 2.0**100

# What reads a graph takes these operands for granted.
_LEAST_SOURCES = {"MUL_MAT": 2, "MUL_MAT_ID": 3, "ADD": 2, "GET_ROWS": 2}
_LEAST_SOURCES |= dict.fromkeys(("SOFT_MAX", "SCALE", "CONT", "CPY", "DUP", "CAST"), 1)


def check_profile(profile: Profile) -> None:
    """Checks all tables of a profile.

    Raises:
        ProfileFormatError: names the first column that is wrong.
    """
    n_strings = len(profile.strings)
    _check_steps(profile)
    _check_segments(profile)
    _check_graphs(profile, n_strings)
    _check_tensors(profile, n_strings)
    _check_runs(profile)
    _check_events(profile, n_strings)
    _check_stats(profile, n_strings)
    _check_masks(profile)
    _check_places(profile, n_strings)


def _check_steps(profile: Profile) -> None:
    steps = profile.steps
    _check_range("steps.phase", steps.phase, 0, len(PHASES))
    _check_range("steps.pass", steps.pass_, 0, len(PASSES))
    for name in ("repeat", "index", "depth", "n_tokens", "n_past"):
        _check_range(f"steps.{name}", getattr(steps, name), 0, 2**31)
    _check_times("steps", steps.begin_ns, steps.end_ns)


def _check_segments(profile: Profile) -> None:
    segments = profile.segments
    _check_range("segments.step", segments.step, 0, len(profile.steps))
    _check_range("segments.kind", segments.kind, 0, len(SEGMENTS))
    _check_times("segments", segments.begin_ns, segments.end_ns)


def _check_graphs(profile: Profile, n_strings: int) -> None:
    _check_range("graphs.backend", profile.graphs.backend, -1, n_strings)
    _check_range("graphs.n_nodes", profile.graphs.n_nodes, 0, 2**31)


def _check_tensors(profile: Profile, n_strings: int) -> None:
    tensors = profile.tensors
    n_graphs = len(profile.graphs)
    _check_range("tensors.graph", tensors.graph, 0, n_graphs)
    if np.any(np.diff(tensors.graph) < 0):
        raise ProfileFormatError("column tensors.graph is not in order")
    for name in ("op", "op_detail", "name", "type", "buffer_type"):
        _check_range(f"tensors.{name}", getattr(tensors, name), -1, n_strings)
    _check_range("tensors.usage", tensors.usage, 0, len(USAGES))
    sizes = np.bincount(tensors.graph, minlength=n_graphs).astype(np.int64)
    n_nodes = profile.graphs.n_nodes.astype(np.int64)
    if np.any(n_nodes > sizes):
        raise ProfileFormatError("column graphs.n_nodes promises more nodes than the tensors have")
    # A graph's nodes come first, numbered as they stand; its leaves follow.
    first = np.cumsum(sizes) - sizes
    position = np.arange(len(tensors), dtype=np.int64) - first[tensors.graph]
    expected = np.where(position < n_nodes[tensors.graph], position, -1)
    if np.any(tensors.node != expected):
        raise ProfileFormatError("column tensors.node does not count the nodes of each graph")
    size_of_graph = sizes[tensors.graph]
    for name in ("view_src", *(f"src{i}" for i in range(N_SOURCES))):
        _check_range(f"tensors.{name}", getattr(tensors, name), -1, size_of_graph)
    _check_operands(profile, position, n_nodes[tensors.graph])
    for name in ("ne0", "ne1", "ne2", "ne3", "size_bytes"):
        _check_range(f"tensors.{name}", getattr(tensors, name), 0, 2**62)


def _check_operands(profile: Profile, position: Int64, n_nodes: Int64) -> None:
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


def _rows_of(profile: Profile, op: str) -> npt.NDArray[np.bool_]:
    """bool[n]: which tensors are results of an operator."""
    return np.isin(profile.tensors.op, [i for i, s in enumerate(profile.strings) if s == op])


def _check_runs(profile: Profile) -> None:
    runs = profile.runs
    _check_range("runs.step", runs.step, 0, len(profile.steps))
    _check_range("runs.graph", runs.graph, 0, len(profile.graphs))
    _check_range("runs.n_threads", runs.n_threads, 1, 2**16)
    _check_range("runs.n_dropped", runs.n_dropped, 0, 2**62)
    _check_times("runs", runs.begin_ns, runs.end_ns)


def _check_events(profile: Profile, n_strings: int) -> None:
    events, runs = profile.events, profile.runs
    _check_range("events.run", events.run, 0, len(runs))
    _check_range("events.thread", events.thread, 0, runs.n_threads[events.run])
    _check_range("events.path", events.path, -1, n_strings)
    n_nodes = profile.graphs.n_nodes[runs.graph[events.run]].astype(np.int64)
    _check_nodes("events", events.node, events.n_fused, n_nodes)
    _check_times("events", events.begin_ns, events.end_ns)
    _check_range("events.convert", events.convert, -1, n_strings)
    for name in ("convert_ns", "resume_ns"):
        column = getattr(events, name)
        _check_range(f"events.{name}", column, 0, events.end_ns - events.begin_ns + 1)
    _check_range("events.n_experts", events.n_experts, 0, 2**31)
    lane = events.run.astype(np.int64) * 2**16 + events.thread
    step = np.diff(lane)
    if np.any(step < 0) or np.any((step == 0) & (np.diff(events.begin_ns) < 0)):
        raise ProfileFormatError("table events is not sorted by run, thread and begin")


def _check_stats(profile: Profile, n_strings: int) -> None:
    stats = profile.stats
    _check_range("stats.phase", stats.phase, 0, len(PHASES))
    _check_range("stats.graph", stats.graph, 0, len(profile.graphs))
    _check_range("stats.path", stats.path, -1, n_strings)
    _check_range("stats.depth", stats.depth, 0, 2**31)
    _check_range("stats.stage", stats.stage, 0, len(STAGES))
    _check_range("stats.n_experts_sum", stats.n_experts_sum, 0, 2**62)
    n_nodes = profile.graphs.n_nodes[stats.graph].astype(np.int64)
    _check_nodes("stats", stats.node, stats.n_fused, n_nodes)
    for name in ("calls", "span_sum_ns", "span_min_ns", "span_max_ns"):
        _check_range(f"stats.{name}", getattr(stats, name), 0, MAX_NS)
    for name in ("span_sq_sum", "compute_sum_ns", "compute_max_sum_ns", "wait_sum_ns"):
        values = getattr(stats, name)
        if not np.all((values >= 0) & (values < MAX_SUM)):
            raise ProfileFormatError(f"column stats.{name} holds a number that cannot be")


def _check_masks(profile: Profile) -> None:
    masks, runs = profile.masks, profile.runs
    _check_range("masks.run", masks.run, 0, len(runs))
    sizes = np.bincount(profile.tensors.graph, minlength=len(profile.graphs)).astype(np.int64)
    _check_range("masks.tensor", masks.tensor, 0, sizes[runs.graph[masks.run]])
    for name in ("n_pairs", "n_keys"):
        _check_range(f"masks.{name}", getattr(masks, name), 0, 2**62)


def _check_places(profile: Profile, n_strings: int) -> None:
    places = profile.places
    for name in ("name", "type", "kind", "device", "buffer_type"):
        _check_range(f"places.{name}", getattr(places, name), -1, n_strings)
    for name in ("layer", "buffer", "file", "cache"):
        _check_range(f"places.{name}", getattr(places, name), -1, 2**31)
    for name in ("offset_bytes", "file_offset_bytes"):
        _check_range(f"places.{name}", getattr(places, name), -1, 2**62)
    for name in ("ne0", "ne1", "ne2", "ne3", "n_cells", "n_streams", "n_swa"):
        _check_range(f"places.{name}", getattr(places, name), 0, 2**62)
    # Sizes are added up.
    _check_range("places.size_bytes", places.size_bytes, 0, 2**62)
    if float(places.size_bytes.astype(np.float64).sum()) >= 2.0**62:
        raise ProfileFormatError("column places.size_bytes holds a number that cannot be")


def _check_nodes(table: str, node: Ints, n_fused: Ints, n_nodes: Int64) -> None:
    _check_range(f"{table}.node", node, 0, n_nodes)
    _check_range(f"{table}.n_fused", n_fused, 0, n_nodes - node)


def _check_range(column: str, values: Ints, low: int, end: int | Ints) -> None:
    """Checks low <= values < end."""
    if np.any(values < low) or np.any(values >= end):
        raise ProfileFormatError(f"column {column} holds a number out of its range")


def _check_times(table: str, begin: Int64, end: Int64) -> None:
    if np.any(begin < 0) or np.any(end > MAX_NS) or np.any(end < begin):
        raise ProfileFormatError(f"table {table} holds a time that cannot be")

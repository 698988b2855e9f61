"""Time by op: the table that blocks, layers and kernels are sums of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...errors import ProfileFormatError
from ...profiles.data import ProfileData
from ...profiles.distinct_rows import distinct_rows, values_of
from ...profiles.selection import measured_depths
from ...profiles.tables import StatTable
from ...profiles.vocabulary import CPU_THREAD, GPU, PHASES, STAGE_CONVERSION
from ..graphs.cuda_kernels import kernel_family, short_name
from ..graphs.nodes import (
    SERIALIZATION_NODE,
    SPLIT_OVERHEAD_NODE,
    STRAY_NODE,
    UNRECORDED_NODE,
    Node,
    describe_nodes,
)
from ..graphs.structures import Structures
from ..timing.devices import lanes_of_kind, on_cpu, serialized_devices, traced
from ..timing.phases import op_steps, ops_total_ns, withholds_shares
from ..timing.segments import NS_PER_MS
from ..timing.spans import op_stats
from ..work.counts import Work
from ..work.least_times import stream_bytes
from ..work.profile_work import ProfileWork
from ..work.roofline import SHARES, add_bounds, add_device_bounds, without_bounds
from ..work.scaling import scales, scaling_table
from .grouping import by_time

Floats = npt.NDArray[np.float64]

# Rows of a phase; models have a few thousand.
_MOST_OPS = 10_000

COLUMNS: dict[str, str] = {
    "phase": "object", "op": "object", "kernel": "object", "impl": "object", "tensor": "object",
    "layer": "Int64", "block": "object", "part": "object", "dtypes": "object", "shape": "object",
    "fused": "object", "backend": "object", "calls": "float64", "time_ms": "float64",
    "compute_ms": "float64", "wait_ms": "float64", "slowest_ms": "float64",
    "imbalance": "float64", "share": "float64", "flops": "float64", "bytes": "float64",
    "weight_bytes": "float64", "gflops": "float64", "gbps": "float64", "memory_share": "float64",
    "compute_share": "float64", "kernel_share": "float64", "ceiling_share": "float64",
    "bound": "object", "weight": "object", "lane": "Int64",
    "device": "object",
}  # fmt: skip


def op_table(profile: ProfileData) -> pd.DataFrame:
    """One row for each op of a phase, in `COLUMNS`, largest time first.

    Times, calls, flops and bytes are per step, averaged over the undisturbed op-pass steps of the
    phase.
    On a GPU whose kernels are recorded each kernel of an op has a row of its own: `kernel` is its
    family, `impl` what people call it; the op's work is that of the kernel that takes longest.
    An op is the same in several graphs of a phase (whose KV cache view grows, say) when operator,
    tensor name, occurrence of that name, layer, types, fused members, path, lane and backend agree;
    its `shape` is then that of the graph that called it most. `lane` is the leading one of those
    that ran it (a row of `profile.lanes`), `device` is that lane's.

    `share` is of all op time of the phase, and null where the op passes tell of another run than
    the timing passes (`PhaseSummary.withholds_shares`), as are then shares of roofs and bounds.
    Time that graphs ran while no event was
    recorded (the recorder was full) has a row of its own, `UNRECORDED`, so that the rows always add
    up; so has what it costs that a device runs its ops one by one, `SERIALIZATION`, or what it
    takes beside them, `SPLIT_OVERHEAD`; of a GPU, kernels that belong to no op, `STRAY_KERNELS`.
    """
    stats = op_stats(profile)
    structures = Structures(profile)
    work = ProfileWork(profile, stats, structures)
    columns = (stats.graph, stats.node, stats.n_fused)
    first, _ = distinct_rows(columns)
    keys = [(graph, node, n_fused) for graph, node, n_fused in values_of(columns, first)]
    nodes = describe_nodes(profile, keys, structures)
    phases = [
        _phase_rows(profile, number, stats.take(stats.phase == number), nodes, work)
        for number in range(len(PHASES))
        if op_steps(profile, number).any()
    ]
    empty = pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
    return by_time(_bounded(profile, pd.concat([empty, *phases], ignore_index=True)))


def _phase_rows(
    profile: ProfileData,
    number: int,
    stats: StatTable,
    nodes: dict[tuple[int, int, int], Node],
    work: ProfileWork,
) -> pd.DataFrame:
    """The rows of one phase, in `COLUMNS`; `stats` holds nothing of another."""
    is_kernel = lanes_of_kind(profile, GPU)[stats.lane]
    kinds, kind = _kinds(profile, stats, nodes, is_kernel)
    places: dict[tuple[Node, str, int], int] = {}
    group_of_kind = np.array([places.setdefault(one, len(places)) for one in kinds], np.intp)
    if len(places) > _MOST_OPS:
        raise ProfileFormatError(
            f"the profile has {len(places)} different ops of {PHASES[number]}, more than any model"
        )
    group = group_of_kind[kind]
    ops = list(places)
    shapes = [kinds[kind[row]][0].shape for row in _most_called(stats, group)]
    devices = [profile.text(device) for device in profile.lanes.device.tolist()]
    total_ns = ops_total_ns(profile, number)
    rest_ns = total_ns - int(stats.span_sum_ns.sum(dtype=np.int64))
    if rest_ns != 0:
        ops.append((_rest_node(profile), "", -1))
        shapes.append(())

    def add_up(values: npt.ArrayLike, of_rest: float = 0.0) -> Floats:
        sums = np.bincount(group, values, minlength=len(ops)).astype(np.float64)
        sums[len(places) :] = of_rest
        return sums

    # Where one call's work is not known, that of all calls is not: no number, and neither its sum.
    works, work_of_row = work.of_rows(stats)
    works.append(Work())
    work_of_row[is_kernel & ~_longest_of_node(stats)] = -1
    # A kernel may be launched several times for one op.
    times = np.where(is_kernel, _executions(profile, number, stats), stats.calls)
    flops, n_bytes, weight_bytes = (
        add_up(times * _numbers(works, name)[work_of_row], np.nan)
        for name in ("flops", "bytes", "weight_bytes")
    )
    span_ns = add_up(stats.span_sum_ns, rest_ns)
    compute_ns, slowest_ns = add_up(stats.compute_sum_ns), add_up(stats.compute_max_sum_ns)
    # Profiles of the first format version do not know the slowest thread.
    slowest_ns[(slowest_ns <= 0) | (compute_ns <= 0)] = np.nan
    n_steps = int(op_steps(profile, number).sum())
    per_step = 1.0 / (n_steps * NS_PER_MS)
    time_ms = span_ns * per_step
    running_ms = np.where(time_ms > 0, time_ms, np.nan)
    share = span_ns / total_ns if total_ns else np.zeros(len(ops))
    if withholds_shares(profile, number):
        share = np.full(len(ops), np.nan)
    table: pd.DataFrame = pd.DataFrame(
        {
            "phase": PHASES[number],
            **{
                name: [getattr(node, name) for node, _, _ in ops]
                for name in ("op", "kernel", "tensor", "layer", "block", "part", "dtypes")
            },
            "impl": [code for _, code, _ in ops],
            "shape": [tuple(shape) for shape in shapes],
            "fused": [tuple(node.fused) for node, _, _ in ops],
            "backend": [
                node.backend or (devices[lane] if lane >= 0 else "") for node, _, lane in ops
            ],
            "calls": add_up(stats.calls) / n_steps,
            "time_ms": time_ms,
            "compute_ms": compute_ns * per_step,
            "wait_ms": add_up(stats.wait_sum_ns) * per_step,
            "slowest_ms": slowest_ns * per_step,
            "imbalance": slowest_ns / np.where(compute_ns > 0, compute_ns, np.nan),
            "share": share,
            "flops": flops / n_steps,
            "bytes": n_bytes / n_steps,
            "weight_bytes": weight_bytes / n_steps,
            "gflops": flops / n_steps / running_ms / 1e6,
            "gbps": n_bytes / n_steps / running_ms / 1e6,
            # Filled in by the roofline, where this machine's ceilings are known.
            **dict.fromkeys(SHARES, np.nan),
            "bound": None,
            "weight": [node.weight or None for node, _, _ in ops],
            "lane": [lane if lane >= 0 else None for _, _, lane in ops],
            "device": [devices[lane] if lane >= 0 else None for _, _, lane in ops],
        },
        columns=list(COLUMNS),
    ).astype(COLUMNS)
    return table


def _kinds(
    profile: ProfileData,
    stats: StatTable,
    nodes: dict[tuple[int, int, int], Node],
    is_kernel: npt.NDArray[np.bool_],
) -> tuple[list[tuple[Node, str, int]], npt.NDArray[np.intp]]:
    """What ran: node, code and lane, in the order of the first rows; and which of it each row is.

    Args:
        is_kernel: bool[n], of each row.
    """
    first, kind = distinct_rows(
        (stats.graph, stats.node, stats.n_fused, stats.path, stats.lane, stats.stage)
    )
    order = np.argsort(first)
    type_names = profile.types.names_by_number(profile.strings)
    kinds = []
    for row in first[order].tolist():
        node = nodes[int(stats.graph[row]), int(stats.node[row]), int(stats.n_fused[row])]
        code = profile.text(int(stats.path[row]))
        if is_kernel[row]:
            node = node.run_as(kernel_family(code))
            code = short_name(code, type_names)
        elif stats.stage[row] == STAGE_CONVERSION:
            node = node.conversion(code)
        kinds.append((node, code, int(stats.lane[row])))
    return kinds, np.argsort(order)[kind]


def _numbers(works: list[Work], name: str) -> Floats:
    return np.array([getattr(one, name) for one in works], np.float64)


def _most_called(stats: StatTable, group: npt.NDArray[np.intp]) -> list[int]:
    """Of each group, the first of the rows with the most calls."""
    order = np.lexsort((-stats.calls.astype(np.int64), group))
    is_first = np.diff(group[order], prepend=-1) != 0
    rows: list[int] = order[is_first].tolist()
    return rows


def _executions(profile: ProfileData, phase: int, stats: StatTable) -> npt.NDArray[np.int64]:
    """int64[n]: how often the graph of each row was run at its depth, in the steps of the rows."""
    runs = profile.runs
    # Each execution of a graph runs its first split once.
    is_counted = op_steps(profile, phase)[runs.step] & (profile.splits.first_node[runs.split] == 0)
    counted = runs.take(is_counted)
    columns = (profile.steps.depth[counted.step], counted.graph)
    first, which = distinct_rows(columns)
    known = dict(zip(values_of(columns, first), np.bincount(which).tolist(), strict=True))
    rows = zip(stats.depth.tolist(), stats.graph.tolist(), strict=True)
    return np.array([known.get(place, 0) for place in rows], np.int64)


def _longest_of_node(stats: StatTable) -> npt.NDArray[np.bool_]:
    """bool[n]: of the rows of a node in a graph, the one that took longest."""
    _, group = distinct_rows((stats.depth, stats.graph, stats.node, stats.lane))
    order = np.lexsort((-stats.span_sum_ns, group))
    is_first = np.diff(group[order], prepend=-1) != 0
    longest = np.zeros(len(stats), bool)
    longest[order[is_first]] = True
    return longest


def _rest_node(profile: ProfileData) -> Node:
    """What the time is called in which graphs ran, and no op did."""
    if profile.runs.n_dropped.any() or on_cpu(profile).all():
        return UNRECORDED_NODE
    if serialized_devices(profile):
        return SERIALIZATION_NODE
    return STRAY_NODE if traced(profile) else SPLIT_OVERHEAD_NODE


def _bounded(profile: ProfileData, table: pd.DataFrame) -> pd.DataFrame:
    """The rows with their bounds, each by the ceilings of what it ran on, where they are known."""
    meta = profile.meta
    if meta.ceilings is None and not meta.device_ceilings:
        return table
    on_threads = lanes_of_kind(profile, CPU_THREAD)
    is_elsewhere = (
        table["lane"].map(lambda lane: lane is not pd.NA and not on_threads[lane]).astype(bool)
    )
    parts = [_bounded_on_cpu(profile, table[~is_elsewhere], table)]
    of_device = {ceilings.device: ceilings for ceilings in meta.device_ceilings}
    # What ran op by op, with a wait after each, says nothing of a device.
    for name in serialized_devices(profile):
        of_device.pop(name, None)
    for device, rows in table[is_elsewhere].groupby("device", sort=False, dropna=False):
        ceilings = of_device.get(str(device))
        parts.append(
            without_bounds(rows)
            if ceilings is None
            else add_device_bounds(rows, ceilings, step_bytes=_step_bytes(profile, rows))
        )
    bounded: pd.DataFrame = pd.concat(parts).sort_index().astype(COLUMNS)
    # They rest on the same times as the shares of op time do.
    withheld = [p for number, p in enumerate(PHASES) if withholds_shares(profile, number)]
    is_withheld = bounded["phase"].isin(withheld)
    bounded[list(SHARES)] = bounded[list(SHARES)].mask(is_withheld)
    bounded["bound"] = bounded["bound"].mask(is_withheld, None)
    return bounded


def _bounded_on_cpu(
    profile: ProfileData, rows: pd.DataFrame, everything: pd.DataFrame
) -> pd.DataFrame:
    """Rows that the CPU ran, and those of no op, by the machine's ceilings."""
    return add_bounds(
        rows,
        profile.meta.ceilings,
        n_threads=_n_threads(profile),
        step_bytes=_step_bytes(profile, rows),
        bandwidth=profile.meta.bandwidth,
        scales=scales(scaling_of(profile, everything)),
    )


def _step_bytes(profile: ProfileData, rows: pd.DataFrame) -> dict[str, float]:
    """For each phase the bytes that some ops stream in a step: what goes through the same caches.

    A prompt in several micro-batches reads the weights once for each: one run's bytes count.
    """
    return {
        phase: n_bytes / _runs_per_step(profile, PHASES.index(phase))
        for phase, n_bytes in stream_bytes(rows).items()
    }


def scaling_of(profile: ProfileData, ops: pd.DataFrame) -> pd.DataFrame:
    """The `scaling_table` of a profile's op rows; without rows where the other run was at another
    depth."""
    scaling = profile.meta.scaling
    is_same = scaling is not None and measured_depths(profile) == (scaling.n_depth,)
    return scaling_table(ops, scaling if is_same else None, _n_threads(profile))


def _n_threads(profile: ProfileData) -> int:
    """The threads of every run of a graph; 0 where they are not the same."""
    threads = profile.runs.n_threads[on_cpu(profile)]
    return int(threads[0]) if len(threads) and np.all(threads == threads[0]) else 0


def _runs_per_step(profile: ProfileData, phase: int) -> float:
    chosen = op_steps(profile, phase)
    runs = profile.runs.take(chosen[profile.runs.step])
    n_graphs = int((profile.splits.first_node[runs.split] == 0).sum())
    return max(1.0, n_graphs / max(1, int(chosen.sum())))

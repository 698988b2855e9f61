"""Time by op: the table that blocks, layers and kernels are sums of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ...profiles.ceilings import Ceilings
from ...profiles.data import Profile
from ...profiles.tables import StatTable
from ...profiles.vocabulary import PHASES, STAGE_CONVERSION
from ..graphs.kernel_names import UNRECORDED
from ..graphs.nodes import Node, describe_nodes
from ..graphs.structures import Structures
from ..timing.phases import NS_PER_MS, op_steps, ops_total_ns
from ..timing.spans import op_stats
from ..work.counts import Work
from ..work.profile_work import ProfileWork
from ..work.roofline import add_bounds, stream_bytes
from .grouping import by_time

COLUMNS: dict[str, str] = {
    "phase": "object",
    "op": "object",
    "kernel": "object",
    "impl": "object",
    "tensor": "object",
    "layer": "Int64",
    "block": "object",
    "part": "object",
    "dtypes": "object",
    "shape": "object",
    "fused": "object",
    "backend": "object",
    "calls": "float64",
    "time_ms": "float64",
    "compute_ms": "float64",
    "wait_ms": "float64",
    "slowest_ms": "float64",
    "imbalance": "float64",
    "share": "float64",
    "flops": "float64",
    "bytes": "float64",
    "weight_bytes": "float64",
    "gflops": "float64",
    "gbps": "float64",
    "ceiling_share": "float64",
    "bound": "object",
}

_UNRECORDED_NODE = Node(
    op="UNRECORDED",
    kernel=UNRECORDED,
    tensor="",
    occurrence=0,
    layer=None,
    block="other",
    part="",
    dtypes="",
    shape=(),
    fused=(),
    backend="",
)


def op_table(profile: Profile) -> pd.DataFrame:
    """One row for each op of a phase, in `COLUMNS`, largest time first.

    Times, calls, flops and bytes are per step, averaged over the op-pass steps of the phase.
    An op is the same in several graphs of a phase (whose KV cache view grows, say) when operator,
    tensor name, occurrence of that name, layer, types, fused members, path and backend agree; its
    `shape` is then that of the graph that called it most.

    `share` is of all op time of the phase. Time that graphs ran while no event was recorded (the
    recorder was full) has a row of its own, `UNRECORDED`, so that the rows always add up.
    """
    stats = op_stats(profile)
    keys = np.unique(np.stack([stats.graph, stats.node, stats.n_fused], axis=1), axis=0)
    structures = Structures(profile)
    nodes = describe_nodes(profile, [(int(g), int(n), int(f)) for g, n, f in keys], structures)
    work = ProfileWork(profile, stats, structures)
    rows: list[dict[str, Any]] = []
    for number, phase in enumerate(PHASES):
        n_steps = int(op_steps(profile, number).sum())
        if n_steps:
            sums = _merge(profile, stats.take(stats.phase == number), nodes, work)
            rows.extend(_phase_rows(profile, sums, number, phase, n_steps))
    table = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=t) for name, t in COLUMNS.items()}
    )
    return by_time(_bounded(profile, table))


def _bounded(profile: Profile, table: pd.DataFrame) -> pd.DataFrame:
    """The rows with their bounds, where the machine's ceilings were measured."""
    if not profile.meta.ceilings:
        return table
    ceilings = Ceilings.from_json(profile.meta.ceilings)
    threads = profile.runs.n_threads
    n_threads = int(threads[0]) if len(threads) and np.all(threads == threads[0]) else 0
    # A prompt in several micro-batches reads the weights once for each: one run's bytes count.
    step_bytes = {
        phase: n_bytes / _runs_per_step(profile, PHASES.index(phase))
        for phase, n_bytes in stream_bytes(table).items()
    }
    return add_bounds(table, ceilings, n_threads=n_threads, step_bytes=step_bytes)


def _runs_per_step(profile: Profile, phase: int) -> float:
    chosen = op_steps(profile, phase)
    return max(1.0, float(chosen[profile.runs.step].sum()) / max(1, int(chosen.sum())))


@dataclass
class _Sum:
    """Sums over the graphs of a phase in which one op stands."""

    node: Node
    impl: str
    calls: int = 0
    span_ns: int = 0
    compute_ns: float = 0.0
    wait_ns: float = 0.0
    slowest_ns: float = 0.0
    flops: float | None = 0.0
    bytes: float | None = 0.0
    weight_bytes: float | None = 0.0
    most_calls: int = 0
    shape: tuple[int, ...] = field(default=())

    def add(self, node: Node, calls: int, work: Work) -> None:
        # Where one call's work is not known, that of all calls is not.
        self.flops = _plus(self.flops, work.flops, calls)
        self.bytes = _plus(self.bytes, work.bytes, calls)
        self.weight_bytes = _plus(self.weight_bytes, work.weight_bytes, calls)
        self.calls += calls
        if calls > self.most_calls:
            self.most_calls, self.shape = calls, node.shape


def _plus(total: float | None, amount: float | None, calls: int) -> float | None:
    return None if total is None or amount is None else total + calls * amount


def _phase_rows(
    profile: Profile, sums: list[_Sum], number: int, phase: str, n_steps: int
) -> list[dict[str, Any]]:
    total_ns = ops_total_ns(profile, number)
    rest_ns = total_ns - sum(entry.span_ns for entry in sums)
    if rest_ns != 0:
        rest = _Sum(_UNRECORDED_NODE, "", flops=None, bytes=None, weight_bytes=None)
        rest.span_ns = rest_ns
        sums = [*sums, rest]
    return [_row(entry, phase, n_steps, total_ns) for entry in sums]


def _merge(
    profile: Profile,
    chosen: StatTable,
    nodes: dict[tuple[int, int, int], Node],
    work: ProfileWork,
) -> list[_Sum]:
    sums: dict[tuple[Any, ...], _Sum] = {}
    for row, (graph, n, n_fused, stage, path, calls) in enumerate(
        zip(
            chosen.graph.tolist(),
            chosen.node.tolist(),
            chosen.n_fused.tolist(),
            chosen.stage.tolist(),
            chosen.path.tolist(),
            chosen.calls.tolist(),
            strict=True,
        )
    ):
        node = nodes[graph, n, n_fused]
        code = profile.text(path)
        if stage == STAGE_CONVERSION:
            node = node.conversion(code)
        key = (
            node.op,
            node.tensor,
            node.occurrence,
            node.layer,
            node.block,
            node.part,
            node.kernel,
            node.dtypes,
            node.fused,
            node.backend,
            path,
        )
        entry = sums.get(key)
        if entry is None:
            entry = sums[key] = _Sum(node, code)
        entry.span_ns += int(chosen.span_sum_ns[row])
        entry.compute_ns += float(chosen.compute_sum_ns[row])
        entry.wait_ns += float(chosen.wait_sum_ns[row])
        entry.slowest_ns += float(chosen.compute_max_sum_ns[row])
        entry.add(node, calls, work.of_row(chosen, row, code))
    return list(sums.values())


def _row(entry: _Sum, phase: str, n_steps: int, total_ns: int) -> dict[str, Any]:
    node = entry.node
    per_step = 1.0 / (n_steps * NS_PER_MS)
    time_ms = entry.span_ns * per_step
    flops, n_bytes, weight_bytes = (
        None if amount is None else amount / n_steps
        for amount in (entry.flops, entry.bytes, entry.weight_bytes)
    )
    # Profiles of the first format version do not know the slowest thread.
    is_known = entry.slowest_ns > 0 and entry.compute_ns > 0
    return {
        "phase": phase,
        "op": node.op,
        "kernel": node.kernel,
        "impl": entry.impl,
        "tensor": node.tensor,
        "layer": node.layer,
        "block": node.block,
        "part": node.part,
        "dtypes": node.dtypes,
        "shape": list(entry.shape),
        "fused": list(node.fused),
        "backend": node.backend,
        "calls": entry.calls / n_steps,
        "time_ms": time_ms,
        "compute_ms": entry.compute_ns * per_step,
        "wait_ms": entry.wait_ns * per_step,
        "slowest_ms": entry.slowest_ns * per_step if is_known else None,
        "imbalance": entry.slowest_ns / entry.compute_ns if is_known else None,
        "share": entry.span_ns / total_ns if total_ns else 0.0,
        "flops": flops,
        "bytes": n_bytes,
        "weight_bytes": weight_bytes,
        "gflops": _rate(flops, time_ms),
        "gbps": _rate(n_bytes, time_ms),
        # Filled in by the roofline, where this machine's ceilings are known.
        "ceiling_share": None,
        "bound": None,
    }


def _rate(amount: float | None, time_ms: float) -> float | None:
    """10^9 per second."""
    return amount / time_ms / 1e6 if amount is not None and time_ms > 0 else None

"""The breakdown: everything that a report shows of one profile, computed and selected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from ...errors import UsageError
from ...profiles.records.fallbacks import Fallbacks
from ...profiles.records.meta import Meta, Model
from ...profiles.vocabulary import BOUNDS, PHASES, VIEWS
from ..energy.figures import energy_table
from ..energy.report import EnergyReport, report_energy
from ..layers.finders import layer_flags
from ..layers.flags import LayerFlag
from ..layers.table import LayerSpread, layer_map, layer_spreads, layer_table
from ..layers.windows import layer_windows
from ..memory.places import place_table
from ..memory.use import MemoryReport, memory_report
from ..memory.weight_times import weight_times
from ..memory.weights import weight_table
from ..tables.depth import DepthReport, report_depths
from ..tables.derived import Derived
from ..tables.grouping import block_table, part_table
from ..tables.kernels import impl_table
from ..tables.lanes import lane_table
from ..tables.ops import scaling_of
from ..tables.splits import copy_table, split_table
from ..tables.waits import thread_count, wait_table, wait_totals
from ..timing.devices import devices, serialized_devices
from ..timing.phases import PhaseSummary
from ..timing.traces import TraceSummary, summarize_traces
from ..work.scaling import phase_speedups
from .caveats import caveats, contradictions, depth_caveats, serialization
from .diagnosis import diagnose
from .findings import Finding
from .tensor_types import profile_fallbacks

_TABLES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "block": block_table,
    "layer": layer_table,
    "kernel": impl_table,
    "op": pd.DataFrame.copy,
    "part": part_table,
}


@dataclass(frozen=True, eq=False)
class Breakdown:
    """What a report shows.

    Attributes:
        meta: what the profile says about itself.
        phases: the chosen phases.
        by: the one view that was asked for, or None for the usual set of views.
        top: how many rows of a phase a view is cut to, or None.
        tables: view -> rows of the chosen phases, cut to `top` in the view that was asked for, or
            in `op` when none was; largest first (layers in their order).
        uncut: the same before the cut.
        layer_spreads: how equal the layers of each chosen phase are.
        layer_map: the cells of layers and blocks, see `layer_map`.
        layer_flags: layers that stand out.
        n_threads: the most threads that a graph of each chosen phase had.
        scaling: each kernel on one thread and on several, see `scaling_table`; without rows where
            that was not measured.
        waits, wait_totals: what waiting costs, by block and for all ops; see `wait_table`.
        diagnosis: what limits the model, and what would help.
        memory: all figures of memory, of the whole run.
        lanes: what ran the ops, see `lane_table`.
        serialized: the devices that ran their ops one by one; times of ops are of that.
        devices: all that ran a part of the graphs.
        traces: what the recorded kernels of devices tell, of each chosen phase that has any.
        splits, copies: what each device ran in one go, and what went to it; see `tables.splits`.
        caveats: one sentence for each doubt.
        contradictions: those of them that tell of ops that do not add up to the latency, or are of
            another run.
        fallbacks: weights in another type than the file type asks for.
        energy: of a step, and why not; None where nobody asked for it.
        depths: the depths of the context compared; all else describes the smallest.
    """

    meta: Meta
    phases: tuple[PhaseSummary, ...]
    by: str | None
    top: int | None
    tables: dict[str, pd.DataFrame]
    uncut: dict[str, pd.DataFrame]
    layer_spreads: tuple[LayerSpread, ...]
    layer_map: pd.DataFrame
    layer_flags: tuple[LayerFlag, ...]
    n_threads: dict[str, int]
    scaling: pd.DataFrame
    waits: pd.DataFrame
    wait_totals: pd.DataFrame
    diagnosis: tuple[Finding, ...]
    memory: MemoryReport
    lanes: pd.DataFrame
    serialized: tuple[str, ...]
    devices: tuple[str, ...]
    traces: tuple[TraceSummary, ...]
    splits: pd.DataFrame
    copies: pd.DataFrame
    caveats: tuple[str, ...]
    contradictions: tuple[str, ...]
    fallbacks: Fallbacks | None
    energy: EnergyReport | None
    depths: DepthReport

    @property
    def model(self) -> Model:
        return self.meta.model


def break_down(
    profile: Derived,
    *,
    by: str | None = None,
    phase: str | None = None,
    top: int | None = None,
    bound: str | None = None,
) -> Breakdown:
    """Computes what a report shows of a profile.

    Args:
        by: one of `vocabulary.VIEWS`, to show that one only.
        phase: `prefill` or `decode`, to show that one only.
        top: rows of a phase to keep, at least 1.
        bound: one of `vocabulary.BOUNDS`, to show only what has it: ops, or weights where `by`
            is `tensor`.

    Raises:
        UsageError: a choice is none of the above, or the profile has no such phase or no bounds.
    """
    if bound is not None:
        by = _view_of_bound(bound, by)
    if by is not None and by not in VIEWS:
        raise UsageError(f"there is no view by {by!r}; choose one of {', '.join(VIEWS)}")
    if phase is not None and phase not in PHASES:
        raise UsageError(f"there is no phase {phase!r}; choose one of {', '.join(PHASES)}")
    if top is not None and top < 1:
        raise UsageError("the number of rows to show must be at least 1")
    depths, meta = report_depths(profile, phase), profile.data.meta
    doubts = (*_caveats(profile), *depth_caveats(depths.costs))
    memory = memory_report(profile.data)
    profile = profile.shallowest
    data = profile.data
    phases = tuple(s for s in profile.phase_summaries if phase in (None, s.phase))
    if phase is not None and not phases:
        raise UsageError(f"the profile has no {phase} phase")
    ops = profile.op_rows
    if phase is not None:
        ops = ops[ops["phase"] == phase].reset_index(drop=True)
    uncut = {view: make(ops) for view, make in _TABLES.items()} | {"depth": depths.costs}
    # Rows of every tensor, of which no other view needs any.
    uncut["tensor"] = weight_times(data, ops) if by == "tensor" else pd.DataFrame()
    uncut["place"] = place_table(data) if by == "place" else pd.DataFrame()
    serialized, ran = serialized_devices(data), devices(data)
    energy = report_energy(
        meta.energy, [s.phase for s in phases], uncut["block"], is_serialized=bool(serialized)
    )
    uncut["energy"] = energy_table(energy.figures if energy is not None else ())
    tables = dict(uncut)
    withheld = [summary.phase for summary in phases if summary.withholds_shares]
    if bound is not None:
        if not ops["bound"].notna().any() and (meta.ceilings is None or not withheld):
            raise UsageError("the profile has no bounds: it does not hold the machine's ceilings")
        tables[by or "op"] = _so_bound(uncut[by or "op"], bound)
    if top is not None and by != "energy":
        view = by or "op"
        tables[view] = top_rows(tables[view], top)
    weights = weight_table(data)
    n_threads = {s.phase: thread_count(data, PHASES.index(s.phase)) for s in phases}
    types, n_cores = data.types.by_name(data.strings), meta.environment.n_cores
    scaling = scaling_of(data, ops)
    diagnosis = diagnose(
        ops,
        phases,
        meta.model,
        meta.ceilings,
        weights,
        types,
        n_threads,
        n_cores,
        meta.bandwidth,
        phase_speedups(scaling),
        [ceilings.device for ceilings in meta.device_ceilings],
    )
    is_shown = [summary.phase for summary in phases]
    splits, copies = split_table(data), copy_table(data)
    # What limits a device that runs its ops one by one is not what limits it in a run.
    unsaid = {*withheld, *(is_shown if serialized else ())}
    return Breakdown(
        meta=meta,
        phases=phases,
        by=by,
        top=top,
        tables=tables,
        uncut=uncut,
        layer_spreads=layer_spreads(uncut["layer"]),
        layer_map=layer_map(uncut["layer"]),
        # Layers of different devices are no equals.
        layer_flags=layer_flags(ops, weights, layer_windows(data)) if len(ran) < 2 else (),
        n_threads=n_threads,
        scaling=scaling,
        waits=wait_table(ops),
        wait_totals=wait_totals(ops),
        diagnosis=tuple(f for f in diagnosis if f.phase not in unsaid or not f.rests_on_shares),
        memory=memory,
        lanes=lane_table(data),
        serialized=serialized,
        devices=ran,
        traces=tuple(trace for trace in summarize_traces(data) if trace.phase in is_shown),
        splits=splits[splits["phase"].isin(is_shown)].reset_index(drop=True),
        copies=copies[copies["phase"].isin(is_shown)].reset_index(drop=True),
        contradictions=(*contradictions(phases), *serialization(data, phases)),
        fallbacks=profile_fallbacks(data),
        energy=energy,
        caveats=doubts,
        depths=depths,
    )


def _view_of_bound(bound: str, by: str | None) -> str:
    if bound not in BOUNDS:
        raise UsageError(f"there is no bound {bound!r}; choose one of {', '.join(BOUNDS)}")
    if by not in (None, "op", "tensor"):
        raise UsageError(
            f"a bound is that of ops: --bound goes with --by op or --by tensor, not --by {by}"
        )
    return by or "op"


def _so_bound(rows: pd.DataFrame, bound: str) -> pd.DataFrame:
    """Ops that have the bound, or weights that have it in a phase."""
    names = [name for name in rows if name == "bound" or str(name).endswith("_bound")]
    chosen: pd.DataFrame = rows[(rows[names] == bound).any(axis=1)].reset_index(drop=True)
    return chosen


def _caveats(profile: Derived) -> tuple[str, ...]:
    """The caveats of all depths; those of the first stand as they are."""
    found = list(caveats(profile))
    for depth in profile.depths[1:]:
        of_depth = [text for text in caveats(profile.at_depth(depth)) if text not in found]
        found += [f"at depth {depth}: {text}" for text in of_depth]
    return tuple(found)


def top_rows(rows: pd.DataFrame, top: int) -> pd.DataFrame:
    """The `top` rows of each phase that took the most time, of places the `top` largest tensors, of
    weights the first, which take most; in the order of the table."""
    if "time_ms" not in rows and "prefill_ms" in rows:
        first: pd.DataFrame = rows[:top]
        return first
    values = rows["time_ms"].groupby(rows["phase"]) if "phase" in rows else rows["size_bytes"]
    largest = values.rank(method="first", ascending=False) <= top
    kept: pd.DataFrame = rows[largest].reset_index(drop=True)
    return kept

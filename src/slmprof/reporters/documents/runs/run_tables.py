"""The time tables of a run: latency, a step's wall time, blocks, kernels, ops, layers, waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from ....analysis.timing.phases import PhaseSummary
from ....analysis.verdicts.breakdown import Breakdown
from ..parts import Column, Finding, Note, Row, Section, Table, listed, notes
from ..quantities import times
from ..records import records
from .kernel_tables import kernel_sections

TOP_OPS = 10
TOP_TENSORS = 20
# As much as stands beside the numbers of two phases on 80 columns.
_CODE_WIDTH = 25
# As much as leaves room for the other columns of an op.
_WEIGHT_WIDTH = 22
_TENSOR_WIDTH, _OP_KERNEL_WIDTH, _PART_WIDTH = 16, 15, 21

_Key = tuple[Any, ...]


def latency(breakdown: Breakdown) -> Section:
    """One row a phase."""
    columns = (
        Column("phase"), Column("tokens", "plain", is_wide=True), Column("ms/step", "ms"),
        Column("95 % CI", "ms_range"), Column("±MAD", "ms"), Column("p90", "ms", is_wide=True),
        Column("tokens/s", "rate"), Column("overhead", "change"), Column("its 95 % CI", "range"),
        Column("attributed", "share", is_wide=True), Column("samples", "plain", is_wide=True),
    )  # fmt: skip
    rows = [_latency_row(summary) for summary in breakdown.phases]
    said = notes(
        "ms/step: whole prompt or one token, unprofiled; overhead: what profiling adds.",
        _intervals(breakdown.phases),
        _disturbed(breakdown.phases),
    )
    return Section("Latency", (Table(columns, rows), *said))


def _latency_row(summary: PhaseSummary) -> Row:
    latency_ms, over = summary.latency_ms, summary.overhead
    return (
        summary.phase,
        summary.n_tokens,
        latency_ms.median if latency_ms else None,
        summary.latency_ci95,
        latency_ms.mad if latency_ms else None,
        latency_ms.p90 if latency_ms else None,
        summary.tokens_per_s,
        over.ratio - 1 if over else None,
        tuple(end - 1 for end in over.ci95) if over and over.ci95 else None,
        summary.attributed_share,
        summary.n_samples,
    )


def _intervals(phases: Sequence[PhaseSummary]) -> str:
    """What the intervals cover: one process, or how far several are apart."""
    between = {s.phase: s.between_processes for s in phases if s.between_processes is not None}
    if not between:
        has_any = any(summary.latency_ci95 is not None for summary in phases)
        text = "The intervals are those of one process; the next may differ (--processes)."
        return text if has_any else ""
    n = max(one.n for one in between.values())
    ranges = [f"{phase} {times((one.min_ms, one.max_ms))} ms" for phase, one in between.items()]
    return f"Medians of the {n} processes: {', '.join(ranges)}."


def _withheld(phases: Sequence[PhaseSummary]) -> str:
    names = [summary.phase for summary in phases if summary.withholds_shares]
    return f"No shares of {listed(names)}: they would be those of a disturbed run." if names else ""


def _disturbed(phases: Sequence[PhaseSummary]) -> str:
    found = [(s.n_disturbed, s.n_profiled_samples, s.phase, "of the op passes") for s in phases]
    found += [
        (s.as_run.n_disturbed, s.as_run.n_samples, s.phase, "as they run")
        for s in phases
        if s.as_run is not None
    ]
    counts = [f"{n} of {of} {phase} steps {which}" for n, of, phase, which in found if n]
    return f"Disturbed, and left out below: {listed(counts)}." if counts else ""


def wall(breakdown: Breakdown) -> Section:
    """Where the wall time of a profiled step goes."""
    phases = [s for s in breakdown.phases if s.segments_ms is not None]
    host = ("batch", "graph_build", "graph_alloc", "inputs", "launch")
    rows: list[Row] = []
    has_gaps = any(s.segments_ms is not None and s.segments_ms.gaps > 0 for s in phases)
    gaps = ("gaps",) if has_gaps else ()
    for name in ("host_prepare", "ops", *gaps, "copies", "host_finish", "unattributed"):
        rows.append((name, *_wall_cells(phases, name)))
        if name == "host_prepare":
            rows += [(f"  {part}", *_wall_cells(phases, part)) for part in host]
    columns = [Column("part of a step")]
    for summary in phases:
        columns += [Column(f"{summary.phase} ms", "ms"), Column("share", "share")]
    return Section("Where a step's time goes", (Table(tuple(columns), rows if phases else []),))


def _wall_cells(phases: Sequence[PhaseSummary], name: str) -> list[float | None]:
    cells: list[float | None] = []
    for summary in phases:
        time = getattr(summary.segments_ms, name, summary.host_segments_ms.get(name))
        whole = summary.profiled_latency_ms.mean if summary.profiled_latency_ms else 0.0
        cells += [time, time / whole if time is not None and whole > 0 else None]
    return cells


def views(breakdown: Breakdown, by: str) -> list[Section]:
    """The tables of `block`, `kernel`, `part`, `op` or `tensor`."""
    if by == "block":
        return [_side_by_side(breakdown, by, "Blocks", ["block"], has_bars=True)]
    if by == "kernel":
        return kernel_sections(breakdown)
    if by == "part":
        return [_side_by_side(breakdown, by, "Parts", ["block", "part"])]
    if by == "tensor":
        return [_weights(breakdown)]
    return [_ops(breakdown, summary.phase) for summary in breakdown.phases]


def _side_by_side(
    breakdown: Breakdown,
    by: str,
    title: str,
    keys: Sequence[str],
    *,
    has_bars: bool = False,
) -> Section:
    """One row a key, one group of columns a phase; in the order of the first phase that has it.

    Args:
        has_bars: whether a bar stands beside each share.
    """
    with_calls = "calls" in breakdown.uncut[by].columns
    columns = [Column(key, most=_CODE_WIDTH + 2) for key in keys]
    for summary in breakdown.phases:
        columns += [Column("calls", "count")] if with_calls else []
        columns += [Column(f"{summary.phase} ms", "ms"), Column("share", "share")]
        columns += [Column("", "bar")] if has_bars else []

    def cells(found: Mapping[str, Mapping[str, Any]]) -> list[Any]:
        made = []
        for summary in breakdown.phases:
            row = found.get(summary.phase, {})
            made += [row.get("calls")] if with_calls else []
            made += [row.get("time_ms"), row.get("share")]
            made += [row.get("share")] if has_bars else []
        return made

    # What is in the top of one phase is shown with its time in every phase.
    everything = _by_key(breakdown.uncut[by], keys)
    shown = _by_key(breakdown.tables[by], keys)
    made: list[Row] = [(*key, *cells(everything[key])) for key in shown]
    if len(shown) < len(everything):
        title = f"{title} ({len(shown)} of {len(everything)})"
    said = notes(_withheld(breakdown.phases) if by == "block" else "")
    return Section(title, (Table(tuple(columns), made), *said))


def _by_key(rows: pd.DataFrame, keys: Sequence[str]) -> dict[_Key, dict[str, dict[str, Any]]]:
    """Key -> phase -> row, in the order of the rows."""
    found: dict[_Key, dict[str, dict[str, Any]]] = {}
    for row in records(rows):
        found.setdefault(tuple(row[key] for key in keys), {})[row["phase"]] = row
    return found


def layer_spread(breakdown: Breakdown) -> Section:
    """How equal the layers are, and whether any stand out."""
    columns = (
        Column("phase"), Column("layers", "plain", "n_layers"),
        Column("median ms", "ms", "median_ms"), Column("fastest ms", "ms", "fastest_ms"),
        Column("(layer)", "plain", "fastest_layer"), Column("slowest ms", "ms", "slowest_ms"),
        Column("(layer)", "plain", "slowest_layer"), Column("outside ms", "ms", "outside_ms"),
    )  # fmt: skip
    table = Table.of(columns, breakdown.layer_spreads)
    n = len(breakdown.layer_flags)
    text = f"Layers stand out in {n} way{'s' if n > 1 else ''}: --by layer says which and why."
    return Section("Layers", (table, *notes(text if n else "")))


def _ops(breakdown: Breakdown, phase: str) -> Section:
    # On 80 columns there is room for one of the two; a bound tells more than a bandwidth.
    is_bounded = bool(breakdown.uncut["op"]["bound"].notna().any())
    columns: tuple[Column, ...] = (
        Column("tensor", most=_TENSOR_WIDTH), Column("kernel", most=_OP_KERNEL_WIDTH),
        Column("part", most=_PART_WIDTH), Column("types", key="dtypes", is_wide=True),
        Column("shape", "shape", is_wide=True), Column("impl", is_wide=True),
        Column("ms", "ms", "time_ms"), Column("wait", "ms", "wait_ms", is_wide=True),
        Column("imbalance", "ratio", is_wide=True), Column("share", "share"),
        Column("GB/s", "rate", "gbps", is_wide=is_bounded),
        Column("GFLOP/s", "rate", "gflops", is_wide=True),
    )  # fmt: skip
    if is_bounded:
        columns += (Column("ceiling", "share", "ceiling_share", is_wide=True), Column("bound"))
    # The whole list is asked for by name; the usual set shows its head.
    top = breakdown.top or (None if breakdown.by == "op" else TOP_OPS)
    title, rows = _of_phase(breakdown, "op", phase, "Ops", top)
    if not rows and "(0 of " in title:
        withheld = [s for s in breakdown.phases if s.phase == phase and s.withholds_shares]
        text = f"No op of {phase} is so bound."
        if withheld:
            text = f"No bounds of {phase}: they would be those of a disturbed run."
        return Section(title, (Finding(text),))
    for row in rows:
        row["tensor"] = row["tensor"] or row["op"]
        row["kernel"] = "+".join(row["fused"]).lower() or row["kernel"]
        row["part"] = "/".join(p for p in (row["block"], row["part"]) if p)
        row["impl"] = row["impl"] or None
    return Section(title, (Table.of(columns, rows),))


def _weights(breakdown: Breakdown) -> Section:
    """One row a weight; of the phases, what fits on 80 columns beside what a weight is."""
    phases = [summary.phase for summary in breakdown.phases]
    columns = [
        Column("weight", key="tensor", most=_WEIGHT_WIDTH), Column("type"),
        Column("shape", "shape", is_wide=True), Column("bits", "bits", "bits_per_weight"),
        Column("MiB", "mib", "size_bytes"),
    ]  # fmt: skip
    for phase in phases:
        # Where both are shown, generation, which reads all that there is, tells more.
        is_wide = phase != phases[-1]
        columns += [
            Column(f"{phase}\nms", "ms", f"{phase}_ms"),
            Column(f"{phase}\nGB/s", "rate", f"{phase}_gbps", is_wide=is_wide),
            Column(f"{phase}\nroof", "share", f"{phase}_ceiling_share", is_wide=is_wide),
            Column(f"{phase}\ncode", key=f"{phase}_impl", most=_CODE_WIDTH, is_wide=True),
        ]
    top = breakdown.top or TOP_TENSORS
    rows = records(breakdown.tables["tensor"][:top])
    n_all = len(breakdown.uncut["tensor"])
    title = f"Weights ({len(rows)} of {n_all})" if len(rows) < n_all else "Weights"
    if not rows and n_all:
        text = f"No weight is so bound. {_withheld(breakdown.phases)}"
        return Section(title, (Finding(text.strip()),))
    text = (
        "ms: of the ops that read the weight, per step. GB/s: of all that they read and write. "
        "roof: the share of what this machine allows them."
    )
    table = replace(Table.of(tuple(columns), rows), elsewhere="--format csv")
    return Section(title, (table, *notes(text)))


def _of_phase(
    breakdown: Breakdown, by: str, phase: str, what: str, top: int | None
) -> tuple[str, list[dict[str, Any]]]:
    """The first rows of a phase, all without `top`, and a title that says how many they are."""
    rows = breakdown.tables[by]
    shown = records(rows[rows["phase"] == phase][:top])
    n_all = int((breakdown.uncut[by]["phase"] == phase).sum())
    title = f"{what} of {phase}"
    return f"{title} ({len(shown)} of {n_all})" if len(shown) < n_all else title, shown


def waiting(breakdown: Breakdown) -> Section:
    """What waiting costs: one row a block, and one for all ops of each phase with several
    threads."""
    columns = (
        Column("phase"), Column("block"), Column("ms", "ms", "time_ms"),
        Column("compute", "ms", "compute_ms"), Column("wait", "ms", "wait_ms"),
        Column("share", "share", "wait_share"), Column("imbalance", "ratio"),
        Column("costs", "ms", "imbalance_ms"), Column("barrier", "ms", "barrier_ms"),
    )  # fmt: skip
    rows = [
        {"block": "all", **row}
        for summary in breakdown.phases
        if breakdown.n_threads.get(summary.phase, 0) > 1
        for table in (breakdown.waits, breakdown.wait_totals)
        for row in records(table[table["phase"] == summary.phase])
    ]
    text = (
        "wait: mean over the threads. imbalance: slowest thread over mean, and what it costs. "
        "barrier: starting, synchronising and waking threads; the rest of the time."
    )
    return Section("Waiting", (Table.of(columns, rows), Note(text)))

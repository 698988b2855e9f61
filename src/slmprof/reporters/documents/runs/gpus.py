"""What the recorded kernels of devices tell: how far they are to be believed, and what the device
did between them."""

from __future__ import annotations

from itertools import chain

from ....analysis.timing.phases import PhaseSummary
from ....analysis.timing.traces import TraceSummary
from ....analysis.verdicts.breakdown import Breakdown
from ..parts import Column, Note, Row, Section, Table, listed, notes
from ..quantities import count_text

_MOST_STRAYS = 10
_GAPS = {
    "launch": "a launch under way",
    "host": "the host, which launches late",
    "device": "the device, from kernel to kernel",
    "copy": "copies and fills",
    "unknown": "not on record",
}


def trace_section(breakdown: Breakdown) -> Section:
    """The three latencies of each phase, and the gaps between kernels; empty where no kernels are
    recorded."""
    traces = {trace.phase: trace for trace in breakdown.traces}
    phases = [summary for summary in breakdown.phases if summary.phase in traces]
    columns = [Column("a step")]
    for summary in phases:
        columns += [Column(f"{summary.phase} ms", "ms"), Column("ratio", "ratio")]
    rows: list[Row] = [
        ("unobserved", *_latencies(phases, "latency_ms")),
        ("with records of graphs", *_latencies(phases, "graphs_latency_ms")),
        ("with records of kernels", *_latencies(phases, "profiled_latency_ms")),
    ]
    for kind, name in _GAPS.items():
        gaps = [(traces[s.phase].gaps_ms[kind], None) for s in phases]
        if any(time for time, _ in gaps):
            rows.append((f"no kernel: {name}", *chain.from_iterable(gaps)))
    said = [joined_text(trace) for trace in breakdown.traces]
    return Section(
        "Recorded kernels",
        (Table(tuple(columns), rows if phases else []), *(Note(text) for text in said)),
    )


def _latencies(phases: list[PhaseSummary], name: str) -> list[float | None]:
    return [cell for summary in phases for cell in _latency(summary, name)]


def _latency(summary: PhaseSummary, name: str) -> tuple[float | None, float | None]:
    """Median milliseconds, and what they are of the unobserved ones."""
    found, whole = getattr(summary, name), summary.latency_ms
    if found is None:
        return None, None
    return found.median, found.median / whole.median if whole and whole.median > 0 else None


def joined_text(trace: TraceSummary) -> str:
    """How many kernels found their op, and how."""
    ways = [f"{n} {name}" for name, n in trace.ways.items() if n]
    text = (
        f"{trace.phase}: {count_text(trace.n_kernels)} kernels, {trace.joined_share:.2%} of their "
        f"time joined to ops"
    )
    text += f" ({listed(ways)})" if ways else ""
    doubts = {
        "n_misplaced": "in another order than captured",
        "n_misnamed": "of another name than captured",
        "n_dropped": "records dropped",
        "n_untimed": "without times",
    }
    found = [f"{trace.counts[name]} {what}" for name, what in doubts.items() if trace.counts[name]]
    text += f"; {listed(found)}" if found else ""
    if trace.clock_error_ns is not None:
        text += f"; clocks aligned within {trace.clock_error_ns / 1e3:.1f} us"
    return text + "."


def stray_section(breakdown: Breakdown) -> Section:
    """Kernels that belong to no op, by name."""
    columns = (
        Column("phase"), Column("kernel"), Column("name", most=40), Column("per step", "count"),
        Column("ms", "ms"),
    )  # fmt: skip
    rows: list[Row] = [
        (trace.phase, stray.kernel, stray.impl, stray.calls, stray.time_ms)
        for trace in breakdown.traces
        for stray in trace.strays[:_MOST_STRAYS]
    ]
    text = "They count as time of the device, and as that of no op."
    return Section("Kernels of no op", (Table(columns, rows), *notes(*([text] if rows else []))))


def transfer_section(breakdown: Breakdown) -> Section:
    """What devices copied and filled, by kind."""
    columns = (
        Column("phase"), Column("copies and fills"), Column("per step", "count"),
        Column("of ops", "count"), Column("KiB", "count"), Column("ms", "ms"),
    )  # fmt: skip
    rows: list[Row] = [
        (
            trace.phase, one.kind.replace("_", " "), one.calls, one.n_joined, one.bytes / 1024,
            one.time_ms,
        )
        for trace in breakdown.traces
        for one in trace.transfers
    ]  # fmt: skip
    return Section("Copies and fills of the GPU", (Table(columns, rows),))

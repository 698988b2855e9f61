"""What waiting costs, by block."""

from __future__ import annotations

from ...analysis.verdicts.breakdown import Breakdown
from .quantities import Glyphs, milliseconds, percent, printable, ratio
from .records import records
from .section import Column, Section

_NOTE = (
    "wait: mean of the threads. imbalance: slowest thread over mean; uneven: what that costs. "
    "barrier: start, barrier and waking up, what is left of the time."
)


def wait_section(breakdown: Breakdown, glyphs: Glyphs) -> Section:
    """One row a block, and one for all ops of each phase that several threads computed."""
    columns = (
        Column("phase"),
        Column("block"),
        Column("ms", number=True),
        Column("compute", number=True),
        Column("wait", number=True),
        Column("share", number=True),
        Column("imbalance", number=True),
        Column("uneven", number=True),
        Column("barrier", number=True),
    )
    rows = []
    for summary in breakdown.phases:
        phase = summary.phase
        if breakdown.n_threads.get(phase, 0) < 2:
            continue
        blocks, totals = breakdown.waits, breakdown.wait_totals
        for row in records(blocks[blocks["phase"] == phase]):
            rows.append(_row(phase, printable(row["block"], glyphs), row))
        for row in records(totals[totals["phase"] == phase]):
            rows.append(_row(phase, "all", row))
    return Section("Waiting", columns, rows, notes=(_NOTE,))


def _row(phase: str, block: str, row: dict[str, float | None]) -> tuple[str, ...]:
    return (
        phase,
        block,
        milliseconds(row["time_ms"]),
        milliseconds(row["compute_ms"]),
        milliseconds(row["wait_ms"]),
        percent(row["wait_share"]),
        ratio(row["imbalance"]),
        milliseconds(row["imbalance_ms"]),
        milliseconds(row["barrier_ms"]),
    )

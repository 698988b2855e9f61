"""What a token costs at each depth of the context, and the lines through it."""

from __future__ import annotations

from typing import Any

from ....analysis.tables.depth import COST_BLOCKS, STEP, TOTAL, DepthReport
from ....analysis.timing.phases import phase_record
from ....analysis.verdicts.breakdown import Breakdown
from ..parts import Column, Section, Table, notes
from ..records import records

_COSTS = (*COST_BLOCKS, "rest", "total")
_LEAST_SHARE = 0.01


def depth_data(report: DepthReport) -> dict[str, Any]:
    """`depths`: phases and blocks of each depth; `depth_fits`: the lines through them."""
    return {
        "depths": [
            {
                "n_depth": part.n_depth,
                "phases": [phase_record(summary) for summary in part.phases],
                "blocks": records(part.blocks),
            }
            for part in report.slices
        ],
        "depth_fits": records(report.fits),
    }


def depth_sections(breakdown: Breakdown) -> list[Section]:
    """A table by depth for each phase, then the cost model; that one only with two depths."""
    made = [_costs(breakdown, summary.phase) for summary in breakdown.phases]
    if len(breakdown.depths.n_depths) > 1:
        made += [_fits(breakdown, summary.phase) for summary in breakdown.phases]
    return made


def depth_summary(breakdown: Breakdown) -> Section:
    """Tokens per second and milliseconds per token, one row for each depth."""
    columns = [Column("depth", "plain")]
    rows: dict[int, list[Any]] = {}
    for summary in breakdown.phases:
        columns += [Column(f"{summary.phase} tokens/s", "rate"), Column("ops ms/token", "ms")]
        for row in records(breakdown.depths.cost_rows):
            if row["phase"] == summary.phase:
                cells = rows.setdefault(row["n_depth"], [row["n_depth"]])
                cells += [row["tokens_per_s"], row["total_ms"]]
    whole = [tuple(cells) for cells in rows.values() if len(cells) == len(columns)]
    return Section("By depth", (Table(tuple(columns), whole),))


def _costs(breakdown: Breakdown, phase: str) -> Section:
    rows = [row for row in records(breakdown.depths.cost_rows) if row["phase"] == phase]
    # A block that this model does not have is no column.
    shown = [name for name in _COSTS if any(row[f"{name}_ms"] for row in rows)]
    columns = (
        Column("depth", "plain", "n_depth"),
        *(Column(name, "ms", f"{name}_ms") for name in shown),
        Column("tokens/s", "rate", "tokens_per_s"),
    )
    text = "Milliseconds of ops per token, profiled; tokens/s are measured unprofiled."
    return Section(f"{phase.capitalize()} by depth", (Table.of(columns, rows), *notes(text)))


def _fits(breakdown: Breakdown, phase: str) -> Section:
    rows = [row for row in records(breakdown.depths.fits) if row["phase"] == phase]
    columns = (
        Column("block"), Column("a ms", "ms", "a_ms"), Column("±", "ms", "a_se_ms"),
        Column("b ms", "ms", "b_ms_per_1024"), Column("±", "ms", "b_se_ms_per_1024"),
        Column("rms error", "ms", "rms_error_ms"), Column("worst", "share", "max_error_share"),
    )  # fmt: skip
    costs = breakdown.depths.costs
    # A line through what costs next to nothing would only show noise.
    of_phase = costs[(costs["phase"] == phase) & (costs["share"] >= _LEAST_SHARE)]
    costly = set(of_phase["block"])
    shown = [row for row in rows if row["block"] in costly]
    shown += [row for row in rows if row["block"] in (TOTAL, STEP)]
    few = "Two depths give a line, but no error; measure at three or more."
    said = notes(
        "Milliseconds per token = a + b x (tokens in the context / 1024). "
        f"±: standard error. {TOTAL}: all ops. {STEP}: the whole step, unprofiled.",
        few if rows and rows[0]["n_depths"] < 3 else "",
    )
    return Section(f"Cost model of {phase}", (Table.of(columns, shown), *said))

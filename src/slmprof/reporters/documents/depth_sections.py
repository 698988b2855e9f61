"""What a token costs at each depth of the context, and the lines through it, as sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...analysis.tables.depth import COST_BLOCKS, STEP, TOTAL
from ...analysis.verdicts.breakdown import Breakdown
from .quantities import NONE, Glyphs, milliseconds, percent, printable, rate
from .records import records
from .section import Column, Section

_COSTS = (*COST_BLOCKS, "rest", "total")
_LEAST_SHARE = 0.01


def depth_sections(breakdown: Breakdown, glyphs: Glyphs) -> list[Section]:
    """A table by depth for each phase, then the cost model; that one only with two depths."""
    made = [_costs(breakdown, summary.phase) for summary in breakdown.phases]
    if len(breakdown.depths.n_depths) > 1:
        made += [_fits(breakdown, summary.phase, glyphs) for summary in breakdown.phases]
    return made


def titled_with_depth(breakdown: Breakdown, sections: Sequence[Section]) -> list[Section]:
    """The sections, whose titles say which of several depths they are about."""
    depths = breakdown.depths.n_depths
    if len(depths) < 2:
        return list(sections)
    return [replace(section, title=f"{section.title} at depth {depths[0]}") for section in sections]


def _costs(breakdown: Breakdown, phase: str) -> Section:
    rows = [row for row in records(breakdown.depths.cost_rows) if row["phase"] == phase]
    # A block that this model does not have is no column.
    shown = [name for name in _COSTS if any(row[f"{name}_ms"] for row in rows)]
    columns = (
        Column("depth", number=True),
        *(Column(name, number=True) for name in shown),
        Column("tokens/s", number=True),
    )
    cells = [
        (
            str(row["n_depth"]),
            *(milliseconds(row[f"{name}_ms"]) for name in shown),
            rate(row["tokens_per_s"]),
        )
        for row in rows
    ]
    note = "Milliseconds of ops per token, profiled; tokens/s are measured unprofiled."
    return Section(f"{phase.capitalize()} by depth", columns, cells, notes=(note,))


def _fits(breakdown: Breakdown, phase: str, glyphs: Glyphs) -> Section:
    rows = [row for row in records(breakdown.depths.fits) if row["phase"] == phase]
    deviation = glyphs.plus_minus
    columns = (
        Column("block"),
        Column("a ms", number=True),
        Column(deviation, number=True),
        Column("b ms", number=True),
        Column(deviation, number=True),
        Column("rms error", number=True),
        Column("worst", number=True),
    )
    costs = breakdown.depths.costs
    # A line through what costs next to nothing would only show noise.
    of_phase = costs[(costs["phase"] == phase) & (costs["share"] >= _LEAST_SHARE)]
    costly = set(of_phase["block"])
    groups = [row for row in rows if row["block"] in costly]
    wholes = [row for row in rows if row["block"] in (TOTAL, STEP)]
    cells = [
        (
            printable(row["block"] or NONE, glyphs),
            *(
                milliseconds(row[name])
                for name in ("a_ms", "a_se_ms", "b_ms_per_1024", "b_se_ms_per_1024", "rms_error_ms")
            ),
            percent(row["max_error_share"]),
        )
        for row in (*groups, *wholes)
    ]
    notes = [
        "Milliseconds per token = a + b x (tokens in the context / 1024). "
        f"{deviation}: standard error. {TOTAL}: all ops. {STEP}: the whole step, unprofiled."
    ]
    if rows and rows[0]["n_depths"] < 3:
        notes.append("Two depths give a line, but no error; measure at three or more.")
    return Section(f"Cost model of {phase}", columns, cells, notes=tuple(notes))

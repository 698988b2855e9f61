"""Layers against blocks, shaded by how each cell compares with its column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...analysis.verdicts.breakdown import Breakdown
from .layer_flags import flag_texts
from .quantities import NONE, Glyphs, milliseconds, printable
from .records import records
from .section import Column, Section, Shaded

# Against the median of the column: below the first limit the lightest shade, and so on. Within 15 %
# (`analysis.layers.finders.MIN_DIFFERENCE`) layers count as equal.
_LIMITS = (0.85, 1.15, 1.5)
_SHADE_WIDTH = 3
# What a terminal has at least, of which the layer's number takes some; two blanks between columns.
_WIDTH, _LAYER_WIDTH, _GAP = 80, 6, 2
_TIME_WIDTH = 7

Cell = tuple[str, str]
"""A phase and a block: a column of the map."""


def heat_map_sections(breakdown: Breakdown, glyphs: Glyphs) -> list[Section]:
    """One map of all phases where it is narrow enough, else one a phase; flags below the last."""
    cells = _columns(breakdown)
    width = _LAYER_WIDTH + sum(_cell_width(cell) for cell in cells)
    shown = sorted({int(n) for n in breakdown.tables["layer"]["layer"].dropna()})
    parts = [cells] if cells and width <= _WIDTH else _by_phase(cells)
    made = [_map(breakdown, part, shown, len(parts) > 1, glyphs) for part in parts]
    outside = _outside(breakdown, glyphs)
    prose = flag_texts(breakdown.layer_flags, glyphs)
    if made:
        last = made[-1]
        made[-1] = Section(
            last.title, last.columns, last.rows, last.total, (*last.notes, *outside), prose
        )
    elif outside:
        made = [Section("Layers", (), [], notes=outside[1:], prose=outside[:1])]
    return made


def layer_note(breakdown: Breakdown) -> tuple[str, ...]:
    """How many flags `--by layer` would show, where it would show any."""
    n = len(breakdown.layer_flags)
    if not n:
        return ()
    return (f"Layers stand out in {n} way{'s' if n > 1 else ''}: --by layer says which and why.",)


def _columns(breakdown: Breakdown) -> list[Cell]:
    cells = breakdown.layer_map[["phase", "block"]].drop_duplicates()
    found = [(str(phase), str(block)) for phase, block in cells.itertuples(index=False)]
    order = [summary.phase for summary in breakdown.phases]
    return sorted(found, key=lambda cell: (order.index(cell[0]), cell[1]))


def _cell_width(cell: Cell) -> int:
    phase, block = cell
    return max(len(phase), len(f"{block} ms"), _TIME_WIDTH) + _SHADE_WIDTH + 2 * _GAP


def _by_phase(cells: Sequence[Cell]) -> list[list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell[0], []).append(cell)
    return list(groups.values())


def _map(
    breakdown: Breakdown, cells: Sequence[Cell], shown: Sequence[int], alone: bool, glyphs: Glyphs
) -> Section:
    found: dict[tuple[str, str, int], dict[str, Any]] = {
        (row["phase"], row["block"], row["layer"]): row for row in records(breakdown.layer_map)
    }
    columns = [Column("layer", number=True)]
    for phase, block in cells:
        name = printable(block, glyphs)
        columns += [Column(f"{name} ms" if alone else f"{phase}\n{name} ms", number=True)]
        columns += [Column("")]
    rows = []
    for layer in shown:
        texts: list[str] = [str(layer)]
        for phase, block in cells:
            texts += _texts(found.get((phase, block, layer)), glyphs)
        rows.append(tuple(texts))
    total = ["median"]
    for phase, block in cells:
        own = breakdown.layer_map
        times = own.loc[(own["phase"] == phase) & (own["block"] == block), "time_ms"]
        total += [milliseconds(float(times.median())), ""]
    n_all = breakdown.layer_map["layer"].nunique()
    title = "Layers" if len(shown) == n_all else f"Layers ({len(shown)} of {n_all})"
    return Section(
        f"{title} of {cells[0][0]}" if alone else title,
        tuple(columns),
        rows,
        total=tuple(total),
        notes=(_legend(glyphs),),
    )


def _texts(row: dict[str, Any] | None, glyphs: Glyphs) -> list[str]:
    if row is None:
        return [NONE, ""]
    if row["relative"] is None:
        return [milliseconds(row["time_ms"]), ""]
    level = sum(row["relative"] >= limit for limit in _LIMITS)
    return [
        Shaded(milliseconds(row["time_ms"]), level),
        Shaded(glyphs.shades[level] * _SHADE_WIDTH, level),
    ]


def _legend(glyphs: Glyphs) -> str:
    low, middle, high = _LIMITS
    cool, even, warm, hot = list(glyphs.shades)
    return (
        f"Against the median of the column: {cool} below {low:g}, {even} to {middle:g}, "
        f"{warm} to {high:g}, {hot} above."
    )


def _outside(breakdown: Breakdown, glyphs: Glyphs) -> tuple[str, ...]:
    rows = breakdown.uncut["layer"]
    lines = []
    for summary in breakdown.phases:
        chosen = rows[(rows["phase"] == summary.phase) & rows["layer"].isna()]
        blocks = [
            f"{printable(row['block'], glyphs)} {milliseconds(row['time_ms'])} ms"
            for row in records(chosen.sort_values("time_ms", ascending=False))
        ]
        if blocks:
            lines.append(f"Outside the layers, {summary.phase}: {', '.join(blocks)}.")
    return tuple(lines)

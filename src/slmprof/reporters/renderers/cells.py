"""Tables as rows of texts, with the signs that a stream can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...printable import printable as safe
from ..documents.parts import Column, HeatMap, Table
from ..documents.quantities import value_text

_BAR_WIDTH = 12
# Against the median of the column: below the first limit the lightest shade, and so on. Within 15 %
# (`analysis.layers.finders.MIN_DIFFERENCE`) layers count as equal.
_LIMITS = (0.85, 1.15, 1.5)
_SHADE_WIDTH = 3
# What a terminal has at least, of which the row's name takes some; two blanks between columns.
_WIDTH, _NAME_WIDTH, _GAP, _VALUE_WIDTH = 80, 6, 2, 7


@dataclass(frozen=True)
class Glyphs:
    """Signs that not every terminal can show."""

    dot: str
    ellipsis: str
    bar: str
    shades: str
    replaced: tuple[tuple[str, str], ...] = ()


UNICODE = Glyphs(dot=" · ", ellipsis="…", bar="█", shades="░▒▓█")
ASCII = Glyphs(dot=", ", ellipsis="~", bar="#", shades=".:+#", replaced=(("±", "+-"),))


class Shaded(str):
    """A cell that a terminal may colour; `level` counts from 0, the coolest, to 3."""

    level: int

    def __new__(cls, text: str, level: int) -> Shaded:
        cell = super().__new__(cls, text)
        cell.level = level
        return cell


@dataclass(frozen=True)
class Grid:
    """A table of texts."""

    title: str | None
    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]
    total: tuple[str, ...] | None
    legend: str | None = None


def printable(text: str, glyphs: Glyphs) -> str:
    """What a stream can show without being steered; ASCII only with ASCII glyphs."""
    for sign, plain in glyphs.replaced:
        text = text.replace(sign, plain)
    text = safe(text)
    return text if glyphs is UNICODE else text.encode("ascii", "replace").decode("ascii")


def shortened(text: str, width: int | None, glyphs: Glyphs) -> str:
    """Cut in the middle, where names of tensors and kernels differ least."""
    if width is None or len(text) <= width:
        return text
    keep = width - len(glyphs.ellipsis)
    tail = keep // 2
    return text[: keep - tail] + glyphs.ellipsis + text[len(text) - tail :]


def grid(table: Table, glyphs: Glyphs) -> Grid:
    """The texts of a table."""

    def texts(row: Sequence[object]) -> tuple[str, ...]:
        return tuple(
            _bar(cell, glyphs)
            if column.unit == "bar"
            else shortened(printable(value_text(cell, column.unit), glyphs), column.most, glyphs)
            for cell, column in zip(row, table.columns, strict=True)
        )

    total = texts(table.total) if table.total is not None else None
    return Grid(None, table.columns, [texts(row) for row in table.rows], total)


def _bar(share: object, glyphs: Glyphs) -> str:
    if not isinstance(share, (int, float)):
        return ""
    return glyphs.bar * max(0, min(_BAR_WIDTH, round(share * _BAR_WIDTH)))


def heat_grids(chart: HeatMap, glyphs: Glyphs) -> list[Grid]:
    """One table where it is narrow enough, else one for each group of columns; the last one has
    the legend."""
    every = range(len(chart.columns))
    parts = [list(every)]
    if _NAME_WIDTH + sum(_width(chart, i) for i in every) > _WIDTH:
        groups = dict.fromkeys(group for group, _ in chart.columns)
        parts = [[i for i in every if chart.columns[i][0] == group] for group in groups]
    grids = [_heat_grid(chart, part, len(parts) > 1, glyphs) for part in parts]
    return [*grids[:-1], Grid(**{**vars(grids[-1]), "legend": _legend(glyphs)})]


def _width(chart: HeatMap, i: int) -> int:
    group, name = chart.columns[i]
    longest = max(len(group), len(f"{name} {chart.unit}"), _VALUE_WIDTH)
    return longest + _SHADE_WIDTH + 2 * _GAP


def _heat_grid(chart: HeatMap, shown: Sequence[int], is_part: bool, glyphs: Glyphs) -> Grid:
    columns = [Column(chart.row_title, "plain")]
    for group, name in (chart.columns[i] for i in shown):
        title = f"{printable(name, glyphs)} {chart.unit}"
        columns += [Column(title if is_part else f"{group}\n{title}", chart.unit), Column("")]
    rows = []
    for name, values, relative in zip(chart.rows, chart.values, chart.relative, strict=True):
        texts: list[str] = [printable(name, glyphs)]
        for i in shown:
            texts += _shaded(value_text(values[i], chart.unit), relative[i], glyphs)
        rows.append(tuple(texts))
    total = ["median"]
    for i in shown:
        total += [value_text(chart.medians[i], chart.unit), ""]
    of = f"{chart.row_title}s of {chart.columns[shown[0]][0]}".capitalize()
    heading = printable(of, glyphs) if is_part else None
    return Grid(heading, tuple(columns), rows, tuple(total))


def _shaded(text: str, relative: float | None, glyphs: Glyphs) -> list[str]:
    if relative is None:
        return [text, ""]
    level = sum(relative >= limit for limit in _LIMITS)
    return [Shaded(text, level), Shaded(glyphs.shades[level] * _SHADE_WIDTH, level)]


def _legend(glyphs: Glyphs) -> str:
    low, middle, high = _LIMITS
    cool, even, warm, hot = list(glyphs.shades)
    return (
        f"Against the median of the column: {cool} below {low:g}, {even} to {middle:g}, "
        f"{warm} to {high:g}, {hot} above."
    )

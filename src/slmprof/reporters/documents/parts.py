"""What a report consists of: a tree of typed parts, which hold values and not their formatting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal[
    "text", "ms", "ms_change", "share", "change", "rate", "ratio", "range", "ms_range", "bytes",
    "size", "mib", "mib_change", "bits", "count", "plain", "shape", "bar", "joules",
    "joules_range",
]  # fmt: skip
"""What a cell's value is.

`ms` milliseconds, `ms_change` the same with their sign, `ms_range` two of them; `share` a part of
1, `change` the same with its sign, `range` two changes, low and high; `rate` and `ratio` numbers of
their own unit, which the title says; `bytes` and `size` (of a cache) with their unit, `mib` bytes
shown in MiB, `mib_change` the same with their sign; `bits` of an element; `count` a number, whole
where it can be; `plain` a whole number as it is; `shape` numbers of elements; `bar` a share, drawn;
`joules` energy, `joules_range` two of them.
"""
NUMBERS: frozenset[Unit] = frozenset((
    "ms", "ms_change", "share", "change", "rate", "ratio", "bytes", "size", "mib", "bits", "count",
    "plain", "joules",
))  # fmt: skip

Cell = Any
"""A value of its column's unit, or a `Quantity`; None where unknown, "" where none belongs."""
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Quantity:
    """A value whose unit is not its column's."""

    value: Any
    unit: Unit


@dataclass(frozen=True)
class Column:
    """A column. Numbers stand right.

    Attributes:
        key: what its values are called in records, where that is not the title.
        is_wide: left out where there is not much room.
        most: characters of a text, which is cut in its middle where that is not enough.
    """

    title: str
    unit: Unit = "text"
    key: str = ""
    is_wide: bool = False
    most: int | None = None

    @property
    def is_number(self) -> bool:
        return self.unit in NUMBERS


@dataclass(frozen=True)
class Headline:
    """What a report is about: lines of facts, the most important first.

    Attributes:
        is_list: whether the lines are of several things, none of which is above the others.
    """

    lines: tuple[tuple[str, ...], ...]
    is_list: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of values. A total stands last, apart from the others; a text's indent is kept.

    Attributes:
        elsewhere: the option that shows every column, to be told where some are left out.
    """

    columns: tuple[Column, ...]
    rows: Sequence[Row]
    total: Row | None = None
    elsewhere: str | None = None

    @classmethod
    def of(cls, columns: tuple[Column, ...], records: Iterable[Any]) -> Table:
        """A row for each of the records: dicts, or objects with attributes."""
        keys = [column.key or column.title for column in columns]
        rows = [
            tuple(row[key] if isinstance(row, dict) else getattr(row, key) for key in keys)
            for row in records
        ]
        return cls(columns, rows)


@dataclass(frozen=True)
class HeatMap:
    """Values by row and column, each with how it compares with its column's median.

    Attributes:
        row_title: what a row is.
        rows: names of the rows.
        columns: group and name of each column.
        values: one tuple a row; None where there is no such cell.
        relative: of each value, over the median of its column; None where that cannot be told.
        medians: one a column.
        unit: of the values and medians.
    """

    row_title: str
    rows: Sequence[str]
    columns: tuple[tuple[str, str], ...]
    values: Sequence[tuple[float | None, ...]]
    relative: Sequence[tuple[float | None, ...]]
    medians: tuple[float, ...]
    unit: Unit


@dataclass(frozen=True)
class Series:
    """Points of a plot that belong together.

    Attributes:
        points: x, y and what to call the point; empty for nothing.
        is_line: whether a line joins them.
        is_main: whether they are what the plot is about.
    """

    name: str
    points: Sequence[tuple[float, float, str]]
    is_line: bool = False
    is_main: bool = False


@dataclass(frozen=True)
class Plot:
    """A picture of points, for renderers that can show one; tables hold the same figures.

    Attributes:
        name: of its file, without a suffix.
        x, y: what the axes are, with their units.
        is_log: whether y is shown by its logarithm; points at zero are then left out.
    """

    name: str
    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    is_log: bool = True


@dataclass(frozen=True)
class Note:
    """How to read what stands before it."""

    text: str


@dataclass(frozen=True)
class Finding:
    """A sentence that follows from the figures."""

    text: str


@dataclass(frozen=True)
class Caveat:
    """A doubt about the figures: a `warning`, or a `note` of what they are not."""

    text: str
    kind: Literal["warning", "note"] = "warning"


@dataclass(frozen=True)
class Section:
    """Parts that belong together, with or without a title.

    Attributes:
        is_folded: whether a renderer that can fold parts away shows this one folded.
    """

    title: str | None
    parts: tuple[Table | HeatMap | Plot | Note | Finding, ...]
    is_folded: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it has nothing but a title, notes and tables without rows."""
        return not any(
            isinstance(part, (Finding, Plot)) or (isinstance(part, (Table, HeatMap)) and part.rows)
            for part in self.parts
        )


Part = Headline | Section | Note | Caveat


@dataclass(frozen=True)
class Rows:
    """The one table of a report as scripts want it: names of the columns, and a dict a row."""

    names: Sequence[str]
    rows: Iterable[dict[str, Any]]


@dataclass(frozen=True)
class Document:
    """A report. Each of its forms is made when a renderer asks for it.

    Attributes:
        parts: what people read.
        data: all of it as plain values, by the names that scripts build on.
        rows: one table of plain values.
    """

    parts: Callable[[], Sequence[Part]]
    data: Callable[[], dict[str, Any]]
    rows: Callable[[], Rows]


def said(sections: Iterable[Section]) -> list[Section]:
    """The sections that say anything."""
    return [section for section in sections if not section.is_empty]


def notes(*texts: str) -> tuple[Note, ...]:
    """One note of several sentences; none without any."""
    joined = " ".join(text for text in texts if text)
    return (Note(joined),) if joined else ()


def listed(names: Sequence[str], most: int = 4) -> str:
    """`a`, `a and b`, `a, b and c`; the rest of many is counted."""
    shown = list(names)
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(names) - most + 1} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbours, in the order of the numbers."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found

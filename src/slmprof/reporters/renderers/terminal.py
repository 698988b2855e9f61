"""A document for people: tables on a terminal, in a pipe, and where only ASCII can be shown."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import TextIO

from rich.box import Box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ..documents.parts import (
    Caveat,
    Document,
    Finding,
    Headline,
    HeatMap,
    Note,
    Part,
    Plot,
    Section,
    Table,
)
from ..documents.quantities import wrapped
from .cells import ASCII, UNICODE, Glyphs, Grid, Shaded, grid, heat_grids, printable

# Nobody reads further, and laying out a row takes a millisecond.
_MOST_ROWS = 2000
# From here on there is room for every column.
WIDE = 180
_NO_LINE = "    \n"
_LINED = Box(_NO_LINE * 2 + " \u2500\u2500 \n" + _NO_LINE * 5)
_LINED_ASCII = Box(_NO_LINE * 2 + " -- \n" + _NO_LINE * 5, ascii=True)
# From the coolest shade to the hottest.
_HEAT = ("blue", "", "yellow", "red")


def render(document: Document, stream: TextIO, width: int | None = None) -> None:
    """Writes the parts: colours on a terminal only, ASCII if the stream's encoding is not UTF.

    Args:
        width: columns; None for the terminal's own, 80 where there is none.
    """
    console = console_of(stream, width)
    glyphs = UNICODE if console.encoding.startswith("utf") else ASCII
    # Captured, so that a reader who closes the pipe is the caller's affair: rich would end the
    # process by itself.
    with console.capture() as text:
        before: Part | None = None
        for part in document.parts():
            if before is not None and not (type(before) is type(part) is Caveat):
                console.print()
            _print(part, console, glyphs)
            before = part
    # rich fills every line of a table up to its width.
    stream.writelines(f"{line.rstrip()}\n" for line in text.get().split("\n")[:-1])


def console_of(stream: TextIO, width: int | None = None) -> Console:
    """A console that prints texts as they are; `width` as in `render`."""
    height = None
    if width is None and not _has_columns(os.environ.get("COLUMNS", "")):
        # rich would take any digits, unless both are given. What is no width is as if not set.
        width, height = shutil.get_terminal_size()
    return Console(
        file=stream, width=width, height=height, highlight=False, markup=False, emoji=False
    )


def _has_columns(text: str) -> bool:
    return not text.isdigit() or (text.isdecimal() and int(text) > 0)


def _print(part: Part, console: Console, glyphs: Glyphs) -> None:
    if isinstance(part, Headline):
        for i, facts in enumerate(part.lines):
            for line in _packed(facts, console.width, glyphs):
                console.print(Text(line, style="" if i else "bold"))
    elif isinstance(part, Section):
        _print_section(part, console, glyphs)
    elif isinstance(part, Caveat):
        _say(f"{part.kind}: {part.text}", console, glyphs, "yellow")
    else:
        _say(part.text, console, glyphs, "dim")


def _print_section(section: Section, console: Console, glyphs: Glyphs) -> None:
    if section.title is not None:
        console.print(Text(printable(section.title, glyphs), style="bold cyan"))
    for part in section.parts:
        if isinstance(part, Note):
            _say(part.text, console, glyphs, "dim")
        elif isinstance(part, Finding):
            _say(part.text, console, glyphs, "", first="- ", then="  ")
        elif not isinstance(part, Plot) and part.rows:
            grids = heat_grids(part, glyphs) if isinstance(part, HeatMap) else [grid(part, glyphs)]
            for i, one in enumerate(grids):
                _print_grid(one, console, glyphs, is_first=i == 0)
            if isinstance(part, Table) and console.width < WIDE:
                _say_left_out(part, console, glyphs)


def _say_left_out(table: Table, console: Console, glyphs: Glyphs) -> None:
    """Which columns have no room, where the table says how to see them."""
    names = [column.title.replace("\n", " ") for column in table.columns if column.is_wide]
    if table.elsewhere is not None and names:
        text = (
            f"{console.width} columns leave out {', '.join(names)}; "
            f"widen to {WIDE} or use {table.elsewhere}."
        )
        _say(text, console, glyphs, "dim")


def _print_grid(shown: Grid, console: Console, glyphs: Glyphs, *, is_first: bool) -> None:
    if not is_first:
        console.print()
    if shown.title is not None:
        console.print(Text(shown.title, style="bold"))
    console.print(_table(shown, console.width >= WIDE, glyphs))
    if (n_left_out := len(shown.rows) - _MOST_ROWS) > 0:
        _say(f"{n_left_out} rows more; --format csv has all.", console, glyphs, "dim")
    if shown.legend is not None:
        _say(shown.legend, console, glyphs, "dim")


def _say(
    text: str, console: Console, glyphs: Glyphs, style: str, first: str = "", then: str = ""
) -> None:
    for line in wrapped(printable(text, glyphs), console.width, first, then):
        console.print(Text(line, style=style))


def _packed(facts: Sequence[str], width: int, glyphs: Glyphs) -> list[str]:
    """The facts on as few lines as they need, broken between them only."""
    lines: list[str] = []
    for fact in (printable(fact, glyphs) for fact in facts):
        if lines and len(lines[-1]) + len(glyphs.dot) + len(fact) <= width:
            lines[-1] += glyphs.dot + fact
        else:
            lines.append(fact)
    return lines


def _cell(text: str) -> Text:
    return Text(text, style=_HEAT[text.level]) if isinstance(text, Shaded) else Text(text)


def _table(shown: Grid, is_wide: bool, glyphs: Glyphs) -> RichTable:
    table = RichTable(
        box=_LINED if glyphs is UNICODE else _LINED_ASCII,
        show_edge=False,
        pad_edge=False,
        header_style="bold",
        # Two blanks between columns: one is the box's own divider.
        padding=(0, 1, 0, 0),
    )
    kept = [i for i, column in enumerate(shown.columns) if is_wide or not column.is_wide]
    for i in kept:
        column = shown.columns[i]
        title = "\n".join(printable(line, glyphs) for line in column.title.split("\n"))
        # Folding keeps every character; an ellipsis would not be ASCII.
        table.add_column(
            Text(title), justify="right" if column.is_number else "left", overflow="fold"
        )
    for row in shown.rows[:_MOST_ROWS]:
        table.add_row(*(_cell(row[i]) for i in kept))
    if shown.total is not None:
        total = shown.total
        table.add_row(*(Text(total[i], style="bold") for i in kept))
    return table

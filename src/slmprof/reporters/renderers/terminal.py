"""A breakdown for people: tables on a terminal, in a pipe, and where only ASCII can be shown."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from typing import TYPE_CHECKING, TextIO

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..documents.quantities import ASCII, UNICODE, Glyphs
from ..documents.section import Section, Shaded

if TYPE_CHECKING:
    from ...analysis.verdicts.breakdown import Breakdown

# Header lines, sections, and the lines below them.
Document = tuple[list[str], list[Section], list[str]]

# From here on there is room for every column.
WIDE = 180
_NO_LINE = "    \n"
_LINED = Box(_NO_LINE * 2 + " \u2500\u2500 \n" + _NO_LINE * 5)
# From the coolest shade to the hottest.
_HEAT = ("blue", "", "yellow", "red")
_LINED_ASCII = Box(_NO_LINE * 2 + " -- \n" + _NO_LINE * 5, ascii=True)


def render(breakdown: Breakdown, stream: TextIO, width: int | None = None) -> None:
    """Writes the tables to `stream`: colours on a terminal only, ASCII if its encoding is not UTF.

    Args:
        width: columns; None for the terminal's own, 80 where there is none.
    """
    # Here, so that other documents do not wait for pandas.
    from ..documents.captions import caveat_lines, header_lines
    from ..documents.sections import sections

    def make(glyphs: Glyphs) -> Document:
        return (
            header_lines(breakdown, glyphs),
            sections(breakdown, glyphs),
            caveat_lines(breakdown, glyphs),
        )

    render_document(make, stream, width)


def render_document(
    make: Callable[[Glyphs], Document], stream: TextIO, width: int | None = None
) -> None:
    """As `render`, from the header lines, sections and last lines that `make` gives."""
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    ascii_only = not console.encoding.startswith("utf")
    # Captured, so that a reader who closes the pipe is the caller's affair: rich would end the
    # process by itself.
    with console.capture() as text:
        _print(make(ASCII if ascii_only else UNICODE), console, ascii_only)
    # rich fills every line of a table up to its width.
    stream.writelines(f"{line.rstrip()}\n" for line in text.get().removesuffix("\n").split("\n"))


def _print(document: Document, console: Console, ascii_only: bool) -> None:
    glyphs = ASCII if ascii_only else UNICODE
    (first, *rest), shown, lines = document
    for line in _packed(first, console.width, glyphs.dot):
        console.print(Text(line, style="bold"))
    for long_line in rest:
        for line in _packed(long_line, console.width, glyphs.dot):
            console.print(Text(line))
    for section in shown:
        console.print()
        console.print(Text(section.title, style="bold cyan"))
        if section.columns:
            console.print(_table(section, console.width >= WIDE, ascii_only))
        for note in section.notes:
            console.print(Text(note, style="dim"))
        for sentence in section.prose:
            for line in wrap(sentence, console.width, initial_indent="- ", subsequent_indent="  "):
                console.print(Text(line))
    if lines:
        console.print()
    for line in lines:
        console.print(Text(line, style="yellow"))


def _packed(line: str, width: int, separator: str) -> list[str]:
    """The line broken at its separators only."""
    lines: list[str] = []
    for fact in line.split(separator):
        if lines and len(lines[-1]) + len(separator) + len(fact) <= width:
            lines[-1] += separator + fact
        else:
            lines.append(fact)
    return lines


def _cell(text: str) -> Text:
    return Text(text, style=_HEAT[text.level]) if isinstance(text, Shaded) else Text(text)


def _table(section: Section, wide: bool, ascii_only: bool) -> Table:
    table = Table(
        box=_LINED_ASCII if ascii_only else _LINED,
        show_edge=False,
        pad_edge=False,
        header_style="bold",
        # Two blanks between columns: one is the box's own divider.
        padding=(0, 1, 0, 0),
    )
    shown = [i for i, column in enumerate(section.columns) if wide or not column.wide]
    for i in shown:
        column = section.columns[i]
        # Folding keeps every character; an ellipsis would not be ASCII.
        table.add_column(
            Text(column.title), justify="right" if column.number else "left", overflow="fold"
        )
    for row in section.rows:
        table.add_row(*(_cell(row[i]) for i in shown))
    if section.total is not None:
        total = section.total
        table.add_row(*(Text(total[i], style="bold") for i in shown))
    return table

"""A document as Markdown, for an issue or a README."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import TextIO

from ...printable import printable_lines
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
)
from .cells import UNICODE, Grid, grid, heat_grids, printable


def render(document: Document, stream: TextIO) -> None:
    """Writes headings and tables with every column; ends with a newline; no part, no text."""
    texts: list[str] = []
    for part in document.parts():
        if isinstance(part, Caveat):
            line = f"- {_escaped(f'{part.kind}: {part.text}')}"
            if texts and texts[-1].startswith(("- warning: ", "- note: ")):
                texts[-1] += f"\n{line}"
            else:
                texts.append(line)
        else:
            texts += _part(part)
    stream.write(printable_lines("\n\n".join(texts) + "\n") if texts else "")


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Headline):
        lines = [_escaped(UNICODE.dot.join(facts)) for facts in part.lines if facts]
        if part.is_list:
            yield "\n".join(f"- {line}" for line in lines)
            return
        first, *rest = lines
        yield f"# {first}"
        yield from rest
    elif isinstance(part, Section):
        yield from _section(part)
    else:
        yield _escaped(part.text)


def _section(section: Section) -> Iterator[str]:
    if section.is_folded:
        # A browser shows the title alone; Markdown within goes on after a blank line.
        yield f"<details><summary>{_plain(section.title or 'More')}</summary>"
    elif section.title is not None:
        yield f"## {_escaped(section.title)}"
    for part in section.parts:
        if isinstance(part, Note):
            yield _escaped(part.text)
        elif isinstance(part, HeatMap):
            for one in heat_grids(part, UNICODE):
                yield from _grid(one)
        elif isinstance(part, Plot):
            yield f"![{_escaped(part.title)}]({part.name}.svg)"
        elif not isinstance(part, Finding):
            yield from _grid(grid(part, UNICODE))
    sentences = [f"- {_escaped(part.text)}" for part in section.parts if isinstance(part, Finding)]
    if sentences:
        yield "\n".join(sentences)
    if section.is_folded:
        yield "</details>"


def _grid(shown: Grid) -> Iterator[str]:
    if not shown.rows:
        return
    if shown.title is not None:
        yield f"### {_escaped(shown.title)}"
    titles = [_escaped(column.title.replace("\n", " ")) for column in shown.columns]
    rules = ["---:" if column.is_number else "---" for column in shown.columns]
    rows = [*shown.rows, *([shown.total] if shown.total else [])]
    yield "\n".join([_row(titles), _row(rules), *(_row([_cell(c) for c in row]) for row in rows)])
    if shown.legend is not None:
        yield _escaped(shown.legend)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    # Indentation is lost in a Markdown table; two no-break spaces keep what it says.
    indent = len(text) - len(text.lstrip(" "))
    return "&nbsp;" * indent + _escaped(text.lstrip(" "))


def _escaped(text: str) -> str:
    text = printable(text, UNICODE)
    for sign in "\\|*_`<>[]":
        text = text.replace(sign, f"\\{sign}")
    return text


def _plain(text: str) -> str:
    """A text within HTML."""
    return html.escape(printable(text, UNICODE))

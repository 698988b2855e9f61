"""A breakdown as Markdown, for an issue or a README."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..documents.quantities import UNICODE
from ..documents.section import Section

if TYPE_CHECKING:
    from ...analysis.verdicts.breakdown import Breakdown


def render(breakdown: Breakdown) -> str:
    """Headings and tables with every column; ends with a newline."""
    # Here, so that other documents do not wait for pandas.
    from ..documents.captions import caveat_lines, header_lines
    from ..documents.sections import sections

    return render_document(
        (
            header_lines(breakdown, UNICODE),
            sections(breakdown, UNICODE),
            caveat_lines(breakdown, UNICODE),
        )
    )


def render_document(document: tuple[list[str], list[Section], list[str]]) -> str:
    """As `render`, from header lines, sections and the lines below them."""
    (first, *rest), shown, lines = document
    parts = [f"# {_escaped(first)}", *map(_escaped, rest)]
    parts += [_section(section) for section in shown]
    if lines:
        parts.append("\n".join(f"- {_escaped(line)}" for line in lines))
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> str:
    titles = [column.title.replace("\n", " ") for column in section.columns]
    rules = ["---:" if column.number else "---" for column in section.columns]
    rows = [*section.rows, *([section.total] if section.total else [])]
    lines = [_row(titles), _row(rules), *(_row([_cell(c) for c in row]) for row in rows)]
    sentences = [f"- {_escaped(sentence)}" for sentence in section.prose]
    parts = [f"## {section.title}", "\n".join(lines) if titles else ""]
    parts += [*map(_escaped, section.notes), "\n".join(sentences)]
    return "\n\n".join(part for part in parts if part)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    # Indentation is lost in a Markdown table; two no-break spaces keep what it says.
    indent = len(text) - len(text.lstrip(" "))
    return "&nbsp;" * indent + _escaped(text.lstrip(" "))


def _escaped(text: str) -> str:
    for sign in "\\|*_`<>[]":
        text = text.replace(sign, f"\\{sign}")
    return text

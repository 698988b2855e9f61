"""A page of its own: the Markdown of a document, with its plots in it and nothing to fetch."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from ...printable import printable_lines
from ..documents.parts import Document, Headline, Plot, Section
from . import markdown, plots

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; background: #fff;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
h3 { font-size: 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #e5e7eb; text-align: left; }
th { border-bottom-color: #9ca3af; white-space: nowrap; }
.wide { overflow-x: auto; }
svg { max-width: 100%; height: auto; }
summary { cursor: pointer; font-weight: 600; margin: 1rem 0; }
code { font-size: .92em; }
"""


def render(document: Document, stream: TextIO) -> None:
    """Writes the page."""
    from markdown_it import MarkdownIt

    parts = document.parts()
    text = io.StringIO()
    markdown.render(document, text)
    shown = pictures(document)
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")

    def image(_: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
        del options, env
        return shown.get(str(tokens[at].attrs.get("src", "")), "")

    parser.add_render_rule("image", image)
    parser.add_render_rule("table_open", lambda *_: '<div class="wide"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    titles = [part.lines[0] for part in parts if isinstance(part, Headline) and part.lines]
    title = html.escape(titles[0][0] if titles and titles[0] else "slmprof")
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>'
        f"\n<style>{_STYLE}</style>\n</head>\n<body>\n{parser.render(text.getvalue())}</body>\n"
        "</html>\n"
    )
    stream.write(printable_lines(page))


def plots_of(document: Document) -> list[Plot]:
    """The plots of a document, in their order."""
    return [
        part
        for section in document.parts()
        if isinstance(section, Section)
        for part in section.parts
        if isinstance(part, Plot)
    ]


def pictures(document: Document) -> Mapping[str, str]:
    """The plots as SVG, by the names of their files."""
    return {f"{plot.name}.svg": plots.svg(plot) for plot in plots_of(document)}

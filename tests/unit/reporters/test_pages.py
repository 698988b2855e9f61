"""Pages: Markdown, one HTML file with its pictures in it, and names that stay texts."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from slmprof.errors import UsageError
from slmprof.reporters.documents.parts import (
    Column,
    Document,
    Finding,
    Headline,
    Plot,
    Rows,
    Section,
    Series,
    Table,
)
from slmprof.reporters.pages import write_pages
from slmprof.reporters.renderers import html, plots, render

EVIL = "<script>alert(1)</script> & $x^2$ | `c` ![x](y.svg)"


def document(name: str = "mine") -> Document:
    points = [(1.0, 0.1, name), (2.0, 0.0, "at zero"), (3.0, 0.001, "")]
    series = (Series("the front", points, is_line=True), Series(name, points[:1], is_main=True))
    plot = Plot("size", name, "MiB", "nats", series)
    table = Table((Column("model"), Column("ms", "ms")), [(name, 1.25)])
    parts = [
        Headline(((name, "a model"),)),
        Section("Figures", (table, plot, Finding(name))),
        Section("More", (table,), is_folded=True),
    ]
    return Document(lambda: parts, dict, lambda: Rows((), []))


class _Page(HTMLParser):
    """What a browser sees of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(name: str = "mine") -> _Page:
    stream = io.StringIO()
    html.render(document(name), stream)
    return _Page(stream.getvalue())


def test_a_page_has_tables_pictures_and_folded_parts() -> None:
    found = page()
    assert found.tags.count("table") == 2 and found.tags.count("svg") == 1
    assert found.tags.count("details") == 1 and "mine" in found.texts


def test_a_page_fetches_nothing() -> None:
    links = page().links
    assert links and all(link.startswith("#") for link in links)


def test_a_name_is_text_and_nothing_else() -> None:
    found = page(EVIL)
    assert "script" not in found.tags and "img" not in found.tags
    assert any("<script>alert(1)</script>" in text for text in found.texts)


def test_a_picture_is_an_xml_file_of_its_own_and_the_same_each_time() -> None:
    (plot,) = html.plots_of(document(EVIL))
    made = plots.svg(plot)
    assert made == plots.svg(plot)
    root: Any = ElementTree.fromstring(made)
    assert root.tag.endswith("svg")
    assert EVIL[:8] in "".join(root.itertext())


def test_points_at_zero_are_not_on_a_logarithmic_axis() -> None:
    (plot,) = html.plots_of(document())
    made = plots.svg(plot)
    assert "at zero" not in made and "mine" in made


def test_pages_are_files_beside_their_pictures(tmp_path: Path) -> None:
    markdown, made = write_pages(document(), tmp_path, "dossier")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dossier.html", "dossier.md", "size.svg",
    ]  # fmt: skip
    assert re.findall(r"!\[mine\]\((.*)\)", markdown.read_text()) == ["size.svg"]
    assert made.read_text().startswith("<!DOCTYPE html>")


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_pages(document(), tmp_path / "none", "dossier")


def test_a_terminal_shows_no_picture() -> None:
    stream = io.StringIO()
    render(document(), "table", stream)
    assert "size.svg" not in stream.getvalue() and "1.250" in stream.getvalue()

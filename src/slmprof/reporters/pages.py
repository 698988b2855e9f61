"""A document as files of a folder: Markdown with its pictures, and one HTML page."""

from __future__ import annotations

import io
from pathlib import Path

from ..profiles.writing import write_text
from .documents.parts import Document
from .renderers import html, markdown


def write_pages(document: Document, folder: Path, name: str) -> tuple[Path, Path]:
    """Writes NAME.md, NAME.html and the plots, each whole or not at all.

    Returns:
        The paths of the Markdown and of the page.

    Raises:
        UsageError: a file cannot be written there.
    """
    made = []
    texts = dict(html.pictures(document))
    for renderer, suffix in ((markdown, ".md"), (html, ".html")):
        stream = io.StringIO()
        renderer.render(document, stream)
        texts[f"{name}{suffix}"] = stream.getvalue()
        made.append(folder / f"{name}{suffix}")
    for file, text in texts.items():
        write_text(folder / file, text)
    return made[0], made[1]

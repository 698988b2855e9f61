"""How a document is written. A renderer is a module with `render(document, stream)`."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ..documents.parts import Document

RENDERERS = {"table": "terminal", "json": "json", "csv": "csv", "markdown": "markdown"}
"""The name that `--format` gives a renderer, and its module, loaded when it is used."""


def load(form: str) -> ModuleType:
    """The renderer of a format."""
    return import_module(f".{RENDERERS[form]}", __package__)


def render(document: Document, form: str, stream: TextIO) -> None:
    """Writes the document in one of the formats of `RENDERERS`."""
    load(form).render(document, stream)

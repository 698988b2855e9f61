"""How a document is written. A renderer is a module with `render(document, stream)`."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Literal, NamedTuple, TextIO

if TYPE_CHECKING:
    from ..documents.parts import Document


class Renderer(NamedTuple):
    """A renderer's module, and the form of a document that it reads."""

    module: str
    reads: Literal["parts", "data", "rows"]


RENDERERS = {
    "table": Renderer("terminal", reads="parts"),
    "json": Renderer("json", reads="data"),
    "csv": Renderer("csv", reads="rows"),
    "markdown": Renderer("markdown", reads="parts"),
}
"""Renderers by the names of `--format`. A module is loaded when it is used."""


def load(form: str) -> ModuleType:
    """The renderer of a format."""
    return import_module(f".{RENDERERS[form].module}", __package__)


def render(document: Document, form: str, stream: TextIO) -> None:
    """Writes the document in one of the formats of `RENDERERS`."""
    load(form).render(document, stream)

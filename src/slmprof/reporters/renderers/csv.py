"""The one table of a document as CSV: a header line and one line a row."""

from __future__ import annotations

import csv
from typing import Any, TextIO

from ..documents.parts import Document

_JOINTS = {"shape": "x", "fused": "+"}


def render(document: Document, stream: TextIO) -> None:
    """Null is an empty cell; a shape is written `896x50`, a fused group `RMS_NORM+MUL`."""
    table = document.rows()
    writer = csv.DictWriter(stream, table.names, restval="", lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        writer.writerow({name: _cell(name, value) for name, value in row.items()})


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return _JOINTS.get(name, " ").join(str(item) for item in value)
    return value

"""The one table of a document as CSV: a header line and one line a row."""

from __future__ import annotations

import csv
from typing import Any, TextIO

from ...printable import printable
from ..documents.parts import Document

_JOINTS = {"shape": "x", "fused": "+"}


def render(document: Document, stream: TextIO) -> None:
    """Null is an empty cell; a shape is written `896x50`, a fused group `RMS_NORM+MUL`."""
    table = document.rows()
    writer = csv.DictWriter(stream, table.names, restval="", lineterminator="\n")
    writer.writerow({name: printable(name) for name in table.names})
    for row in table.rows:
        writer.writerow({name: _cell(name, value) for name, value in row.items()})


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        value = _JOINTS.get(name, " ").join(str(item) for item in value)
    # Names of tensors and kernels come from files, and a table is often looked at with `cat`.
    return printable(value) if isinstance(value, str) else value

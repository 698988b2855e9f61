"""One view of a breakdown as CSV: a header line and one line a row."""

from __future__ import annotations

import csv
import io
from typing import Any

from ...analysis.verdicts.breakdown import Breakdown
from ..documents.records import records

_JOINTS = {"shape": "x", "fused": "+"}


def render(breakdown: Breakdown) -> str:
    """The view that was asked for, or the ops: the columns of the JSON, then `model`,
    `random_weights` and `warnings`, which say on every line what a reader must know.

    Null is an empty cell; a shape is written `896x50`, a fused group `RMS_NORM+MUL`.
    """
    rows = breakdown.tables[breakdown.by or "op"]
    model = breakdown.model
    random_weights = model.random_weights
    notes = {
        "model": model.name,
        "random_weights": None if random_weights is None else str(random_weights).lower(),
        "warnings": "; ".join(breakdown.caveats),
    }
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*map(str, rows.columns), *notes], lineterminator="\n")
    writer.writeheader()
    for row in records(rows):
        cells = {name: _cell(name, value) for name, value in row.items()}
        writer.writerow({**cells, **notes})
    return stream.getvalue()


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return _JOINTS.get(name, " ").join(str(item) for item in value)
    return value

"""A breakdown as JSON; the keys are a contract that other people's scripts build on."""

from __future__ import annotations

import json
from typing import Any

from ...analysis.timing.phases import phase_record
from ...analysis.verdicts.breakdown import Breakdown
from ...profiles.decoding import finite
from ..documents.depth_records import depth_document
from ..documents.diagnosis import finding_record
from ..documents.layer_flags import flag_record
from ..documents.memory_records import memory_document
from ..documents.records import records

SCHEMA_VERSION = 1

_STANDARD = {"block": "blocks", "layer": "layers", "kernel": "kernels", "op": "ops"}
_KEYS = {**_STANDARD, "part": "parts", "tensor": "tensors"}


def render(breakdown: Breakdown) -> str:
    """The whole document, ending with a newline; with one view asked for, that view only.

    Numbers that JSON does not have (infinite, not a number) are null.
    """
    return json.dumps(document(breakdown), indent=1, allow_nan=False) + "\n"


def document(breakdown: Breakdown) -> dict[str, Any]:
    """The document as plain Python values."""
    parts = breakdown.meta.to_json()
    by = breakdown.by
    views = [view for view in _KEYS if view == by] if by else list(_STANDARD)
    result: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "slmprof": parts["slmprof"],
        # Every doubt, not the environment's only: who reads the JSON sees no other text.
        "environment": {**parts["environment"], "warnings": list(breakdown.caveats)},
        "model": parts["model"],
        "config": parts["config"],
        "run": parts["run"],
        "phases": [phase_record(summary) for summary in breakdown.phases],
        **{_KEYS[view]: records(breakdown.tables[view]) for view in views},
        **(depth_document(breakdown.depths) if by in (None, "depth") else {}),
        **_explained(breakdown),
        "memory": memory_document(breakdown),
    }
    cleaned: dict[str, Any] = finite(result)
    return cleaned


def _explained(breakdown: Breakdown) -> dict[str, Any]:
    """What belongs to a view, or to the usual set of views."""
    found: dict[str, Any] = {}
    if breakdown.by in (None, "layer"):
        found["layer_flags"] = [flag_record(flag) for flag in breakdown.layer_flags]
    if breakdown.by is None:
        found["waits"] = records(breakdown.waits)
        found["wait_totals"] = records(breakdown.wait_totals)
        found["diagnosis"] = [finding_record(finding) for finding in breakdown.diagnosis]
    return found

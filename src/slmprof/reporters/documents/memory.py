"""Planned memory for people and scripts: tables, JSON, CSV, Markdown."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, TextIO

from ...planning.records import ComputePeak, MemoryPlan, MemoryReport
from ...planning.rows import view_rows
from .memory_fit import fit_document
from .memory_grid import grid_document
from .memory_sections import plan_document
from .quantities import UNICODE, Glyphs
from .section import Section

SCHEMA_VERSION = 1


def render(
    report: MemoryReport,
    form: str,
    stream: TextIO,
    *,
    by: str | None = None,
    phase: str | None = None,
    top: int | None = None,
    width: int | None = None,
) -> None:
    """Writes the report in one of the formats.

    Args:
        form: `table`, `json`, `csv` or `markdown`.
        by: one view only: `total`, `buffer`, `layer`, `tensor` or `peak`.
        phase: of the peaks, `prefill` or `decode` only.
        top: rows of tensors in tables: the largest; None for 10 at a peak, and all by tensor.
        width: columns of a table; None for the terminal's own, 80 where there is none.
    """
    if form == "json":
        stream.write(json.dumps(document(report, by, phase), indent=1, allow_nan=False) + "\n")
        return
    if form == "csv":
        stream.write(_csv(report, by or "buffer", phase))
        return

    def make(glyphs: Glyphs) -> tuple[list[str], list[Section], list[str]]:
        if report.budget_bytes is not None:
            return fit_document(report, glyphs)
        if len(report.settings) == 1 and not report.refusals:
            return plan_document(report, glyphs, by, phase, top)
        return grid_document(report, glyphs, by, phase, top)

    if form == "markdown":
        from ..renderers import markdown

        stream.write(markdown.render_document(make(UNICODE)))
    else:
        from ..renderers import terminal

        terminal.render_document(make, stream, width)


def document(
    report: MemoryReport, by: str | None = None, phase: str | None = None
) -> dict[str, Any]:
    """The report as plain values: the whole one, or one view of each setting."""
    result: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "model": report.model,
        "memory_bytes": report.memory_bytes,
        "varying": list(report.varying),
        "settings": [_plan(plan, by, phase) for plan in report.settings],
        "refusals": [{"config": r.config, "message": r.message} for r in report.refusals],
        "planner": vars(report.planner),
    }
    if report.budget_bytes is not None:
        result["fit"] = {
            "budget_bytes": report.budget_bytes,
            "lightest": report.lightest,
            "least_compressed": report.least_compressed,
            "found": [vars(fit) for fit in report.fits],
        }
    return result


def _plan(plan: MemoryPlan, by: str | None, phase: str | None) -> dict[str, Any]:
    peaks = [peak for peak in plan.compute_phases if phase in (None, peak.phase)]
    largest = max(peaks, key=lambda peak: peak.size_bytes, default=None)
    views: dict[str, dict[str, Any]] = {
        "buffer": {"buffers": [vars(buffer) for buffer in plan.buffers]},
        "total": {"totals_bytes": plan.totals_bytes},
        "layer": {"layers": [vars(layer) for layer in plan.layers]},
        "tensor": {"tensors": [tensor.to_json() for tensor in plan.tensors]},
        "peak": {
            "compute_peak": None if largest is None else _peak(largest),
            "compute_phases": [_peak(peak) for peak in peaks],
            "ubatch": [vars(row) for row in plan.ubatch],
        },
    }
    shown = views if by is None else {by: views[by]}
    merged = {key: value for view in shown.values() for key, value in view.items()}
    return {"config": plan.config, **merged, "notes": list(plan.notes)}


def _peak(peak: ComputePeak) -> dict[str, Any]:
    return {**vars(peak), "tensors": [vars(tensor) for tensor in peak.tensors]}


def _csv(report: MemoryReport, by: str, phase: str | None) -> str:
    names, rows = view_rows(report, by)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["model", *names], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        if phase is None or row.get("phase", phase) == phase:
            cells = {name: _cell(value) for name, value in row.items()}
            writer.writerow({"model": report.model["name"], **cells})
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return "x".join(map(str, value)) if isinstance(value, list) else value

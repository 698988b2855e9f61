"""The plans as rows of plain values, for DataFrames and CSV: the settings first, then the view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..profiles.vocabulary import MEMORY_KINDS
from ..settings.kinds import Switch, Whole
from ..settings.planning import GRID
from ..settings.resolved import ResolvedPlan
from ..settings.table import PlanSettings, Setting, table
from .records import MemoryPlan, MemoryReport

SETTINGS = GRID
_TOTALS = tuple(f"{kind}_bytes" for kind in (*MEMORY_KINDS, "total"))
_RESIDENT = "resident_expected_bytes"
_COLUMNS: dict[str, tuple[str, ...]] = {
    "total": (*_TOTALS, _RESIDENT),
    "buffer": ("device", "buffer_type", "kind", "size_bytes"),
    "layer": ("layer", "weights_bytes", "kv_bytes", "recurrent_bytes", "n_swa"),
    "tensor": (
        "tensor", "type", "shape", "size_bytes", "bits_per_weight", "layer", "block", "kind",
        "device", "buffer_type", "n_swa",
    ),
    "peak": ("phase", "tensor", "op", "block", "layer", "type", "shape", "size_bytes"),
}  # fmt: skip
_FIT = (
    "size_bytes", "bits_per_weight", "is_limited_by_training", "asked_n_ctx", "asked_total_bytes",
    "resident_bytes", "asked_resident_bytes", "reserved_bytes", "asked_reserved_bytes",
    "device_bytes", "asked_device_bytes",
)  # fmt: skip

Row = dict[str, Any]


def view_rows(report: MemoryReport, by: str) -> tuple[list[str], list[Row]]:
    """The columns' names, and one dict a row; `shape` is a tuple, None stands for nothing.

    Args:
        by: `total`, `buffer`, `layer`, `tensor` or `peak`. A report of what fits has one view.
    """
    if report.budget_bytes is not None:
        return [*SETTINGS, *_TOTALS, *_FIT], list(_fits(report))
    rows = [
        {**_settings(plan.config), **row} for plan in report.settings for row in _rows(plan, by)
    ]
    return [*SETTINGS, *_COLUMNS[by]], rows


def refused_rows(report: MemoryReport) -> list[Row]:
    """The settings that could not be planned, each with the reason as `error`."""
    return [{**_settings(one.config), "error": one.message} for one in report.refusals]


def column_dtypes(names: Iterable[str]) -> dict[str, str]:
    """pandas' nullable dtype of each column; tuples are `object`."""
    entries = table(PlanSettings)
    return {n: _dtype_of_setting(entries[n]) if n in entries else _dtype(n) for n in names}


def _dtype_of_setting(setting: Setting) -> str:
    if isinstance(setting.kind, Switch):
        return "boolean"
    return "Int64" if isinstance(setting.kind, Whole) else "string"


def _dtype(name: str) -> str:
    if name == "shape":
        return "object"
    if name == "bits_per_weight":
        return "Float64"
    if name.startswith("is_"):
        return "boolean"
    is_whole = name in ("layer", "asked_n_ctx") or name.startswith("n_") or name.endswith("_bytes")
    return "Int64" if is_whole else "string"


def _settings(config: ResolvedPlan) -> Row:
    return {name: getattr(config, name) for name in SETTINGS}


def _rows(plan: MemoryPlan, by: str) -> Iterator[Row]:
    if by == "total":
        resident = plan.resident.expected_bytes if plan.resident is not None else None
        yield {**_totals_row(plan.totals_bytes), _RESIDENT: resident}
    elif by == "peak":
        for peak in plan.compute_phases:
            for tensor in peak.tensors:
                yield {"phase": peak.phase, **_cells(tensor, _COLUMNS["peak"][1:])}
    else:
        for record in {"buffer": plan.buffers, "layer": plan.layers, "tensor": plan.tensors}[by]:
            yield _cells(record, _COLUMNS[by])


def _totals_row(totals_bytes: dict[str, int]) -> Row:
    return {f"{kind}_bytes": size for kind, size in totals_bytes.items()}


def _cells(record: object, names: tuple[str, ...]) -> Row:
    return {name: getattr(record, name) for name in names}


def _fits(report: MemoryReport) -> Iterator[Row]:
    for fit in report.fits:
        found = {"file_type": fit.file_type, **_totals_row(fit.totals_bytes), **_cells(fit, _FIT)}
        yield {**_settings(fit.config), **found}

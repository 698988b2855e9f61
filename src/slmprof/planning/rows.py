"""The plans as rows of plain values, for DataFrames and CSV: the settings first, then the view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..profiles.vocabulary import MEMORY_KINDS
from ..settings.planning import GRID
from ..settings.resolved import ResolvedPlan
from .records import MemoryPlan, MemoryReport

SETTINGS = GRID
_TOTALS = tuple(f"{kind}_bytes" for kind in (*MEMORY_KINDS, "total"))
_COLUMNS: dict[str, tuple[str, ...]] = {
    "total": _TOTALS,
    "buffer": ("device", "buffer_type", "kind", "size_bytes"),
    "layer": ("layer", "weights_bytes", "kv_bytes", "recurrent_bytes", "n_swa"),
    "tensor": (
        "tensor",
        "type",
        "shape",
        "size_bytes",
        "bits_per_weight",
        "layer",
        "block",
        "kind",
        "device",
        "buffer_type",
        "n_swa",
    ),
    "peak": ("phase", "tensor", "op", "block", "layer", "type", "shape", "size_bytes"),
}
_FIT = (
    "size_bytes",
    "bits_per_weight",
    "is_limited_by_training",
    "asked_n_ctx",
    "asked_total_bytes",
)

Row = dict[str, Any]


def view_rows(report: MemoryReport, by: str) -> tuple[list[str], list[Row]]:
    """The columns' names, and one dict a row; `shape` is a list, None stands for nothing.

    Args:
        by: `total`, `buffer`, `layer`, `tensor` or `peak`. A report of what fits has one view.
    """
    if report.budget_bytes is not None:
        return [*SETTINGS, *_TOTALS, *_FIT], list(_fits(report))
    make: Callable[[MemoryPlan], Iterator[Row]] = {
        "total": _totals,
        "buffer": _buffers,
        "layer": _layers,
        "tensor": _tensors,
        "peak": _peak,
    }[by]
    rows = [{**_settings(plan.config), **row} for plan in report.settings for row in make(plan)]
    return [*SETTINGS, *_COLUMNS[by]], rows


def _settings(config: ResolvedPlan) -> Row:
    return {name: getattr(config, name) for name in SETTINGS}


def _totals(plan: MemoryPlan) -> Iterator[Row]:
    yield {f"{kind}_bytes": size for kind, size in plan.totals_bytes.items()}


def _buffers(plan: MemoryPlan) -> Iterator[Row]:
    for buffer in plan.buffers:
        yield {name: getattr(buffer, name) for name in _COLUMNS["buffer"]}


def _layers(plan: MemoryPlan) -> Iterator[Row]:
    for layer in plan.layers:
        yield {name: getattr(layer, name) for name in _COLUMNS["layer"]}


def _tensors(plan: MemoryPlan) -> Iterator[Row]:
    for tensor in plan.tensors:
        yield {
            name: list(tensor.shape) if name == "shape" else getattr(tensor, name)
            for name in _COLUMNS["tensor"]
        }


def _peak(plan: MemoryPlan) -> Iterator[Row]:
    for peak in plan.compute_phases:
        for tensor in peak.tensors:
            row = {name: getattr(tensor, name) for name in _COLUMNS["peak"][1:]}
            yield {"phase": peak.phase, **row, "shape": list(tensor.shape)}


def _fits(report: MemoryReport) -> Iterator[Row]:
    for fit in report.fits:
        totals = {f"{kind}_bytes": size for kind, size in fit.totals_bytes.items()}
        found = {name: getattr(fit, name) for name in _FIT}
        yield {**_settings(fit.config), "file_type": fit.file_type, **totals, **found}

"""Memory: predicted, allocated and resident, what the caches hold, and the process over time."""

from __future__ import annotations

from typing import Any

from ...analysis.memory.reconciliation import DIFFERENCE, HEAP, ORIGINALS
from ...analysis.memory.use import MemoryReport
from ...analysis.verdicts.breakdown import Breakdown
from .quantities import NONE, Glyphs, bytes_text, mebibytes, printable, shortened
from .records import records
from .section import Column, Section

_NAMES = {"kv_cache": "KV cache", "recurrent_state": "recurrent state"}
_SIZES = ("predicted", "allocated", "resident")
_TENSOR_WIDTH = 30


def memory_sections(breakdown: Breakdown, glyphs: Glyphs) -> list[Section]:
    """The reconciliation, the caches, and the process at fixed points."""
    report = breakdown.memory
    return [_reconciliation(report, glyphs), _caches(report, glyphs), _points(report)]


def _reconciliation(report: MemoryReport, glyphs: Glyphs) -> Section:
    found = report.reconciliation
    rows = records(found.rows)
    # An old profile knows of its buffers alone.
    shown = [name for name in _SIZES if any(row[f"{name}_bytes"] is not None for row in rows)]
    columns = (
        Column("memory, MiB"),
        Column("buffer"),
        Column("device", wide=True),
        *(Column(name, number=True) for name in shown),
    )
    cells = [
        (
            printable(row["term"], glyphs),
            printable(row["buffer_type"] or "", glyphs),
            printable(row["device"] or "", glyphs),
            *(_size(row, name) for name in shown),
        )
        for row in rows
    ]
    total = ("total", "", "", *(_total(rows, name) for name in shown))
    title = "Memory"
    if found.point is not None:
        title = f"Memory at its peak (point {found.point}, {found.n_past} tokens in the context)"
    notes = " ".join(_notes(report, {row["kind"] for row in rows}))
    return Section(
        printable(title, glyphs), columns, cells, total=total, notes=(notes,) if notes else ()
    )


def _notes(report: MemoryReport, kinds: set[str]) -> list[str]:
    found = report.reconciliation
    notes = []
    if ORIGINALS in set(found.rows["term"]):
        notes.append(
            "Weights that were copied out of a memory-mapped file exist twice: repacked, and as "
            "their originals."
        )
    elif report.repacked_bytes and found.point is None:
        notes.append(f"{bytes_text(report.repacked_bytes)} of weights are repacked copies.")
    if found.point is not None and "compute" in kinds:
        notes.append(
            "Compute buffers are reserved for the largest batch; a smaller one touches less of "
            "them."
        )
    if HEAP in kinds:
        notes.append(
            "The heap holds small objects; large ones, but for the buffers, are in the difference."
        )
    if found.peak_bytes is not None:
        notes.append(f"Peak resident memory of the process: {bytes_text(found.peak_bytes)}.")
    return notes


def _size(row: dict[str, Any], name: str) -> str:
    value = row[f"{name}_bytes"]
    if value is None:
        # Only buffers are predicted and allocated; what is resident of the others may be unknown.
        return NONE if row["buffer_type"] or name == "resident" else ""
    sign = "+" if row["kind"] == DIFFERENCE and value > 0 else ""
    return f"{sign}{mebibytes(value)}"


def _total(rows: list[dict[str, Any]], name: str) -> str:
    sizes = [row[f"{name}_bytes"] for row in rows]
    if name == "resident" and None in sizes:
        return NONE
    return mebibytes(sum(size for size in sizes if size is not None))


def _caches(report: MemoryReport, glyphs: Glyphs) -> Section:
    columns = (
        Column("cache"),
        Column("types"),
        Column("layers", number=True),
        Column("window", number=True),
        Column("cells", number=True),
        Column("in use", number=True),
        Column("reserved MiB", number=True),
        Column("used MiB", number=True),
    )
    rows = records(report.caches)
    cells = [
        (
            printable(_NAMES.get(row["kind"], row["kind"]), glyphs),
            printable(",".join(row["types"]), glyphs),
            str(row["n_layers"]),
            NONE if row["n_swa"] is None else str(row["n_swa"]),
            _cells(row),
            str(row["n_used"]),
            mebibytes(row["size_bytes"]),
            mebibytes(row["used_bytes"]),
        )
        for row in rows
    ]
    return Section(f"Caches with {report.n_past} tokens in the context", columns, cells)


def _cells(row: dict[str, Any]) -> str:
    streams = row["n_streams"]
    return f"{streams}x{row['n_cells']}" if streams > 1 else str(row["n_cells"])


def _points(report: MemoryReport) -> Section:
    columns = (
        Column("point"),
        Column("tokens", number=True),
        Column("RSS", number=True),
        Column("PSS", number=True),
        Column("anonymous", number=True),
        Column("files", number=True),
        Column("minor faults", number=True),
        Column("major", number=True),
    )
    cells = [
        (
            seen.point,
            str(seen.n_past),
            *(
                NONE if size is None else mebibytes(size)
                for size in (
                    seen.rss_bytes,
                    seen.pss_bytes,
                    seen.anonymous_bytes,
                    seen.file_bytes,
                )
            ),
            *(
                NONE if count is None else str(count)
                for count in (seen.minor_faults, seen.major_faults)
            ),
        )
        for seen in report.observations
    ]
    note = "MiB; faults since the process began. Prefill and decode are those of the warm-up."
    return Section("The process at fixed points", columns, cells, notes=(note,))


def place_section(breakdown: Breakdown, glyphs: Glyphs) -> Section:
    """Every tensor of weights and caches, where it lies."""
    columns = (
        Column("tensor"),
        Column("type"),
        Column("shape", wide=True),
        Column("bits", number=True, wide=True),
        Column("layer", number=True, wide=True),
        Column("kind", wide=True),
        Column("device", wide=True),
        Column("buffer"),
        Column("no.", number=True),
        Column("offset", number=True),
        Column("size", number=True),
        Column("in the file", number=True, wide=True),
    )
    uncut = breakdown.uncut["place"]
    rows = records(breakdown.tables["place"])
    cells = [
        (
            shortened(printable(row["tensor"], glyphs), _TENSOR_WIDTH, glyphs),
            printable(row["type"], glyphs),
            "x".join(map(str, row["shape"])),
            NONE if row["bits_per_weight"] is None else f"{row['bits_per_weight']:.4g}",
            _or_none(row["layer"]),
            printable(row["kind"], glyphs),
            printable(row["device"], glyphs),
            printable(row["buffer_type"], glyphs),
            _or_none(row["buffer"]),
            _or_none(row["offset_bytes"]),
            str(row["size_bytes"]),
            _or_none(row["file_offset_bytes"]),
        )
        for row in rows
    ]
    title = "Places of tensors, bytes"
    if len(cells) < len(uncut):
        title = f"{title} ({len(cells)} of {len(uncut)})"
    return Section(title, columns, cells)


def _or_none(value: int | None) -> str:
    return NONE if value is None else str(value)

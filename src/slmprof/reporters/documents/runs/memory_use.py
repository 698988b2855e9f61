"""Memory of a run: predicted, allocated and resident, what the caches hold, and over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....analysis.memory.reconciliation import DIFFERENCE, HEAP, ORIGINALS
from ....analysis.memory.use import MemoryReport
from ....analysis.verdicts.breakdown import Breakdown
from ....profiles.records.resident import ORIGINALS as ORIGINALS_LINE
from ....profiles.records.resident import Resident
from ....profiles.vocabulary import MEMORY_KINDS
from ..parts import Column, Note, Quantity, Row, Section, Table, notes
from ..quantities import bytes_text
from ..records import records
from .device_memory import device_memory_data, device_memory_section

_NAMES = {"kv_cache": "KV cache", "recurrent_state": "recurrent state"}
_SHORT = {"kv_cache": "KV cache", "recurrent_state": "state"}
_SIZES = ("predicted", "allocated", "resident")


def memory_data(breakdown: Breakdown) -> dict[str, Any]:
    """The part `memory` of a breakdown; `places` only where that view was asked for."""
    report = breakdown.memory
    found, expected = report.reconciliation, report.expected
    devices = {"devices": [device_memory_data(use) for use in report.devices]}
    places = {"places": records(breakdown.tables["place"])} if breakdown.by == "place" else {}
    return {
        "buffers": records(report.buffers),
        "totals_bytes": report.totals,
        "repacked_bytes": report.repacked_bytes,
        "rss_peak_bytes": report.rss_peak_bytes,
        # Of the same process: with the recorder, which the peak has as well.
        "resident_expected_bytes": expected.profiled_bytes if expected is not None else None,
        "resident_expected": [line.to_json() for line in expected.lines] if expected else [],
        "predicted": records(report.predicted),
        "reconciliation": {
            "point": found.point,
            "n_past": found.n_past,
            "peak_bytes": found.peak_bytes,
            "difference_bytes": found.difference_bytes,
            "terms": records(found.rows),
        },
        "observations": [seen.to_json() for seen in report.observations],
        "n_past": report.n_past,
        "caches": records(report.caches),
        **(devices if report.devices else {}),
        **places,
    }


def memory_totals(report: MemoryReport) -> Section:
    """Each kind of memory as predicted, allocated, expected to be resident and resident, and what
    the process peaked at."""
    rows = records(report.reconciliation.rows)
    buffers = [row for row in rows if row["buffer_type"]]
    for row in buffers:
        row["kind"] = row["kind"] if row["kind"] in MEMORY_KINDS else "other"
    kinds = [kind for kind in MEMORY_KINDS if any(row["kind"] == kind for row in buffers)]
    peak = report.reconciliation.peak_bytes
    cells: list[Row] = []
    for name in _SIZES:
        sizes = {
            kind: [row[f"{name}_bytes"] for row in buffers if row["kind"] == kind] for kind in kinds
        }
        sums = [None if None in own else sum(own) for own in sizes.values()]
        known = [size for size in sums if size is not None]
        if name == "resident" and report.expected is not None:
            cells.append(_expected(report.expected, kinds))
        if name == "resident" and peak is not None:
            rest = peak - sum(known) if len(known) == len(kinds) else None
            cells.append((f"{name}, peak", *sums, rest, peak))
        elif known:
            cells.append((name, *sums, "", sum(known)))
    columns = (
        Column("MiB"),
        *(Column(_SHORT.get(kind, kind), "mib") for kind in kinds),
        Column("process", "mib"),
        Column("total", "mib"),
    )
    return Section("Memory, MiB", (Table(columns, cells),))


def _expected(expected: Resident, kinds: Sequence[str]) -> Row:
    """What was expected to be resident, with all that is no buffer under the process."""
    sizes = [expected.of_kind("work" if kind == "other" else kind) for kind in kinds]
    if "weights" in kinds:
        sizes[kinds.index("weights")] += expected.of_kind(ORIGINALS_LINE)
    total = expected.profiled_bytes
    return ("resident, expected", *sizes, total - sum(sizes), total)


def memory_sections(breakdown: Breakdown) -> list[Section]:
    """The reconciliation, that of each GPU, the caches, and the process at fixed points."""
    report = breakdown.memory
    gpus = map(device_memory_section, report.devices)
    return [_reconciliation(report), *gpus, _caches(report), _points(report)]


def _reconciliation(report: MemoryReport) -> Section:
    found = report.reconciliation
    rows = records(found.rows)
    # An old profile knows of its buffers alone.
    shown = [name for name in _SIZES if any(row[f"{name}_bytes"] is not None for row in rows)]
    columns = (
        Column("memory, MiB"), Column("buffer"), Column("device", is_wide=True),
        *(Column(name, "mib") for name in shown),
    )  # fmt: skip
    cells = [
        (
            row["term"],
            row["buffer_type"] or "",
            row["device"] or "",
            *(_size(row, n) for n in shown),
        )
        for row in rows
    ]
    total = ("total", "", "", *(_total(rows, name) for name in shown))
    title = "Memory"
    if found.point is not None:
        title = f"Memory at its peak (point {found.point}, {found.n_past} tokens in the context)"
    said = _notes(report, {row["kind"] for row in rows})
    return Section(title, (Table(columns, cells, total if cells else None), *said))


def _notes(report: MemoryReport, kinds: set[str]) -> tuple[Note, ...]:
    found = report.reconciliation
    texts = []
    if ORIGINALS in set(found.rows["term"]):
        texts.append(
            "Repacked weights exist twice: as the repacked copy, and as its source in the "
            "memory-mapped file."
        )
    elif report.repacked_bytes and found.point is None:
        texts.append(f"{bytes_text(report.repacked_bytes)} of weights are repacked copies.")
    if found.point is not None and "compute" in kinds:
        texts.append(
            "Compute buffers are reserved for the largest batch; a smaller one touches less of "
            "them."
        )
    if HEAP in kinds:
        texts.append(
            "The heap is small allocations; large ones that are no buffers count as difference."
        )
    if found.peak_bytes is not None:
        texts.append(f"Peak resident memory of the process: {bytes_text(found.peak_bytes)}.")
    return notes(*texts)


def _size(row: dict[str, Any], name: str) -> Any:
    value = row[f"{name}_bytes"]
    if value is None:
        # Only buffers are predicted and allocated; what is resident of the others may be unknown.
        return None if row["buffer_type"] or name == "resident" else ""
    return Quantity(value, "mib_change") if row["kind"] == DIFFERENCE else value


def _total(rows: list[dict[str, Any]], name: str) -> int | None:
    sizes = [row[f"{name}_bytes"] for row in rows]
    if name == "resident" and None in sizes:
        return None
    return sum(int(size) for size in sizes if size is not None)


def _caches(report: MemoryReport) -> Section:
    columns = (
        Column("cache", key="kind"), Column("types"), Column("layers", "plain", "n_layers"),
        Column("window", "plain", "n_swa"), Column("cells", "plain", "n_cells"),
        Column("in use", "plain", "n_used"), Column("reserved MiB", "mib", "size_bytes"),
        Column("used MiB", "mib", "used_bytes"),
    )  # fmt: skip
    rows = records(report.caches)
    for row in rows:
        row["kind"] = _NAMES.get(row["kind"], row["kind"])
        row["types"] = ",".join(row["types"])
        if row["n_streams"] > 1:
            row["n_cells"] = f"{row['n_streams']}x{row['n_cells']}"
    title = f"Caches with {report.n_past} tokens in the context"
    return Section(title, (Table.of(columns, rows),))


def _points(report: MemoryReport) -> Section:
    columns = (
        Column("point"), Column("tokens", "plain", "n_past"), Column("RSS", "mib", "rss_bytes"),
        Column("PSS", "mib", "pss_bytes"), Column("anonymous", "mib", "anonymous_bytes"),
        Column("files", "mib", "file_bytes"), Column("minor faults", "plain", "minor_faults"),
        Column("major", "plain", "major_faults"),
    )  # fmt: skip
    table = Table.of(columns, report.observations)
    text = "MiB; faults since the process began. Prefill and decode are those of the warm-up."
    return Section("The process at fixed points", (table, *notes(text)))


def place_section(breakdown: Breakdown) -> Section:
    """Every tensor of weights and caches, where it lies."""
    columns = (
        Column("tensor", most=30), Column("type"), Column("shape", "shape", is_wide=True),
        Column("bits", "bits", "bits_per_weight", is_wide=True),
        Column("layer", "plain", is_wide=True), Column("kind", is_wide=True),
        Column("device", is_wide=True), Column("buffer", key="buffer_type"),
        Column("no.", "plain", "buffer"), Column("offset", "plain", "offset_bytes"),
        Column("size", "plain", "size_bytes"),
        Column("in the file", "plain", "file_offset_bytes", is_wide=True),
    )  # fmt: skip
    rows = records(breakdown.tables["place"])
    title = "Places of tensors, bytes"
    n_all = len(breakdown.uncut["place"])
    if len(rows) < n_all:
        title = f"{title} ({len(rows)} of {n_all})"
    return Section(title, (Table.of(columns, rows),))

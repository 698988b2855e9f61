"""One plan as tables: kinds, buffers, layers, and what the compute buffer holds at its peak."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ....planning.records import ComputePeak, LayerSize, MemoryPlan, TensorPlace
from ....profiles.records.resident import HEAP, ORIGINALS, PROCESS, RECORDER, Resident
from ....profiles.vocabulary import MEMORY_KINDS
from ....settings.devices import is_mapped, is_repacked
from ..parts import Column, Row, Section, Table, notes, ranges
from ..quantities import bytes_text

_NAME_WIDTH = 22
_TERMS = {
    ORIGINALS: "mmapped source of repacked weights",
    HEAP: "llama.cpp's heap",
    PROCESS: "process and libraries",
    RECORDER: "slmprof's recorder, when profiled",
}
_LAYERS_WIDTH = 24
_TITLES = {"recurrent_state": "state"}
_DEFAULT_TOP = 10
# More rows of layers than these say less than their kinds do.
_MOST_RANGES = 12


def plan_sections(
    plan: MemoryPlan, by: str | None, phase: str | None, top: int | None
) -> list[Section]:
    """The tables of one view; without `by`, of all that come after the kinds but the tensors."""
    found: list[Section] = []
    if by == "total":
        found.append(kinds(plan))
    if by in (None, "buffer"):
        found.append(_buffers(plan))
    if by in (None, "layer"):
        found.append(_layers(plan))
    if by == "tensor":
        found.append(_tensors(plan, top))
    if by in (None, "peak"):
        found += _peaks(plan, phase, top)
    return found


def kinds(plan: MemoryPlan) -> Section:
    """The totals of each kind, and what of it would be resident."""
    if plan.resident is not None:
        return _resident_kinds(plan, plan.resident)
    totals = plan.totals_bytes
    total = totals["total"]
    shown = [kind for kind in MEMORY_KINDS if totals[kind]]
    rows = [(kind, totals[kind], totals[kind] / total, totals[kind] / total) for kind in shown]
    columns = (Column("kind"), Column("size", "bytes"), Column("share", "share"), Column("", "bar"))
    return Section("Memory", (Table(columns, rows, ("total", total, "", "")),))


def _resident_kinds(plan: MemoryPlan, resident: Resident) -> Section:
    beside = {kind: resident.of_kind(kind) for kind in (HEAP, PROCESS)}
    reserved: dict[str, Any] = {**plan.totals_bytes, ORIGINALS: "", **beside}
    kinds = {kind: resident.of_kind("work" if kind == "other" else kind) for kind in reserved}
    kinds["total"] = resident.expected_bytes
    evictable = {"total": resident.evictable_bytes}
    for line in resident.lines:
        if line.is_evictable:
            evictable[line.kind] = evictable.get(line.kind, 0) + line.size_bytes
    rows: list[Row] = [
        (_TERMS.get(kind, kind), reserved[kind], size, evictable.get(kind) or "")
        for kind, size in kinds.items()
        if kind != "total" and (size or reserved[kind])
    ]
    total: Row = ("total", plan.reserved_bytes, kinds["total"], evictable["total"])
    if recorder := resident.of_kind(RECORDER):
        rows += [total, (_TERMS[RECORDER], recorder, recorder, "")]
        sums = (plan.reserved_bytes + recorder, resident.profiled_bytes)
        total = ("total when profiled", *sums, evictable["total"])
    columns = (
        Column("kind"), Column("reserved", "bytes"), Column("resident", "bytes"),
        Column("evictable", "bytes"),
    )  # fmt: skip
    below = notes(
        resident_text(plan),
        "evictable: the system can drop it, and read it from the file again.",
    )
    return Section("Memory", (Table(columns, rows, total), *below))


def devices(plan: MemoryPlan) -> Section:
    """What each device holds; empty for one device."""
    names = list(dict.fromkeys(buffer.device for buffer in plan.buffers))
    totals = plan.totals_bytes
    shown = [kind for kind in MEMORY_KINDS if totals[kind]]
    sizes = {name: dict.fromkeys(shown, 0) for name in names}
    for buffer in plan.buffers:
        sizes[buffer.device][buffer.kind if buffer.kind in shown else "other"] += buffer.size_bytes
    rows: list[Row] = [
        (name, *(of_kind[kind] or None for kind in shown), sum(of_kind.values()))
        for name, of_kind in sizes.items()
    ]
    columns = [Column("MiB on device"), *(Column(_TITLES.get(kind, kind), "mib") for kind in shown)]
    table = Table((*columns, Column("total", "mib")), rows if len(names) > 1 else [])
    return Section("Devices", (table,))


def resident_text(plan: MemoryPlan) -> str:
    """What the resident sizes of a plan stand for."""
    n_prompt = plan.resident.n_prompt if plan.resident is not None else 0
    return (
        f"resident: expected of a process that runs a prompt of {n_prompt} tokens with one output, "
        "and generates until the context is full."
    )


def _buffers(plan: MemoryPlan) -> Section:
    columns = (
        Column("kind"), Column("buffer", key="buffer_type"), Column("device"),
        Column("size", "bytes", "size_bytes"), Column("bytes", "plain", "size_bytes"),
    )  # fmt: skip
    table = Table.of(columns, plan.buffers)
    repacked = _repacked_bytes(plan)
    text = (
        f"{bytes_text(repacked)} of weights are repacked copies; a memory-mapped file holds "
        "them a second time."
    )
    return Section("Buffers", (table, *notes(text if repacked else "")))


def _repacked_bytes(plan: MemoryPlan) -> int:
    """Bytes of repacked weights that a memory-mapped file holds as well."""
    weights = {row.buffer_type: row.size_bytes for row in plan.buffers if row.kind == "weights"}
    repacked = sum(size for name, size in weights.items() if is_repacked(name))
    return repacked if any(map(is_mapped, weights)) else 0


def _layers(plan: MemoryPlan) -> Section:
    """Neighbours that take the same stand in one row; where that gives many, all that do."""

    def sizes(row: LayerSize) -> tuple[int, ...]:
        return (row.weights_bytes, row.kv_bytes, row.recurrent_bytes)

    def key(row: LayerSize) -> tuple[Any, ...]:
        return (row.layer is None, row.n_swa, *sizes(row))

    groups = [list(group) for _, group in groupby(plan.layers, key)]
    if len(groups) > _MOST_RANGES:
        alike: dict[tuple[Any, ...], list[LayerSize]] = {}
        for row in plan.layers:
            alike.setdefault(key(row), []).append(row)
        groups = list(alike.values())
    names = ("weights", "kv_cache", "recurrent")
    used = [i for i in range(len(names)) if any(sizes(row)[i] for row in plan.layers)]
    has_windows = any(row.n_swa for row in plan.layers)
    rows: list[Row] = []
    for group in groups:
        each = sizes(group[0])
        window = [group[0].n_swa or None] if has_windows else []
        cells = (_numbers(group), len(group), *window, *(each[i] or None for i in used))
        rows.append((*cells, len(group) * sum(each)))
    columns = (
        Column("layers", most=_LAYERS_WIDTH),
        Column("n", "plain"),
        *([Column("window", "plain")] if has_windows else []),
        *(Column(names[i], "bytes") for i in used),
        Column("together", "bytes"),
    )
    is_grouped = any(len(group) > 1 for group in groups)
    below = notes(
        "Bytes of each of the n layers, and of all of them together." if is_grouped else "",
        "window: tokens that a sliding-window layer attends to." if has_windows else "",
        "Repacked weights count once here." if _repacked_bytes(plan) else "",
    )
    return Section("Layers", (Table(columns, rows), *below))


def _numbers(rows: Sequence[LayerSize]) -> str:
    """Numbers of layers, in ranges: `0-3,7,9-12`."""
    numbers = [row.layer for row in rows if row.layer is not None]
    if len(numbers) < len(rows):
        return "outside"
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges(numbers))


def _tensors(plan: MemoryPlan, top: int | None) -> Section:
    """All in the file's order, or the `top` largest."""
    tensors: Sequence[TensorPlace] = plan.tensors
    count = str(len(tensors))
    if top is not None and top < len(tensors):
        tensors = sorted(tensors, key=lambda tensor: -tensor.size_bytes)[:top]
        count = f"{len(tensors)} of {count}"
    columns = (
        Column("tensor", most=26), Column("type"), Column("shape", "shape"),
        Column("bits", "bits", "bits_per_weight"), Column("size", "bytes", "size_bytes"),
        Column("buffer", key="buffer_type"), Column("block", is_wide=True),
    )  # fmt: skip
    return Section(f"Tensors ({count})", (Table.of(columns, tensors),))


def _peaks(plan: MemoryPlan, phase: str | None, top: int | None) -> list[Section]:
    peaks = [peak for peak in plan.compute_phases if phase in (None, peak.phase)]
    if not peaks:
        return []
    columns = (
        Column("phase"), Column("tokens", "plain", "n_tokens"),
        Column("size", "bytes", "size_bytes"), Column("live", "bytes", "live_bytes"),
        Column("fragmentation", "bytes", "hole_bytes"),
        Column("lower bound", "bytes", "lower_bound_bytes"),
    )  # fmt: skip
    text = (
        "live: tensors in the buffer at its peak; fragmentation: the unused rest. Lower bound: the "
        "most that is live at once, which no allocator could go below."
    )
    found = [Section("Compute buffer", (Table.of(columns, peaks), *notes(text)))]
    found += [_live(peak, top or _DEFAULT_TOP) for peak in peaks]
    if len(plan.ubatch) > 1:
        found.append(_ubatches(plan))
    return found


def _ubatches(plan: MemoryPlan) -> Section:
    columns = (Column("n_ubatch", "plain"), Column("compute", "bytes"), Column(""))
    used = plan.config.n_ubatch
    rows = [
        (row.n_ubatch, row.compute_bytes, "used" if row.n_ubatch == used else "")
        for row in plan.ubatch
    ]
    return Section("Compute buffer by n_ubatch", (Table(columns, rows),))


def _live(peak: ComputePeak, top: int) -> Section:
    columns = (
        Column("tensor", most=_NAME_WIDTH), Column("op"), Column("block"),
        Column("shape", "shape"), Column("size", "bytes", "size_bytes"), Column("share", "share"),
    )  # fmt: skip
    rows = [tensor.to_json() for tensor in peak.tensors[:top]]
    for row in rows:
        row["op"] = "input" if row["op"] == "NONE" else row["op"]
        row["share"] = row["size_bytes"] / peak.size_bytes if peak.size_bytes else None
    title = f"Live at the peak of {peak.phase} ({len(rows)} of {len(peak.tensors)})"
    return Section(title, (Table.of(columns, rows),))

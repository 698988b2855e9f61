"""One plan as tables: kinds, buffers, layers, and what the compute buffer holds at its peak."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ...planning.records import ComputePeak, LayerSize, MemoryPlan, MemoryReport, TensorPlace
from ...profiles.vocabulary import MEMORY_KINDS
from .quantities import NONE, Glyphs, bytes_text, count_text, percent, printable, shortened
from .section import Column, Section

Document = tuple[list[str], list[Section], list[str]]

_BAR_WIDTH = 30
_NAME_WIDTH = 22
_LAYERS_WIDTH = 24
_DEFAULT_TOP = 10
# More rows of layers than these say less than their kinds do.
_MOST_RANGES = 12
_SHOWN_SETTINGS = (
    "n_ctx", "n_batch", "n_ubatch", "n_seq_max", "flash_attn", "type_k", "type_v", "mmap", "repack",
    "threads",
)  # fmt: skip
# Shown only where they are not what llama.cpp does by itself.
_RARE_SETTINGS = ("n_outputs_max", "swa_full", "override_tensor")


def plan_document(
    report: MemoryReport, glyphs: Glyphs, by: str | None, phase: str | None, top: int | None
) -> Document:
    """Header, sections and notes of a report with one setting."""
    plan = report.settings[0]
    lines = [*model_lines(report, glyphs), settings_line(plan, glyphs)]
    return lines, plan_sections(plan, glyphs, by, phase, top), note_lines(report, glyphs)


def model_lines(report: MemoryReport, glyphs: Glyphs) -> list[str]:
    """What the model is; its type and size only where it is planned in one type."""
    model = report.model
    bits = model["bits_per_weight"]
    of_type = [
        model["file_type"],
        bytes_text(model["size_bytes"]),
        f"{bits:.2f} bits per weight" if bits is not None else None,
    ]
    facts = [
        model["name"] or model["path"],
        model["architecture"],
        f"{count_text(model['n_params'])} parameters",
        *([] if "file_type" in report.varying else of_type),
        f"trained for {model['n_ctx_train']} tokens" if model["n_ctx_train"] else None,
    ]
    return [printable(glyphs.dot.join(str(fact) for fact in facts if fact), glyphs)]


def settings_line(plan: MemoryPlan, glyphs: Glyphs) -> str:
    """The settings of a plan."""
    return shared_settings_line([plan], (), glyphs)


def shared_settings_line(
    plans: Sequence[MemoryPlan], varying: Sequence[str], glyphs: Glyphs
) -> str:
    """The settings that are the same in all plans, but for those that were asked to vary."""
    config = plans[0].config if plans else {}
    names = [
        name
        for name in (*_SHOWN_SETTINGS, *_RARE_SETTINGS)
        if name in config and (config[name] or name not in _RARE_SETTINGS)
    ]
    # llama.cpp limits the batches to the context: they may differ, too.
    facts = [
        f"{name} {setting_text(config[name])}"
        for name in names
        if name not in varying and all(plan.config[name] == config[name] for plan in plans)
    ]
    return printable(glyphs.dot.join(facts), glyphs)


def setting_text(value: Any) -> str:
    """A setting's value as people write it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return NONE if value is None else str(value)


def note_lines(report: MemoryReport, glyphs: Glyphs) -> list[str]:
    """The notes of all plans, each once."""
    notes = dict.fromkeys(note for plan in report.settings for note in plan.notes)
    return [printable(f"note: {note}", glyphs) for note in notes]


def plan_sections(
    plan: MemoryPlan, glyphs: Glyphs, by: str | None, phase: str | None, top: int | None
) -> list[Section]:
    """The tables of one plan; with `by`, those of one view."""
    found: list[Section] = []
    if by in (None, "total"):
        found.append(_kinds(plan, glyphs))
    if by in (None, "buffer"):
        found.append(_buffers(plan, glyphs))
    if by in (None, "layer"):
        found.append(_layers(plan, glyphs))
    if by == "tensor":
        found.append(_tensors(plan, glyphs, top))
    if by in (None, "peak"):
        found += _peaks(plan, glyphs, phase, top)
    return found


def _kinds(plan: MemoryPlan, glyphs: Glyphs) -> Section:
    totals = plan.totals_bytes
    total = totals["total"]
    rows = []
    for kind in MEMORY_KINDS:
        if totals[kind]:
            share = totals[kind] / total
            bar = glyphs.bar * round(share * _BAR_WIDTH)
            rows.append((kind, bytes_text(totals[kind]), percent(share), bar))
    columns = (
        Column("kind"),
        Column("size", number=True),
        Column("share", number=True),
        Column(""),
    )
    return Section("Memory", columns, rows, total=("total", bytes_text(total), "", ""))


def _buffers(plan: MemoryPlan, glyphs: Glyphs) -> Section:
    columns = (
        Column("kind"),
        Column("buffer"),
        Column("device"),
        Column("size", number=True),
        Column("bytes", number=True),
    )
    rows = [
        (
            printable(row.kind, glyphs),
            printable(row.buffer_type, glyphs),
            printable(row.device, glyphs),
            bytes_text(row.size_bytes),
            str(row.size_bytes),
        )
        for row in plan.buffers
    ]
    notes: tuple[str, ...] = ()
    repacked = _repacked_bytes(plan)
    if repacked:
        notes = (
            f"{bytes_text(repacked)} of weights are repacked copies; a memory-mapped file holds "
            "them a second time.",
        )
    return Section("Buffers", columns, rows, notes=notes)


def _repacked_bytes(plan: MemoryPlan) -> int:
    """Bytes of repacked weights that a memory-mapped file holds as well."""
    weights = {row.buffer_type: row.size_bytes for row in plan.buffers if row.kind == "weights"}
    repacked = sum(size for name, size in weights.items() if "REPACK" in name)
    return repacked if any("Mapped" in name for name in weights) else 0


def _layers(plan: MemoryPlan, glyphs: Glyphs) -> Section:
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
    kinds = ("weights", "kv_cache", "recurrent")
    used = [i for i in range(len(kinds)) if any(sizes(row)[i] for row in plan.layers)]
    has_windows = any(row.n_swa for row in plan.layers)
    rows = []
    for group in groups:
        each = [bytes_text(sizes(group[0])[i]) if sizes(group[0])[i] else NONE for i in used]
        name = shortened(_numbers(group), _LAYERS_WIDTH, glyphs)
        window = [str(group[0].n_swa or NONE)] if has_windows else []
        together = bytes_text(len(group) * sum(sizes(group[0])))
        rows.append((name, str(len(group)), *window, *each, together))
    columns = (
        Column("layers"),
        Column("n", number=True),
        *([Column("window", number=True)] if has_windows else []),
        *(Column(kinds[i], number=True) for i in used),
        Column("together", number=True),
    )
    notes = []
    if any(len(group) > 1 for group in groups):
        notes.append("Bytes of each of the n layers, and of all of them together.")
    if has_windows:
        notes.append("window: tokens that a layer with a sliding window looks back on.")
    if _repacked_bytes(plan):
        notes.append("Repacked weights count once here.")
    return Section("Layers", columns, rows, notes=(" ".join(notes),) if notes else ())


def _numbers(rows: Sequence[LayerSize]) -> str:
    """Numbers of layers, in ranges: `0-3,7,9-12`."""
    ranges: list[list[int]] = []
    for row in rows:
        if row.layer is None:
            return "outside"
        if ranges and ranges[-1][-1] == row.layer - 1:
            ranges[-1].append(row.layer)
        else:
            ranges.append([row.layer])
    return ",".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in ranges)


def _tensors(plan: MemoryPlan, glyphs: Glyphs, top: int | None) -> Section:
    """All in the file's order, or the `top` largest."""
    tensors: Sequence[TensorPlace] = plan.tensors
    count = str(len(tensors))
    if top is not None and top < len(tensors):
        tensors = sorted(tensors, key=lambda tensor: -tensor.size_bytes)[:top]
        count = f"{len(tensors)} of {count}"
    columns = (
        Column("tensor"),
        Column("type"),
        Column("shape"),
        Column("bits", number=True),
        Column("size", number=True),
        Column("buffer"),
        Column("block", wide=True),
    )
    rows = [
        (
            shortened(printable(row.tensor, glyphs), 26, glyphs),
            printable(row.type, glyphs),
            _shape(row.shape),
            NONE if row.bits_per_weight is None else f"{row.bits_per_weight:.2f}",
            bytes_text(row.size_bytes),
            printable(row.buffer_type, glyphs),
            row.block,
        )
        for row in tensors
    ]
    return Section(f"Tensors ({count})", columns, rows)


def _peaks(plan: MemoryPlan, glyphs: Glyphs, phase: str | None, top: int | None) -> list[Section]:
    peaks = [peak for peak in plan.compute_phases if phase in (None, peak.phase)]
    if not peaks:
        return []
    columns = (
        Column("phase"),
        Column("tokens", number=True),
        Column("size", number=True),
        Column("alive", number=True),
        Column("holes", number=True),
        Column("lower bound", number=True),
    )
    rows = [
        (
            peak.phase,
            str(peak.n_tokens),
            bytes_text(peak.size_bytes),
            bytes_text(peak.live_bytes),
            bytes_text(peak.hole_bytes),
            bytes_text(peak.lower_bound_bytes),
        )
        for peak in peaks
    ]
    note = (
        "alive: tensors there at the peak; holes: what lies between them. Lower bound: the most "
        "that is needed at once, which no allocator could go below."
    )
    found = [Section("Compute buffer", columns, rows, notes=(note,))]
    found += [_alive(peak, glyphs, top or _DEFAULT_TOP) for peak in peaks]
    if len(plan.ubatch) > 1:
        found.append(_ubatches(plan))
    return found


def _ubatches(plan: MemoryPlan) -> Section:
    columns = (Column("n_ubatch", number=True), Column("compute", number=True), Column(""))
    rows = [
        (
            str(row.n_ubatch),
            bytes_text(row.compute_bytes),
            "used" if row.n_ubatch == plan.config["n_ubatch"] else "",
        )
        for row in plan.ubatch
    ]
    return Section("Compute buffer by n_ubatch", columns, rows)


def _alive(peak: ComputePeak, glyphs: Glyphs, top: int) -> Section:
    columns = (
        Column("tensor"),
        Column("op"),
        Column("block"),
        Column("shape"),
        Column("size", number=True),
        Column("share", number=True),
    )
    shown = peak.tensors[:top]
    rows = [
        (
            shortened(printable(row.tensor, glyphs), _NAME_WIDTH, glyphs),
            "input" if row.op == "NONE" else printable(row.op, glyphs),
            row.block,
            _shape(row.shape),
            bytes_text(row.size_bytes),
            percent(row.size_bytes / peak.size_bytes if peak.size_bytes else None),
        )
        for row in shown
    ]
    count = f"{len(shown)} of {len(peak.tensors)}"
    title = f"Alive at the peak of {peak.phase} ({count})"
    return Section(title, columns, rows)


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))

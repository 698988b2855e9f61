"""The report of planned memory: one setting, many side by side, or what fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ....planning.records import MemoryPlan, MemoryReport
from ....planning.rows import refused_rows, view_rows
from ....profiles.records.resident import Resident
from ....profiles.vocabulary import MEMORY_KINDS
from ....settings.planning import RESIDENT, AskedPlan
from ....settings.table import captions, setting_text
from ..fallbacks import fallback_text
from ..parts import (
    Caveat,
    Column,
    Document,
    Finding,
    Headline,
    Note,
    Part,
    Rows,
    Section,
    Table,
    said,
)
from ..quantities import bytes_text, count_text, mebibytes, whole_percent
from .plan_fit import fit_parts
from .plan_tables import devices, kinds, plan_sections, resident_text

SCHEMA_VERSION = 1
_TITLES = {"recurrent_state": "state"}
# Columns of a terminal, and how wide a setting may be on it.
_WIDTH, _LABEL_WIDTH = 80, 12
_MOST_FALLBACKS = 3


def plan_document(
    report: MemoryReport,
    *,
    by: str | None = None,
    phase: str | None = None,
    top: int | None = None,
    is_full: bool = False,
) -> Document:
    """The report of what a model takes.

    Args:
        by: one view only: `total`, `buffer`, `layer`, `tensor` or `peak`.
        phase: of the peaks, `prefill` or `decode` only.
        top: rows of tensors in tables: the largest; None for 10 at a peak, and all by tensor.
        is_full: whether people are shown every table of a single setting but the tensors, not the
            totals alone.
    """

    def parts() -> list[Part]:
        if report.budget_bytes is not None:
            return fit_parts(report, _head(report))
        if len(report.settings) == 1 and not report.refusals:
            return _single(report, by, phase, top, is_full)
        return _grid(report, by, phase, top)

    return Document(parts, lambda: _data(report, by, phase), lambda: _rows(report, by, phase))


def _data(report: MemoryReport, by: str | None, phase: str | None) -> dict[str, Any]:
    """The report as plain values: the whole one, or one view of each setting."""
    result: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "model": report.model.to_json(),
        "memory_bytes": report.memory_bytes,
        "varying": list(report.varying),
        "settings": [_plan(plan, by, phase) for plan in report.settings],
        "refusals": [refusal.to_json() for refusal in report.refusals],
        "planner": report.planner.to_json(),
    }
    if report.budget_bytes is not None:
        result["fit"] = {
            "budget_bytes": report.budget_bytes,
            "lightest": report.lightest,
            "least_compressed": report.least_compressed,
            "found": [fit.to_json() for fit in report.fits],
            "fit_for": report.fit_for,
            "change": None if report.change is None else report.change.to_json(),
        }
    return result


def _plan(plan: MemoryPlan, by: str | None, phase: str | None) -> dict[str, Any]:
    peaks = [peak for peak in plan.compute_phases if phase in (None, peak.phase)]
    largest = max(peaks, key=lambda peak: peak.size_bytes, default=None)
    views: dict[str, dict[str, Any]] = {
        "buffer": {"buffers": [buffer.to_json() for buffer in plan.buffers]},
        "total": {"totals_bytes": plan.totals_bytes, **_resident(plan.resident)},
        "layer": {"layers": [layer.to_json() for layer in plan.layers]},
        "tensor": {"tensors": [tensor.to_json() for tensor in plan.tensors]},
        "peak": {
            "compute_peak": None if largest is None else largest.to_json(),
            "compute_phases": [peak.to_json() for peak in peaks],
            "ubatch": [row.to_json() for row in plan.ubatch],
        },
    }
    shown = views if by is None else {by: views[by]}
    merged = {key: value for view in shown.values() for key, value in view.items()}
    return {"config": plan.config.to_json(), **merged, "notes": list(plan.notes)}


def _resident(resident: Resident | None) -> dict[str, Any]:
    if resident is None:
        return {"resident_expected_bytes": None, "resident": None}
    sums = ("expected_bytes", "needed_bytes", "evictable_bytes", "profiled_bytes")
    told = {name: getattr(resident, name) for name in sums}
    return {
        "resident_expected_bytes": resident.expected_bytes,
        "resident": {**told, **resident.to_json()},
    }


def _rows(report: MemoryReport, by: str | None, phase: str | None) -> Rows:
    """The view that was asked for, or the buffers, after the model's name and the settings.

    Where a setting was refused, it is a row as well, with the reason in a column `error`.
    """
    names, rows = view_rows(report, by or "buffer")
    shown = [row for row in rows if phase is None or row.get("phase", phase) == phase]
    if report.refusals:
        names, shown = [*names, "error"], [*shown, *refused_rows(report)]
    return Rows(["model", *names], ({"model": report.model.name, **row} for row in shown))


def _single(
    report: MemoryReport, by: str | None, phase: str | None, top: int | None, is_full: bool
) -> list[Part]:
    plan = report.settings[0]
    made: list[Part] = [*_head(report, _shared_settings([plan], ()))]
    if by is not None:
        made += said(plan_sections(plan, by, phase, top))
    else:
        totals = kinds(plan)
        made.append(replace(totals, parts=(*totals.parts, *_on_this_machine(report))))
        made += said([devices(plan)])
    made += _notes(report)
    if is_full and by is None:
        made += said(plan_sections(plan, None, phase, top))
    elif by is None:
        made.append(Note("--full shows all tables, --by buffer|layer|tensor|peak one view."))
    return made


def _on_this_machine(report: MemoryReport) -> list[Finding]:
    """Whether the largest of the settings fits into the machine's memory, as far as it is used."""
    total = max(plan.held_bytes(RESIDENT) for plan in report.settings)
    if report.memory_bytes <= 0:
        return []
    verb = "fits into" if total <= report.memory_bytes else "does not fit into"
    which = "It" if len(report.settings) == 1 else "The largest"
    share = whole_percent(total / report.memory_bytes)
    size = bytes_text(report.memory_bytes)
    return [Finding(f"{which} {verb} this machine's memory: {share} of {size}.")]


def _grid(report: MemoryReport, by: str | None, phase: str | None, top: int | None) -> list[Part]:
    """One row a setting; with `by`, a view of each."""
    made: list[Part] = [*_head(report, _shared_settings(report.settings, report.varying))]
    if by in (None, "total"):
        made.append(_settings_table(report))
    else:
        for plan in report.settings:
            label = plan.config.point(report.varying)
            made += [
                replace(section, title=f"{section.title}: {label}")
                for section in said(plan_sections(plan, by, phase, top))
            ]
    if report.refusals:
        refused = (Finding(one.told(report.varying)) for one in report.refusals)
        died = ", or fatal to it" if any(one.died for one in report.refusals) else ""
        made.append(Section(f"Refused by llama.cpp{died}", tuple(refused)))
    return made + _notes(report)


def _head(report: MemoryReport, settings: Sequence[str] = ()) -> list[Part]:
    """What the model is, and the types that it asked for and did not get."""
    models = report.models or (report.model,)
    fallbacks = [model.fallbacks for model in models if model.fallbacks is not None]
    made = [Caveat(fallback_text(found)) for found in fallbacks[:_MOST_FALLBACKS]]
    if rest := len(fallbacks) - len(made):
        made.append(Caveat(f"and {rest} more file types fell back likewise", "note"))
    return [_headline(report, settings), *made]


def _headline(report: MemoryReport, settings: Sequence[str] = ()) -> Headline:
    """What the model is; its type and size only where it is planned in one type."""
    model = report.model
    bits = model.bits_per_weight
    of_type = [
        model.file_type,
        bytes_text(model.size_bytes),
        f"{bits:.2f} bits per weight" if bits is not None else None,
    ]
    facts = [
        model.name or model.path,
        model.architecture,
        f"{count_text(model.n_params)} parameters",
        *([] if "file_type" in report.varying else of_type),
        f"trained for {model.n_ctx_train} tokens" if model.n_ctx_train else None,
    ]
    about = tuple(str(fact) for fact in facts if fact)
    return Headline((about, tuple(settings)) if settings else (about,))


def _shared_settings(plans: Sequence[MemoryPlan], varying: Sequence[str]) -> list[str]:
    """The settings that are the same in all plans, but for those that were asked to vary."""
    config = vars(plans[0].config) if plans else {}
    # llama.cpp limits the batches to the context: they may differ, too.
    return [
        f"{name} {setting_text(value)}"
        for name, value in captions(AskedPlan, config).items()
        if name not in varying and all(getattr(plan.config, name) == value for plan in plans)
    ]


def _notes(report: MemoryReport) -> list[Part]:
    """The notes of all plans, each once."""
    found = dict.fromkeys(note for plan in report.settings for note in plan.notes)
    return [Caveat(note, "note") for note in found]


def _settings_table(report: MemoryReport) -> Section:
    plans = report.settings
    shown = [kind for kind in MEMORY_KINDS if any(plan.totals_bytes[kind] for plan in plans)]
    names = report.varying
    labels = {name: [setting_text(getattr(plan.config, name)) for plan in plans] for name in names}
    sizes = {
        _TITLES.get(kind, kind): [plan.totals_bytes[kind] for plan in plans]
        for kind in (*shown, "total")
    }
    if all(plan.resident is not None for plan in plans):
        sizes["resident"] = [plan.resident.expected_bytes for plan in plans if plan.resident]
    texts = ["Sizes in MiB."]
    # What is the same in all rows, or hardly counts, makes room for the settings.
    sums = ("total", "resident")
    same = [title for title in sizes if title not in sums and len(set(sizes[title])) == 1]
    for title in dict.fromkeys(["output", *same, "other"]):
        if title in sizes and _wide(labels, sizes) > _WIDTH:
            known = f"In all rows: {title} {bytes_text(sizes[title][0])}."
            texts.append(known if title in same else f"The total has {title} as well.")
            del sizes[title]
    if _wide(labels, sizes) > _WIDTH:
        # So many settings stand below the table.
        texts += [f"{i + 1}: {plan.config.point(names)}." for i, plan in enumerate(plans)]
        labels = {"#": [str(i + 1) for i in range(len(plans))]}
    columns = [
        *(
            Column(name, "plain" if name[:2] == "n_" else "text", most=_LABEL_WIDTH)
            for name in labels
        ),
        *(Column(title, "mib") for title in sizes),
    ]
    rows = list(zip(*labels.values(), *sizes.values(), strict=True))
    if "resident" in sizes:
        texts.append(resident_text(plans[0]))
    below = [Note(text) for text in texts]
    table = Table(tuple(columns), rows)
    return Section("Memory by setting", (table, *below, *_on_this_machine(report)))


def _wide(labels: dict[str, list[str]], sizes: dict[str, list[int]]) -> int:
    """Columns of a terminal that the table takes."""
    texts = {title: [mebibytes(size) for size in own] for title, own in sizes.items()}
    cut = {name: [text[:_LABEL_WIDTH] for text in own] for name, own in labels.items()}
    return sum(max(map(len, [name, *own])) + 2 for name, own in {**cut, **texts}.items()) - 2

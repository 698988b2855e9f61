"""Many plans side by side: one row a setting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...planning.records import MemoryReport
from ...profiles.vocabulary import MEMORY_KINDS
from .memory_sections import (
    Document,
    model_lines,
    note_lines,
    plan_sections,
    setting_text,
    shared_settings_line,
)
from .quantities import Glyphs, bytes_text, mebibytes, printable, shortened
from .section import Column, Section

# Columns of a terminal, and how wide the settings may be on it.
_WIDTH = 80
_LABEL_WIDTH = 12
_TITLES = {"recurrent_state": "state"}


def grid_document(
    report: MemoryReport, glyphs: Glyphs, by: str | None, phase: str | None, top: int | None
) -> Document:
    """Header, tables and notes of a report with several settings; with `by`, a view of each."""
    header = [*model_lines(report, glyphs)]
    fixed = shared_settings_line(report.settings, report.varying, glyphs)
    if fixed:
        header.append(fixed)
    names = report.varying
    if by in (None, "total"):
        sections = [_table(report, glyphs)]
    else:
        sections = []
        for plan in report.settings:
            label = ", ".join(f"{name} {setting_text(plan.config[name])}" for name in names)
            sections += [
                replace(section, title=printable(f"{section.title}: {label}", glyphs))
                for section in plan_sections(plan, glyphs, by, phase, top)
            ]
    if report.refusals:
        sections.append(_refused(report, glyphs))
    return header, sections, note_lines(report, glyphs)


def label(config: dict[str, Any], name: str, glyphs: Glyphs) -> str:
    """A setting's value as a short cell."""
    return shortened(printable(setting_text(config.get(name)), glyphs), _LABEL_WIDTH, glyphs)


def _table(report: MemoryReport, glyphs: Glyphs) -> Section:
    plans = report.settings
    kinds = [kind for kind in MEMORY_KINDS if any(plan.totals_bytes[kind] for plan in plans)]
    names = report.varying
    labels = {name: [label(plan.config, name, glyphs) for plan in plans] for name in names}
    sizes = {
        _TITLES.get(kind, kind): [mebibytes(plan.totals_bytes[kind]) for plan in plans]
        for kind in (*kinds, "total")
    }
    kind_of = {_TITLES.get(kind, kind): kind for kind in kinds}
    notes = ["Sizes in MiB."]
    columns = {**labels, **sizes}
    # What is the same in all rows, or hardly counts, makes room for the settings.
    same = [title for title in sizes if title != "total" and len(set(sizes[title])) == 1]
    for title in dict.fromkeys(["output", *same, "other"]):
        if title in columns and _wide(columns) > _WIDTH:
            if title in same:
                size = plans[0].totals_bytes[kind_of[title]]
                notes.append(f"In all rows: {title} {bytes_text(size)}.")
            else:
                notes.append(f"The total has {title} as well.")
            del columns[title], sizes[title]
    if _wide(columns) > _WIDTH:
        # So many settings stand below the table.
        columns = {"#": [str(i + 1) for i in range(len(plans))], **sizes}
        for i, plan in enumerate(plans):
            values = (f"{name} {label(plan.config, name, glyphs)}" for name in names)
            notes.append(f"{i + 1}: {', '.join(values)}")
    return Section(
        "Memory by setting",
        tuple(Column(title, number=title in sizes or title[:2] == "n_") for title in columns),
        list(zip(*columns.values(), strict=True)),
        notes=tuple(notes),
    )


def _wide(columns: dict[str, list[str]]) -> int:
    return sum(max(map(len, [title, *cells])) + 2 for title, cells in columns.items()) - 2


def _refused(report: MemoryReport, glyphs: Glyphs) -> Section:
    names = report.varying
    prose = []
    for refusal in report.refusals:
        values = [f"{n} {setting_text(refusal.config.get(n))}" for n in names]
        prose.append(printable(f"{', '.join(values)}: {refusal.message}", glyphs))
    return Section("Refused by llama.cpp", (), [], prose=tuple(prose))

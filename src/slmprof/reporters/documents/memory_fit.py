"""What fits into a given amount of memory: the largest context, by setting and file type."""

from __future__ import annotations

from collections.abc import Sequence

from ...planning.records import Fit, MemoryReport
from .memory_grid import label
from .memory_sections import Document, model_lines
from .quantities import NONE, Glyphs, bytes_text, mebibytes, printable
from .section import Column, Section


def fit_document(report: MemoryReport, glyphs: Glyphs) -> Document:
    """Header, one table and sentences."""
    lines = [
        printable(
            f"note: {refusal.config.get('file_type') or 'refused'}: {refusal.message}", glyphs
        )
        for refusal in report.refusals
    ]
    return model_lines(report, glyphs), [_table(report, glyphs)], lines


def _table(report: MemoryReport, glyphs: Glyphs) -> Section:
    budget = report.budget_bytes or 0
    fits = report.fits
    names = [name for name in report.varying if name not in ("n_ctx", "file_type")]
    asked = next((fit.asked_n_ctx for fit in fits if fit.asked_n_ctx is not None), None)
    columns = [
        Column("type"),
        *(Column(name) for name in names),
        Column("model", number=True),
        Column("bits", number=True),
        Column("n_ctx", number=True),
        Column("kv_cache", number=True),
        Column("compute", number=True),
        Column("total", number=True),
        *([Column(f"at {asked}", number=True), Column("fits")] if asked is not None else []),
    ]
    rows = [
        (
            printable(fit.file_type, glyphs),
            *(label(fit.config, name, glyphs) for name in names),
            mebibytes(fit.size_bytes),
            NONE if fit.bits_per_weight is None else f"{fit.bits_per_weight:.2f}",
            f"{fit.n_ctx}{'*' if fit.is_limited_by_training else ''}" if fit.n_ctx else NONE,
            mebibytes(fit.totals_bytes["kv_cache"]) if fit.n_ctx else NONE,
            mebibytes(fit.totals_bytes["compute"]) if fit.n_ctx else NONE,
            mebibytes(fit.totals_bytes["total"]),
            *(_asked(fit, budget) if asked is not None else []),
        )
        for fit in fits
    ]
    notes = ["Sizes in MiB; n_ctx is the largest context that fits, in steps of 256."]
    if any(fit.is_limited_by_training for fit in fits):
        notes.append("*: the context that the model was trained for; a larger one was not tried.")
    if any(fit.n_ctx == 0 for fit in fits):
        notes.append("-: not even the smallest context fits; the total is what it takes.")
    title = f"What fits into {bytes_text(budget)}"
    return Section(title, tuple(columns), rows, notes=(" ".join(notes),), prose=sentences(report))


def _asked(fit: Fit, budget: int) -> list[str]:
    if fit.asked_total_bytes is None:
        return [NONE, NONE]
    return [mebibytes(fit.asked_total_bytes), "yes" if fit.asked_total_bytes <= budget else "no"]


def sentences(report: MemoryReport) -> tuple[str, ...]:
    """What the figures say: that nothing fits, or which file types do."""
    fits: Sequence[Fit] = report.fits
    budget = report.budget_bytes or 0
    found = []
    if not any(fit.n_ctx for fit in fits):
        smallest = min(fits, key=lambda fit: fit.totals_bytes["total"])
        found.append(
            f"Nothing fits: with the smallest context, {smallest.file_type} takes "
            f"{bytes_text(smallest.totals_bytes['total'])}, "
            f"{bytes_text(smallest.totals_bytes['weights'])} of it for weights; the memory given "
            f"is {bytes_text(budget)}."
        )
    asked = next((fit.asked_n_ctx for fit in fits if fit.asked_n_ctx is not None), None)
    if asked is not None and report.lightest is not None:
        found.append(
            f"For a context of {asked}, the lightest file type that fits is {report.lightest}, "
            f"the least compressed {report.least_compressed}."
        )
    elif asked is not None and len({fit.file_type for fit in fits}) > 1:
        found.append(f"A context of {asked} fits with none of these file types.")
    return tuple(found)

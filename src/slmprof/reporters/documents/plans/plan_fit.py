"""What fits into a given amount of memory, and what would where nothing does."""

from __future__ import annotations

from collections.abc import Sequence

from ....planning.records import Fit, FitChange, MemoryReport
from ....settings.planning import ON_DEVICE, RESERVED
from ....settings.table import setting_text
from ..parts import Caveat, Column, Finding, Part, Section, Table, notes
from ..quantities import bytes_text

_LABEL_WIDTH = 12


def fit_parts(report: MemoryReport, head: Sequence[Part]) -> list[Part]:
    """One table and sentences, and what could not be planned."""
    made: list[Part] = [*head, _fit_section(report)]
    made += [Caveat(one.told(report.varying), "note") for one in report.refusals]
    return made


def _fit_section(report: MemoryReport) -> Section:
    budget = report.budget_bytes or 0
    fits = report.fits
    what = report.fit_for
    has_resident = any(fit.resident_bytes is not None for fit in fits)
    has_device = any(fit.device_bytes for fit in fits)
    names = [name for name in report.varying if name not in ("n_ctx", "file_type")]
    asked = next((fit.asked_n_ctx for fit in fits if fit.asked_n_ctx is not None), None)
    columns = (
        Column("type"), *(Column(name, most=_LABEL_WIDTH) for name in names),
        Column("model", "mib"), Column("bits", "bits"), Column("n_ctx", "plain"),
        Column("kv_cache", "mib"),
        *([Column("resident", "mib")] if has_resident else []), Column("reserved", "mib"),
        *([Column("device", "mib")] if has_device else []),
        *([Column(f"at {asked}", "mib"), Column("fits")] if asked is not None else []),
    )  # fmt: skip
    rows = [
        (
            fit.file_type,
            *(setting_text(getattr(fit.config, name)) for name in names),
            fit.size_bytes,
            fit.bits_per_weight,
            f"{fit.n_ctx}{'*' if fit.is_limited_by_training else ''}" if fit.n_ctx else None,
            fit.totals_bytes["kv_cache"] if fit.n_ctx else None,
            *([fit.resident_bytes] if has_resident else []),
            fit.held_bytes(RESERVED),
            *([fit.device_bytes] if has_device else []),
            *((fit.asked_held_bytes(what), _fits(fit, what, budget)) if asked is not None else ()),
        )
        for fit in fits
    ]
    texts = [
        "Sizes in MiB; n_ctx is the largest context that fits, in steps of 256.",
        _MEANINGS[what] if has_resident or what == ON_DEVICE else "",
    ]
    if any(fit.is_limited_by_training for fit in fits):
        texts.append("*: the context that the model was trained for; a larger one was not tried.")
    if not all(fit.n_ctx for fit in fits):
        texts.append("-: not even the smallest context fits; the total is what it takes.")
    sentences = [Finding(text) for text in _fit_sentences(report)]
    title, table = f"What fits into {bytes_text(budget)}", Table(columns, rows)
    return Section(title, (table, *notes(*texts), *sentences))


def _fits(fit: Fit, fit_for: str, budget: int) -> str | None:
    size = fit.asked_held_bytes(fit_for)
    return None if size is None else "yes" if size <= budget else "no"


def _fit_sentences(report: MemoryReport) -> list[str]:
    """What the figures say: that nothing fits and what would, or which file types do."""
    fits: Sequence[Fit] = report.fits
    budget, what = report.budget_bytes or 0, report.fit_for
    found = []
    if not any(fit.n_ctx for fit in fits):
        smallest = min(fits, key=lambda fit: fit.held_bytes(what))
        found.append(
            f"Nothing fits: with the smallest context, {smallest.file_type} takes "
            f"{bytes_text(smallest.held_bytes(what))}; the memory given is {bytes_text(budget)}."
        )
    asked = next((fit.asked_n_ctx for fit in fits if fit.asked_n_ctx is not None), None)
    several = len({fit.file_type for fit in fits}) > 1
    if asked is not None and report.lightest is not None:
        found.append(
            f"For a context of {asked}, the lightest file type that fits is {report.lightest}, "
            f"the least compressed {report.least_compressed}."
        )
    elif asked is not None and report.change is not None:
        none = "fits with none of these file types" if several else "does not fit"
        found.append(f"A context of {asked} {none}.")
    if report.change is not None:
        found.append(change_text(report.change, what))
    return found


def change_text(change: FitChange, fit_for: str) -> str:
    """Which settings make a context fit, or by how much all of them fail."""
    options = " ".join(
        f"--{name.replace('_', '-')} {setting_text(value)}"
        for name, value in change.settings.items()
    )
    where = "on the device" if fit_for == ON_DEVICE else fit_for
    size = f"{bytes_text(change.size_bytes)} {where}"
    if not change.missing_bytes:
        return f"With {options} a context of {change.n_ctx} fits: {size}."
    missing = bytes_text(change.missing_bytes)
    if not options:
        return (
            f"No setting makes it smaller: {missing} are missing for a context of {change.n_ctx}."
        )
    return f"Even with {options} a context of {change.n_ctx} takes {size}: {missing} are missing."


_MEANINGS = {
    "resident": "resident: what a run needs in memory, which has to fit; reserved: with what it "
    "never touches, and with the mapped originals of repacked weights.",
    "reserved": "reserved: all that is allocated or mapped, which has to fit; resident: what a run "
    "needs of it in memory. Both with the process itself.",
    "device": "device: the buffers on the fullest device beside the CPU, which have to fit; the "
    "others are of this machine. What a device's driver and libraries take is not in it.",
}

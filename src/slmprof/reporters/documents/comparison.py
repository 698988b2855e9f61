"""The report of a comparison: the verdict, what it rests on, and what differs in how it was run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...analysis.comparison.comparison import Comparison, Pairing
from ...analysis.comparison.conditions import Outcome
from ...analysis.comparison.intervals import FASTER, SLOWER
from ...analysis.comparison.places import BLOCK, KERNEL, LATENCY, LAYER, MEMORY, OP, PART
from ...analysis.comparison.rows import ONLY_A, ONLY_B, Row
from ...analysis.comparison.samples import Subject
from ...settings.table import setting_text
from .parts import (
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
    listed,
    said,
)
from .parts import Row as Cells
from .quantities import bytes_text, change, changes
from .records import records
from .runs.run import random_weights_note

VIEWS: tuple[str, ...] = (BLOCK, PART, LAYER, KERNEL, OP, MEMORY)
TOP = 8
_NAME_WIDTH, _KERNEL_WIDTH, _CODE_WIDTH, _VALUE_WIDTH = 26, 16, 25, 26
_SMALL = 2**20 // 10
_TITLES = {PART: "Parts", KERNEL: "Kernels", LAYER: "Layers", OP: "Ops"}


def comparison_document(
    comparison: Comparison,
    *,
    by: str | None = None,
    phase: str | None = None,
    top: int | None = None,
    is_full: bool = False,
) -> Document:
    """The report of a comparison.

    Args:
        by: one of `VIEWS`, to show that one alone.
        phase: `prefill` or `decode`, to show that one alone.
        top: rows of a phase in a view; those that differ most.
        is_full: whether people are shown every row, not those that changed.
    """

    def parts() -> list[Part]:
        made: list[Part] = [_verdicts(comparison), _headline(comparison)]
        for number in range(len(comparison.pairings)):
            shown = _Shown(comparison, number, phase, top, is_full or by is not None)
            made += said(shown.view(by) if by else shown.everything())
        if by is None:
            made += _caveats(comparison)
        return made

    return Document(parts, comparison.to_json, lambda: _rows(comparison, by, phase))


def _rows(comparison: Comparison, by: str | None, phase: str | None) -> Rows:
    table = comparison.rows()
    if by is not None:
        table = table[table["what"] == by]
    if phase is not None:
        table = table[table["phase"].isna() | (table["phase"] == phase)]
    return Rows([*map(str, table.columns)], records(table))


def _verdicts(comparison: Comparison) -> Section:
    """What to know first: the verdicts, and the conditions that failed or were not decided."""
    texts = [text for pairing in comparison.pairings for text in pairing.verdicts]
    texts += [outcome_text(outcome) for outcome in comparison.outcomes]
    names = tuple(subject.name for subject in _subjects(comparison))
    return Section(None, tuple(Finding(f"{_begun(text, names)}.") for text in texts))


def _subjects(comparison: Comparison) -> list[Subject]:
    return [comparison.a, *(pairing.b for pairing in comparison.pairings)]


def _begun(text: str, names: tuple[str, ...]) -> str:
    """With a capital, unless it begins with a name."""
    begins = tuple(f"{name} " for name in names)
    return text if text.startswith(begins) else f"{text[:1].upper()}{text[1:]}"


def outcome_text(outcome: Outcome) -> str:
    """What became of a condition, and the figures that say so."""
    row = outcome.row
    where = f"{row.name} in {row.phase}" if row.phase not in (None, row.name) else row.name
    if row.what == MEMORY:
        figures = f"{where} {bytes_text(row.a)} and {bytes_text(row.b)}"
    elif row.note:
        figures = f"{where}: {row.note}"
    else:
        surely = changes(row.intervals.relative_corrected_ci)
        figures = f"{where} {change(row.relative)}, surely within {surely}"
    return f"{outcome.state}: {outcome.condition.text} ({outcome.name}: {figures})"


def _headline(comparison: Comparison) -> Headline:
    subjects = _subjects(comparison)
    lines = tuple(_facts(_letter(i), subject) for i, subject in enumerate(subjects))
    return Headline(lines, is_list=True)


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"#{number + 1}"


def _facts(letter: str, subject: Subject) -> tuple[str, ...]:
    model, n = subject.meta.model, subject.n_processes
    facts = (
        f"{letter}: {subject.name}",
        model.name if model.name != subject.name else None,
        model.file_type,
        bytes_text(model.size_bytes) if model.size_bytes else None,
        f"{n} process{'es' if n > 1 else ''}",
    )
    return tuple(fact for fact in facts if fact)


class _Shown:
    """The sections of one pair.

    Args:
        number: of the pair.
        is_full: whether to show every row, not those that changed.
    """

    def __init__(
        self, comparison: Comparison, number: int, phase: str | None, top: int | None, is_full: bool
    ) -> None:
        self.pairing: Pairing = comparison.pairings[number]
        self.b = _letter(number + 1)
        # Of several pairs each section says which it is of.
        self.prefix = f"A and {self.b}: " if len(comparison.pairings) > 1 else ""
        self.rows = [
            row for row in self.pairing.rows if phase in (None, row.phase) or not row.phase
        ]
        self.top, self.is_full = top, is_full

    def everything(self) -> list[Section]:
        """The headline and the blocks; then what changed, or all; then the setup."""
        made = [self.main()]
        for what in (PART, KERNEL, LAYER, OP) if self.is_full else (PART, KERNEL):
            made += self.details(what)
        if not self.is_full:
            made.append(self.finer())
        return [*made, self.memory(with_buffers=self.is_full), self.setup()]

    def finer(self) -> Section:
        """How many layers and ops changed, of which there are too many for one screen."""
        counts = {what: sum(map(_has_changed, self.of(what))) for what in (LAYER, OP)}
        texts = [f"{n} {_TITLES[what].lower()} (--by {what})" for what, n in counts.items() if n]
        return Section(None, (Finding(f"Changed as well: {listed(texts)}."),) if texts else ())

    def view(self, by: str) -> list[Section]:
        if by == MEMORY:
            return [self.memory(with_buffers=True)]
        return [self.main()] if by == BLOCK else self.details(by)

    def main(self) -> Section:
        """Latency and blocks, decode first."""
        cells: list[Cells] = []
        for latency in reversed(self.of(LATENCY)):
            unit = "prompt" if latency.phase == "prefill" else "token"
            cells.append((f"{latency.phase} ({unit})", *_measured(latency)))
            blocks = [row for row in self.of(BLOCK) if row.phase == latency.phase]
            cells += [(f"  {row.name}", *_measured(row)) for row in blocks]
        return self.section("Latency and blocks", [Column("ms per step", most=_NAME_WIDTH)], cells)

    def details(self, what: str) -> list[Section]:
        """Kernels, layers or ops: a section for each phase, decode first."""
        return [
            self.of_phase(what, phase)
            for phase in dict.fromkeys(row.phase for row in reversed(self.of(what)))
        ]

    def of_phase(self, what: str, phase: str | None) -> Section:
        rows = [row for row in self.of(what) if row.phase == phase]
        shown = rows if self.is_full else [row for row in rows if _has_changed(row)]
        top = self.top if self.is_full else self.top or TOP
        if top is not None and len(shown) > top:
            largest = sorted(shown, key=lambda row: -abs(row.difference))[:top]
            shown = [row for row in shown if row in largest]
        columns = [Column(what, most=_NAME_WIDTH)]
        name = _name
        if what == KERNEL:
            columns = [Column("kernel", most=_KERNEL_WIDTH), Column("code", most=_CODE_WIDTH)]
            name = _kernel
        title = f"{_TITLES[what]} of {phase}"
        if len(shown) < len(rows):
            of = "" if self.is_full else " that changed"
            title += f"{of} ({len(shown)} of {len(rows)})"
        cells = [(*name(row), *_measured(row)) for row in shown]
        return self.section(title, columns, cells, is_folded=True, narrow=what == KERNEL)

    def section(
        self,
        title: str,
        columns: Sequence[Column],
        cells: Sequence[Cells],
        *,
        is_folded: bool = False,
        narrow: bool = False,
    ) -> Section:
        measured = (
            Column("A", "ms"), Column(self.b, "ms"),
            Column("difference", "ms_change", is_wide=True),
            Column("change", "change"), Column("95 % CI", "range", is_wide=narrow),
            Column("verdict"),
        )  # fmt: skip
        return Section(self.prefix + title, (Table((*columns, *measured), cells),), is_folded)

    def memory(self, *, with_buffers: bool) -> Section:
        """Memory by kind, and by buffer."""
        columns = (
            Column("MiB"), Column("A", "mib"), Column(self.b, "mib"),
            Column("difference", "mib_change"), Column("change", "change"), Column("verdict"),
        )  # fmt: skip
        kinds = [row for row in self.of(MEMORY) if row.buffer_type is None]
        cells = [_sizes(row, row.name) for row in kinds]
        if with_buffers:
            buffers = [row for row in self.of(MEMORY) if row.buffer_type is not None]
            cells += [_sizes(r, f"  {r.buffer_type} {r.name}") for r in buffers]
        return Section(f"{self.prefix}Memory", (Table(columns, cells),), is_folded=True)

    def setup(self) -> Section:
        """What differs in machine, build, model and settings; warnings stand apart."""
        columns = (
            Column("", key="part"), Column("what", most=_VALUE_WIDTH),
            Column("A", most=_VALUE_WIDTH), Column(self.b, most=_VALUE_WIDTH),
        )  # fmt: skip
        cells = [
            (one.part, one.what, *(_setting(one.what, value) for value in (one.a, one.b)))
            for one in self.pairing.differences
            if one.part != "warnings"
        ]
        return Section(f"{self.prefix}Differences in setup", (Table(columns, cells),), True)

    def of(self, what: str) -> list[Row]:
        return [row for row in self.rows if row.what == what]


def _has_changed(row: Row) -> bool:
    return row.verdict in (FASTER, SLOWER) or row.note in (ONLY_A, ONLY_B)


def _name(row: Row) -> Cells:
    return (row.name or f"{row.part} {row.op}".lower(),)


def _kernel(row: Row) -> Cells:
    return (f"  {row.name}" if row.is_of_code else row.name, row.impl or "")


def _measured(row: Row) -> Cells:
    verdict = row.note if row.note in (ONLY_A, ONLY_B) else row.verdict
    ci95 = row.intervals.relative_ci95
    return row.a, row.b, row.difference, row.relative, ci95, verdict


def _sizes(row: Row, name: str) -> Cells:
    # Sizes are exact: a difference that MiB would hide is shown in bytes.
    is_small = 0 < abs(row.difference) < _SMALL
    difference = f"{row.difference:+.0f} B" if is_small else row.difference
    return name, row.a, row.b, difference, row.relative, row.verdict


def _setting(what: str, value: Any) -> str:
    is_size = "bytes" in what and isinstance(value, int)
    return bytes_text(value) if is_size else setting_text(value)


def _caveats(comparison: Comparison) -> Iterable[Part]:
    a = comparison.a
    shared = set(a.meta.environment.warnings)
    for pairing in comparison.pairings:
        shared &= set(pairing.b.meta.environment.warnings)
        b = pairing.b
        if not pairing.is_interleaved and b.n_processes > 1 and a.n_processes > 1:
            yield Caveat(
                f"{a.name} and {b.name} were not run in turns: what changed on the machine in "
                "between is in no interval, so that only differences beyond the margin count"
            )
        cpus = a.meta.environment.cpu, b.meta.environment.cpu
        if cpus[0] != cpus[1]:
            yield Caveat(f"{a.name} and {b.name} were measured on different machines")
    for text in sorted(shared):
        yield Caveat(text)
    for subject in _subjects(comparison):
        for text in subject.meta.environment.warnings:
            if text not in shared:
                yield Caveat(f"{subject.name}: {text}")
    if any(subject.meta.model.random_weights for subject in _subjects(comparison)):
        yield random_weights_note()
    yield Note(_reading(comparison))


def _reading(comparison: Comparison) -> str:
    margin = 100 * comparison.margin
    return (
        "95 % CI: of a row on its own, over processes. Verdicts follow from wider intervals, "
        "corrected for the number of rows; more --processes narrow them. "
        f"same: within {margin:g} % (--margin). More: --full, --by {'|'.join(VIEWS)}"
    )

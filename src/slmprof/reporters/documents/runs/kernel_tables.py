"""The kernels of a run: the code that ran, what it took and reached, and what bounds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ....analysis.verdicts.breakdown import Breakdown
from ....profiles.records.bandwidth import RunBandwidth
from ..parts import Column, Note, Section, Table
from ..records import records

# As much as stands beside the numbers of a phase on 80 columns.
_CODE_WIDTH = 25
# Where ggml has one implementation, or none was observed, its kernel says what ran.
_UNREMARKABLE = ("", "generic")
# Code with a smaller share of its phase is one of the `others`.
_LEAST_SHARE = 0.01

_Row = dict[str, Any]


def kernel_sections(breakdown: Breakdown) -> list[Section]:
    """One table for each phase."""
    text = (
        "roof: the share of the nearest of memory, compute and the kernel's best (modelled). "
        "mixed: the ops of a kernel are bound in several ways; --by op says each one's."
    )
    sections = []
    for number, summary in enumerate(breakdown.phases):
        rows, all_rows = (_of_phase(t["kernel"], summary.phase) for t in (
            breakdown.tables, breakdown.uncut
        ))  # fmt: skip
        title = f"Kernels of {summary.phase}"
        if len(rows) < len(all_rows):
            title = f"{title} ({len(rows)} of {len(all_rows)})"
        is_last = number == len(breakdown.phases) - 1
        notes = (Note(text),) if is_last and _is_bounded(breakdown) else ()
        sections.append(Section(title, (_table(breakdown, rows), *notes)))
    return sections


def main_kernels(breakdown: Breakdown, most: int, *, has_others: bool = True) -> list[Section]:
    """For each phase the costliest code, one row each, and the rest in a row `others`.

    Args:
        most: rows of a phase before the others.
        has_others: whether there is room for the others.
    """
    sections = []
    for summary in breakdown.phases:
        rows = _of_phase(breakdown.uncut["kernel"], summary.phase)
        # Of the time, for shares may be withheld.
        least_ms = _LEAST_SHARE * sum(row["time_ms"] for row in rows)
        main = [row for row in rows if row["time_ms"] >= least_ms][:most]
        rest = rows[len(main) :]
        if len(rest) == 1:
            main, rest = rows, []
        if rest and has_others:
            main = [*main, _others(rest)]
        sections.append(Section(f"Kernels of {summary.phase}", (_table(breakdown, main),)))
    return sections


def scaling_section(breakdown: Breakdown) -> Section:
    """Each kernel on one thread and on several; empty where that was not measured."""
    rows = records(breakdown.scaling)
    if not rows:
        return Section("Scaling", ())
    n_threads = rows[0]["n_threads"]
    columns = (
        Column("phase"), Column("code that ran", key="code", most=_CODE_WIDTH),
        Column("kernel", is_wide=True), Column("1 thread", "ms", "single_ms"),
        Column(f"{n_threads} threads", "ms", "time_ms"), Column("speedup", "ratio"),
        Column("efficiency", "share"),
    )  # fmt: skip
    text = (
        f"ms of a step's ops; efficiency: speedup over {n_threads}. Arithmetic gets faster with "
        "every thread; what does not waits for memory, or for other threads."
    )
    table = Table.of(columns, ({**row, "code": _code(row)} for row in rows))
    return Section("Scaling", (table, Note(text)))


def _table(breakdown: Breakdown, rows: Iterable[Mapping[str, Any]]) -> Table:
    columns: tuple[Column, ...] = (
        Column("code that ran", key="code", most=_CODE_WIDTH), Column("kernel", is_wide=True),
        Column("calls", "count"), Column("ms", "ms", "time_ms"), Column("share", "share"),
        Column("GB/s", "rate", "gbps"),
    )  # fmt: skip
    if _is_bounded(breakdown):
        columns += (Column("roof", "share", "ceiling_share"), Column("bound"))
    bandwidth = breakdown.meta.bandwidth
    moved = bandwidth if bandwidth is not None and not bandwidth.is_steady else None
    return Table.of(columns, (_cells(row, moved) for row in rows))


def _is_bounded(breakdown: Breakdown) -> bool:
    return bool(breakdown.uncut["kernel"]["bound"].notna().any())


def _cells(row: Mapping[str, Any], moved: RunBandwidth | None) -> _Row:
    """The cells of a row; what is memory-bound has a range where memory's bandwidth moved."""
    is_mixed = row["bound"] is None and row["ceiling_share"] is not None
    if moved is not None and row["bound"] == "memory" and row["ceiling_share"] is not None:
        low, high = (row["ceiling_share"] * moved.gbps() / end for end in moved.range_gbps()[::-1])
        row = {**row, "ceiling_share": f"{100 * low:.0f}-{100 * high:.0f} %"}
    return {**row, "code": _code(row), "bound": "mixed" if is_mixed else row["bound"]}


def _code(row: Mapping[str, Any]) -> str:
    return str(row["kernel"] if row["impl"] in _UNREMARKABLE else row["impl"])


def _others(rows: list[_Row]) -> _Row:
    sums = {name: _sum(row[name] for row in rows) for name in ("calls", "time_ms", "share")}
    unknown = dict.fromkeys(("gbps", "ceiling_share", "bound"))
    return {"kernel": f"{len(rows)} others", "impl": "", **sums, **unknown}


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum; None where a value is not known."""
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def _of_phase(table: Any, phase: str) -> list[_Row]:
    return records(table[table["phase"] == phase])

"""The energy of a run: what was measured, what was refused, and what is modelled of blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ....analysis.energy.figures import TOTAL, EnergyFigure
from ....analysis.energy.pairs import MIN_UPDATES
from ....analysis.energy.report import EnergyReport
from ....analysis.timing.phases import MAX_DIFFERENCE
from ....analysis.verdicts.breakdown import Breakdown
from ....profiles.records.decoding import finite
from ....profiles.records.energy import EnergyRefusal, Reason
from ..parts import Column, Finding, Note, Row, Section, Table, listed, notes

_NOT_MEASURED = "Energy was not measured; breakdown --energy measures it."
_ABOUT = (
    "J/step: of a whole prompt or one token; net: above what the idle machine takes meanwhile, "
    "the model loaded."
)
# Why there is no figure, and what to do.
_REASONS: dict[Reason, str] = {
    "no_counter": "this system offers no counter; virtual machines and containers often hide it",
    "not_readable": "the counter cannot be read; where it is root's alone, run as root or have it "
    "made readable",
    "remote": "it is on another machine, whose counters are not ours to read",
    "not_repeatable": "the model's state cannot be cut back to the depth, so that each step would "
    "include computing it; use --n-depth 0",
    "context_full": "the context was full before a window was over; raise --n-ctx, or shorten "
    "--energy-window",
    "failed": "a pass failed",
    "few_updates": f"the counter moved fewer than {MIN_UPDATES} times in a window; raise "
    "--energy-window",
    "ran_backwards": "the counter fell or leapt, as when a driver is loaded anew; run again",
    "wrapped": "the counter began anew more than once in a window; shorten --energy-window",
    "throttled": "the hardware held its clock down to protect itself; let it cool, and run again",
    "disturbed": "something else used the processors meanwhile; run again when nothing does",
    "few_windows": "too few windows were measured whole; run again",
}


def energy_data(report: EnergyReport) -> dict[str, Any]:
    """`energy` of the JSON."""
    data: dict[str, Any] = finite(
        {
            "window_s": report.energy.window_s,
            "n_depth": report.energy.n_depth,
            "sources": [source.to_json() for source in report.energy.sources],
            "figures": [figure.record() for figure in report.figures],
            "refusals": [
                {**one.to_json(), "text": _refusal_line(one)} for one in _refusals(report)
            ],
            "modelled": list(report.modelled),
            "windows": [window.to_json() for window in report.energy.windows],
        }
    )
    return data


def energy_section(breakdown: Breakdown) -> Section:
    """One row for each phase and source, and one line for each refusal; empty where nobody asked
    for it."""
    report = breakdown.energy
    if report is None:
        is_asked_for = breakdown.by == "energy"
        return Section("Energy", (Finding(_NOT_MEASURED),) if is_asked_for else ())
    columns = (
        Column("phase"), Column("source"), Column("J/step", "joules", "energy_j"),
        Column("95 % CI", "joules_range", "energy_ci95", is_wide=True),
        Column("net J", "joules", "net_j"), Column("its 95 % CI", "joules_range", "net_ci95"),
        Column("W", "rate", "power_w"), Column("idle W", "rate", "idle_power_w"),
        Column("MHz", "rate", "clock_mhz", is_wide=True),
        Column("ms/step", "ms", "step_ms", is_wide=True),
        Column("windows", "plain", "n_windows", is_wide=True),
    )  # fmt: skip
    known = [figure for figure in report.figures if figure.refusal is None]
    refused = map(Finding, _refusal_lines(report))
    if not known:
        return Section("Energy", tuple(refused))
    said = notes(_ABOUT, *_left_out(known), *_clocks(known), *_other_steps(breakdown, known))
    return Section("Energy", (Table.of(columns, known), *said, *refused))


def modelled_section(breakdown: Breakdown) -> Section:
    """The blocks' parts of the energy of a step, which nobody has measured."""
    report = breakdown.energy
    modelled = report.modelled if report is not None else ()
    phases = list(dict.fromkeys(row["phase"] for row in modelled))
    columns = [Column("block")]
    for phase in phases:
        columns += [Column(f"{phase}\nmodelled J", "joules"), Column("modelled\nnet J", "joules")]
    rows: list[Row] = []
    for block in dict.fromkeys(row["block"] for row in modelled):
        of_block = {row["phase"]: row for row in modelled if row["block"] == block}
        cells: list[Any] = []
        for phase in phases:
            row = of_block.get(phase, {})
            cells += [row.get("energy_j"), row.get("net_j")]
        rows.append((block, *cells))
    text = (
        "Modelled, not measured: the energy of a step divided by the blocks' shares of its op "
        "time, as if every millisecond took the same power."
    )
    return Section("Energy by block, modelled", (Table(tuple(columns), rows), Note(text)))


def _refusals(report: EnergyReport) -> list[EnergyRefusal]:
    """Those of the system, then those of single figures."""
    refused = (
        EnergyRefusal(figure.refusal, figure.source, figure.phase)
        for figure in report.figures
        if figure.refusal is not None
    )
    return [*report.refusals, *refused]


def _refusal_lines(report: EnergyReport) -> list[str]:
    """One for each reason, whatever the phases and sources."""
    alike: dict[tuple[Reason, str], list[EnergyRefusal]] = {}
    for one in _refusals(report):
        alike.setdefault((one.reason, one.detail), []).append(one)
    return [
        _refusal_text(
            reason,
            dict.fromkeys(one.phase for one in found if one.phase),
            dict.fromkeys(one.source for one in found if one.source),
            detail,
        )
        for (reason, detail), found in alike.items()
    ]


def _refusal_line(one: EnergyRefusal) -> str:
    phases, sources = (() if name is None else (name,) for name in (one.phase, one.source))
    return _refusal_text(one.reason, phases, sources, one.detail)


def _refusal_text(
    reason: Reason, phases: Iterable[str], sources: Iterable[str], detail: str
) -> str:
    of = f" for {listed(list(phases))}" if phases else ""
    by = f" ({listed(list(sources))})" if sources else ""
    said = f" ({detail})" if detail else ""
    return f"No energy figures{of}{by}: {_REASONS[reason]}{said}."


def _left_out(figures: Iterable[EnergyFigure]) -> list[str]:
    found = [
        f"{one.n_left_out} of {one.n_left_out + one.n_windows} windows of {one.phase} "
        f"({one.source})"
        for one in figures
        if one.n_left_out and one.source != TOTAL
    ]
    return [f"Disturbed, throttled or not counted, and left out: {listed(found)}."] if found else []


def _clocks(figures: Iterable[EnergyFigure]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for figure in figures:
        for name in figure.clock_reasons:
            if name != "gpu_idle" and name not in reasons.setdefault(figure.source, []):
                reasons[figure.source].append(name)
    return [f"Clock of {source}: {listed(names)}." for source, names in reasons.items() if names]


def _other_steps(breakdown: Breakdown, figures: Iterable[EnergyFigure]) -> list[str]:
    """That steps took another time in the windows than the headline says, as hot hardware does."""
    step_ms = {figure.phase: figure.step_ms for figure in figures}
    found = []
    for summary in breakdown.phases:
        there, latency = step_ms.get(summary.phase), summary.latency_ms
        if there is None or latency is None or latency.median <= 0:
            continue
        if abs(there / latency.median - 1) > MAX_DIFFERENCE:
            found.append(f"{summary.phase} {there:.4g} for {latency.median:.4g} ms")
    return [f"Steps took another time here than in the latency: {listed(found)}."] if found else []

"""Joules of a prompt and of a generated token, with their uncertainty, or why there are none."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ...profiles.records.energy import Energy, EnergyRefusal, Reason
from ...profiles.vocabulary import PHASES
from ..tables.typed import typed_table
from ..timing.student import critical_value
from .pairs import Pair, sound_pairs

MIN_WINDOWS = 3
_ALPHA = 0.05
TOTAL = "total"

COLUMNS: dict[str, str] = {
    "phase": "object", "source": "object", "n_windows": "Int64", "n_left_out": "Int64",
    "step_ms": "float64", "energy_j": "float64", "energy_ci95.low": "float64",
    "energy_ci95.high": "float64", "net_j": "float64", "net_ci95.low": "float64",
    "net_ci95.high": "float64", "power_w": "float64", "idle_power_w": "float64",
    "clock_mhz": "float64", "idle_clock_mhz": "float64", "clock_reasons": "object",
    "refusal": "object",
}  # fmt: skip


@dataclass(frozen=True)
class EnergyFigure:
    """The energy of one phase's step by one source, or of the sources together (`total`).

    Attributes:
        n_windows: that the figures are means over; each has an idle window beside it.
        n_left_out: that were measured and are not sound.
        step_ms: how long a step took in them.
        energy_j, energy_ci95: joules of a step, and the 95 % interval of the mean.
        net_j, net_ci95: the same above what the idle machine would have taken meanwhile.
        power_w, idle_power_w: mean power of the two kinds of windows.
        clock_mhz, idle_clock_mhz: mean clock in them; None where it is not told.
        clock_reasons: what held the clock down in any of the windows.
        refusal: why there are no figures, which are None then.
        parts: of a total the sources that it adds up.
    """

    phase: str
    source: str
    n_windows: int = 0
    n_left_out: int = 0
    step_ms: float | None = None
    energy_j: float | None = None
    energy_ci95: tuple[float, float] | None = None
    net_j: float | None = None
    net_ci95: tuple[float, float] | None = None
    power_w: float | None = None
    idle_power_w: float | None = None
    clock_mhz: float | None = None
    idle_clock_mhz: float | None = None
    clock_reasons: tuple[str, ...] = ()
    refusal: Reason | None = None
    parts: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """As the JSON of a report has it."""
        names = (name.removesuffix(".low") for name in COLUMNS if not name.endswith(".high"))
        values = {name: getattr(self, name) for name in names}
        lists = ("energy_ci95", "net_ci95")
        told = {name: list(values[name] or (None, None)) for name in lists}
        reasons = list(self.clock_reasons)
        return {**values, **told, "clock_reasons": reasons, "parts": list(self.parts)}

    def row(self) -> dict[str, Any]:
        """In the columns of `COLUMNS`; reasons of the clock are one text."""
        flat = {**self.record(), "clock_reasons": " ".join(self.clock_reasons)}
        for name in ("energy_ci95", "net_ci95"):
            flat[f"{name}.low"], flat[f"{name}.high"] = flat[name]
        return {name: flat[name] for name in COLUMNS}


def energy_figures(energy: Energy) -> tuple[EnergyFigure, ...]:
    """One figure for each phase and source; of several sources, none of them refused, a total."""
    found: list[EnergyFigure] = []
    for phase in PHASES:
        refused = [one for one in energy.refusals if one.phase == phase]
        windows = [one for one in energy.windows if one.state == phase and one.n_steps]
        if not refused and not windows:
            continue
        sound: dict[str, list[Pair]] = {}
        for number, source in enumerate(energy.sources):
            pairs, doubts = sound_pairs(energy, windows, number)
            figure = _figure(phase, source.name, pairs, doubts, refused)
            found.append(figure)
            if figure.refusal is None:
                sound[source.name] = pairs
        # A sum without one of them would look like the energy of all.
        if 1 < len(sound) == len(energy.sources):
            found.append(_total(phase, sound))
    return tuple(found)


def energy_table(figures: Iterable[EnergyFigure]) -> pd.DataFrame:
    """One row a figure, in `COLUMNS`."""
    return typed_table([figure.row() for figure in figures], COLUMNS)


def main_figure(figures: Sequence[EnergyFigure], phase: str) -> EnergyFigure | None:
    """The total of a phase, or the figure of its one source; None where any is refused."""
    found = [one for one in figures if one.phase == phase]
    if not found or any(one.refusal is not None for one in found):
        return None
    return found[-1]


def _figure(
    phase: str,
    source: str,
    pairs: Sequence[Pair],
    doubts: Sequence[Reason],
    refused: Sequence[EnergyRefusal],
) -> EnergyFigure:
    if len(pairs) < MIN_WINDOWS:
        reason: Reason = "few_windows"
        if doubts:
            reason = Counter(doubts).most_common(1)[0][0]
        elif refused:
            reason = refused[0].reason
        return EnergyFigure(phase, source, len(pairs), len(doubts), refusal=reason)
    energy_j, energy_ci95 = _estimate(pairs, [pair.step_j for pair in pairs])
    net_j, net_ci95 = _estimate(pairs, [pair.net_j for pair in pairs])
    active = [reading for pair in pairs for reading in pair.active]
    idle = [reading for pair in pairs for reading in pair.idle]
    reasons = dict.fromkeys(name for reading in active for name in reading.clock_reasons)
    return EnergyFigure(
        phase,
        source,
        n_windows=len(pairs),
        n_left_out=len(doubts),
        step_ms=1e3 * statistics.fmean(pair.step_s for pair in pairs),
        energy_j=energy_j,
        energy_ci95=energy_ci95,
        net_j=net_j,
        net_ci95=net_ci95,
        power_w=statistics.fmean(pair.step_j / pair.step_s for pair in pairs),
        idle_power_w=statistics.fmean(pair.idle_w for pair in pairs),
        clock_mhz=_mean(reading.clock_mhz for reading in active),
        idle_clock_mhz=_mean(reading.clock_mhz for reading in idle),
        clock_reasons=tuple(reasons),
    )


def _total(phase: str, sound: dict[str, list[Pair]]) -> EnergyFigure:
    """The sources together, over the windows that are sound for all of them."""
    by_window = [{(p.process, p.window.round): p for p in pairs} for pairs in sound.values()]
    common = [key for key in by_window[0] if all(key in others for others in by_window)]
    n_all = len(set().union(*by_window))
    pairs = []
    for key in common:
        parts = [of_source[key] for of_source in by_window]
        active = tuple(reading for part in parts for reading in part.active)
        idle = tuple(reading for part in parts for reading in part.idle)
        pairs.append(Pair(key[0], parts[0].window, active, parts[0].idle_window, idle))
    doubts: list[Reason] = ["few_windows"] * (n_all - len(common))
    figure = _figure(phase, TOTAL, pairs, doubts, ())
    # A GPU's clock and a CPU's are no one clock.
    no_clock: dict[str, Any] = {"clock_mhz": None, "idle_clock_mhz": None, "clock_reasons": ()}
    return replace(figure, parts=tuple(sound), **no_clock)


def _estimate(
    pairs: Sequence[Pair], values: Sequence[float]
) -> tuple[float, tuple[float, float] | None]:
    """The mean and Student's 95 % interval of it; of several processes over their means, for the
    windows of one process are more alike than those of two."""
    of_process: dict[int, list[float]] = {}
    for pair, value in zip(pairs, values, strict=True):
        of_process.setdefault(pair.process, []).append(value)
    samples = [statistics.fmean(found) for found in of_process.values()]
    if len(samples) < 2:
        samples = list(values)
    mean = statistics.fmean(samples)
    if len(samples) < 2:
        return mean, None
    error = statistics.stdev(samples) / math.sqrt(len(samples))
    half = critical_value(_ALPHA, len(samples) - 1) * error
    return mean, (mean - half, mean + half)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None

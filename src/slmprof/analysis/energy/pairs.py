"""Windows of a phase, each with the idle one beside it, and which of them are sound."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import UNSET

from ...profiles.records.energy import Energy, EnergyReading, EnergyWindow, Reason

# Each end of a window is uncertain by one update of the counter.
MIN_UPDATES = 20
# Of all cores' time, and of a GPU's while the model rests.
MAX_OTHERS, MAX_BUSY = 0.05, 0.05
# CPU time is counted in ticks of 10 ms: a short window may be off by one at each end.
_TICKS_S = 0.02


@dataclass(frozen=True)
class Pair:
    """A window of a phase and the idle one beside it, as one source saw them; or several."""

    process: int
    window: EnergyWindow
    active: tuple[EnergyReading, ...]
    idle_window: EnergyWindow
    idle: tuple[EnergyReading, ...]

    @property
    def step_j(self) -> float:
        return _joules(self.active) / self.window.n_steps

    @property
    def idle_w(self) -> float:
        return _joules(self.idle) / (self.idle_window.duration_ns / 1e9)

    @property
    def step_s(self) -> float:
        return self.window.duration_ns / 1e9 / self.window.n_steps

    @property
    def net_j(self) -> float:
        return self.step_j - self.idle_w * self.step_s


def sound_pairs(
    energy: Energy, windows: Iterable[EnergyWindow], source: int
) -> tuple[list[Pair], list[Reason]]:
    """The sound windows of a phase, and why each of the others is none."""
    idle = {(one.process, one.round): one for one in energy.windows if one.state == "idle"}
    pairs: list[Pair] = []
    doubts: list[Reason] = []
    for window in windows:
        beside = idle.get((window.process, window.round))
        if beside is None:
            doubts.append("few_windows")
            continue
        doubt = _doubt(window, source) or _doubt(beside, source)
        if doubt is not None:
            doubts.append(doubt)
            continue
        active, rest = (window.readings[source],), (beside.readings[source],)
        pairs.append(Pair(window.process, window, active, beside, rest))
    return pairs, doubts


def _doubt(window: EnergyWindow, source: int) -> Reason | None:
    """Why what a source told in a window is not to be believed; None where it is."""
    if source >= len(window.readings):
        return "few_windows"
    reading, load = window.readings[source], window.load
    if reading.ran_backwards:
        return "ran_backwards"
    if reading.n_wraps > 1:
        return "wrapped"
    if reading.n_updates < MIN_UPDATES:
        return "few_updates"
    if reading.n_throttles:
        return "throttled"
    if window.state == "idle" and (reading.busy_share or 0.0) > MAX_BUSY:
        return "disturbed"
    if load is not UNSET and load.core_seconds > 0:
        taken = load.others_share + load.stolen_share
        if taken > MAX_OTHERS + _TICKS_S / load.core_seconds:
            return "disturbed"
    return None


def _joules(readings: Iterable[EnergyReading]) -> float:
    return sum(reading.energy_uj for reading in readings) / 1e6

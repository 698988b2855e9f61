"""Energy windows by hand, a tree of RAPL's folders, and counters that tell what they are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from slmprof.machine.energy.counter import State
from slmprof.profiles.records.energy import (
    Energy,
    EnergyReading,
    EnergySource,
    EnergyWindow,
    WindowState,
)
from slmprof.profiles.records.load import Load

SECOND_NS = 10**9
RANGE_UJ = 10**9
QUIET = Load(core_seconds=10.0)


def reading(energy_j: float, **changes: Any) -> EnergyReading:
    """One that is sound, but for the changes."""
    told: dict[str, Any] = {"energy_uj": round(energy_j * 1e6), "n_updates": 100, **changes}
    return EnergyReading(**told)


def window(
    state: WindowState, number: int, *readings: EnergyReading, n_steps: int = 10, **changes: Any
) -> EnergyWindow:
    """One of five seconds, on a quiet machine."""
    told: dict[str, Any] = {"duration_ns": 5 * SECOND_NS, "load": QUIET, **changes}
    steps = 0 if state == "idle" else n_steps
    return EnergyWindow(state=state, round=number, n_steps=steps, readings=readings, **told)


def energy_of(
    joules: Mapping[WindowState, Iterable[float]],
    changes: Mapping[tuple[WindowState, int], Mapping[str, Any]] | None = None,
    **fields: Any,
) -> Energy:
    """One source, `package`: joules of each window by state and round.

    Args:
        changes: of the reading of a state's window in a round.
    """
    windows = [
        window(state, number, reading(value, **(changes or {}).get((state, number), {})))
        for state, values in joules.items()
        for number, value in enumerate(values)
    ]
    sources = (EnergySource("package", "RAPL", ("intel-rapl:0 package-0",)),)
    return Energy(**{"window_s": 5.0, "sources": sources, "windows": tuple(windows), **fields})


def example_energy() -> Energy:
    """A prompt takes 10 J, 5 of them above the idle machine's 10 W; a token 6 J and 1."""
    return energy_of(
        {"idle": (50, 50, 50), "prefill": (90, 100, 110), "decode": (58, 60, 62)},
        {("prefill", 0): {"clock_mhz": 3000.0}},
    )


def write_zone(sysfs: Path, folder: str, name: str, energy_uj: int | str = 0) -> Path:
    """A zone of RAPL."""
    zone = sysfs / "class/powercap" / folder
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{name}\n")
    (zone / "energy_uj").write_text(f"{energy_uj}\n")
    (zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    return zone


class ScriptedCounter:
    """A counter that goes up with each reading, and whose hardware is as it is told to be."""

    source = EnergySource("package", "RAPL", ("scripted",))
    ranges_uj = (None,)

    def __init__(self, step_uj: int = 1000, state: State | None = None) -> None:
        self.step_uj, self.told, self.now_uj = step_uj, state or State(), 0
        self.is_closed = False
        self.failure: OSError | None = None

    def read_uj(self) -> tuple[int, ...]:
        if self.failure is not None:
            raise self.failure
        self.now_uj += self.step_uj
        return (self.now_uj,)

    def state(self) -> State:
        return self.told

    def close(self) -> None:
        self.is_closed = True

"""What a counter of energy is, whatever hardware it is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...profiles.records.energy import EnergySource


@dataclass(frozen=True)
class State:
    """The hardware at one moment; None is what it does not tell.

    Attributes:
        clock_mhz: of a CPU the mean over the cores that this process may use.
        clock_reasons: why the clock is not higher, by NVML's names.
        n_throttles: how often the clock has been held down so far.
        busy_share: how long a GPU computed lately, whoever asked it to.
    """

    clock_mhz: float | None = None
    clock_reasons: tuple[str, ...] = ()
    n_throttles: int | None = None
    busy_share: float | None = None


class EnergyCounter(Protocol):
    """Counts the energy of one part of the machine since some moment.

    Reading raises OSError where the system no longer lets us.
    """

    @property
    def source(self) -> EnergySource:
        """What it counts; one or several counters, which are added up."""
        ...

    @property
    def ranges_uj(self) -> tuple[int | None, ...]:
        """The largest value of each counter; None for one that never begins anew."""
        ...

    def read_uj(self) -> tuple[int, ...]:
        """Microjoules of each counter."""
        ...

    def state(self) -> State:
        """The hardware now."""
        ...

    def close(self) -> None:
        """Nothing is read any more."""
        ...

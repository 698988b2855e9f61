"""Clocks of the cores, and how often heat held them down, as Linux tells."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...system.cores import usable_cpus
from ...system.files import read
from .counter import State


class CpuState:
    """The cores that this process may use.

    Args:
        sysfs: where `/sys` is.
        cores: their numbers; None for those of this process.
    """

    def __init__(self, sysfs: Path, cores: Iterable[int] | None = None) -> None:
        if cores is None:
            cores = usable_cpus()
        folders = [sysfs / "devices/system/cpu" / f"cpu{core}" for core in sorted(cores)]
        self._clocks = _there(folder / "cpufreq/scaling_cur_freq" for folder in folders)
        self._throttles = _there(
            folder / "thermal_throttle" / name
            for folder in folders
            for name in ("core_throttle_count", "package_throttle_count")
        )

    def state(self) -> State:
        """The mean clock, and the throttling events of all cores so far."""
        clocks = _numbers(self._clocks)
        throttles = _numbers(self._throttles)
        return State(
            clock_mhz=sum(clocks) / len(clocks) / 1e3 if clocks else None,
            n_throttles=sum(throttles) if throttles else None,
        )


def _there(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]


def _numbers(paths: Iterable[Path]) -> list[int]:
    texts = (read(str(path)).strip() for path in paths)
    return [int(text) for text in texts if text.isdecimal()]

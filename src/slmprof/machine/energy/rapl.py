"""Energy of processors and their memory, by RAPL as Linux offers it.

A folder of `/sys/class/powercap` is a zone: `intel-rapl:0` a package, `intel-rapl:0:1` a part of
it, with a name each. AMD's processors have the same folders. Parts of a package (`core`, `uncore`)
are counted in the package already, and `psys`, the whole platform, counts packages once more. What
a package does not count is its memory, `dram`.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...profiles.records.energy import EnergyRefusal, EnergySource
from ...system.files import read
from .counter import State
from .cpu_state import CpuState

PACKAGE, DRAM = "package", "dram"
_ZONE = re.compile(r"intel-rapl:\d+(?P<part>:\d+)?")


class RaplCounter:
    """The zones of one kind, read together.

    Args:
        name: `package` or `dram`.
        zones: their folders.
        cpu: tells the state of the cores; None for what has no clock of its own to tell.

    Raises:
        OSError: a zone cannot be read.
    """

    def __init__(self, name: str, zones: list[Path], cpu: CpuState | None) -> None:
        self._files = [zone / "energy_uj" for zone in zones]
        self._cpu = cpu
        self.source = EnergySource(name, "RAPL", tuple(map(_part, zones)))
        self.ranges_uj = tuple(map(_range_uj, zones))
        self.read_uj()

    def read_uj(self) -> tuple[int, ...]:
        """Microjoules of each zone."""
        return tuple(map(_energy_uj, self._files))

    def state(self) -> State:
        """That of the cores."""
        return self._cpu.state() if self._cpu is not None else State()

    def close(self) -> None:
        """Nothing is held open."""


def find_rapl(sysfs: Path) -> tuple[list[RaplCounter], list[EnergyRefusal]]:
    """The counters of the system's packages and of their memory, and why there are none.

    Args:
        sysfs: where `/sys` is.
    """
    zones: dict[str, list[Path]] = {}
    for folder in sorted((sysfs / "class/powercap").glob("intel-rapl:*")):
        found, name = _ZONE.fullmatch(folder.name), read(str(folder / "name")).strip()
        if found and not found["part"] and name.startswith("package"):
            zones.setdefault(PACKAGE, []).append(folder)
        elif found and name == DRAM:
            zones.setdefault(DRAM, []).append(folder)
    counters, refusals = [], []
    for name, folders in zones.items():
        try:
            cpu = CpuState(sysfs) if name == PACKAGE else None
            counters.append(RaplCounter(name, folders, cpu))
        except OSError as error:
            detail = f"{error.filename or folders[0]}: {error.strerror or error}"
            refusals.append(EnergyRefusal("not_readable", name, detail=detail))
    if PACKAGE not in zones:
        refusals.append(EnergyRefusal("no_counter", PACKAGE, detail=str(sysfs / "class/powercap")))
    return counters, refusals


def _part(zone: Path) -> str:
    return f"{zone.name} {read(str(zone / 'name')).strip()}"


def _range_uj(zone: Path) -> int | None:
    text = read(str(zone / "max_energy_range_uj")).strip()
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _energy_uj(path: Path) -> int:
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not text.isdecimal():
        raise OSError(None, "it holds no number", str(path))
    return int(text)

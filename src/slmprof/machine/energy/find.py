"""Which counters of energy there are for a run, and why some are missing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ...profiles.records.energy import EnergyRefusal
from ..nvml import NvmlError
from .counter import EnergyCounter
from .nvml import GpuCounter, NvmlEnergy, cuda_bus_id
from .rapl import find_rapl

_CUDA = re.compile(r"CUDA(\d+)")
# Devices of ggml that compute on the CPU.
_ON_CPU = ("BLAS",)


@dataclass
class Counters:
    """What there is to read, and why there is no more."""

    counters: list[EnergyCounter] = field(default_factory=list)
    refusals: list[EnergyRefusal] = field(default_factory=list)
    nvml: NvmlEnergy | None = None

    def close(self) -> None:
        """Gives back what the counters hold."""
        for counter in self.counters:
            counter.close()
        if self.nvml is not None:
            self.nvml.close()


def sysfs_folder() -> Path:
    """Where `/sys` is: in a container the host's may be mounted elsewhere."""
    return Path(os.environ.get("SLMPROF_SYSFS_DIR") or "/sys")


def find_counters(
    devices: Iterable[str],
    sysfs: Path | None = None,
    load_nvml: Callable[[], NvmlEnergy] = NvmlEnergy.load,
    bus_id: Callable[[int], str] = cuda_bus_id,
) -> Counters:
    """The counters of the CPU and of the devices that a run uses beside it.

    Args:
        devices: by the names that the engine finds them by: `CUDA0`, `rpc:HOST:PORT`.
        sysfs: where `/sys` is.
        load_nvml, bus_id: how GPUs are found.
    """
    found = Counters()
    counters, refusals = find_rapl(sysfs if sysfs is not None else sysfs_folder())
    found.counters += counters
    found.refusals += refusals
    for device in devices:
        if device.lower().startswith("rpc"):
            found.refusals.append(EnergyRefusal("remote", device))
        elif gpu := _CUDA.fullmatch(device):
            _add_gpu(found, device, int(gpu[1]), load_nvml, bus_id)
        elif not device.upper().startswith(_ON_CPU):
            detail = "of GPUs only those are read that run by CUDA"
            found.refusals.append(EnergyRefusal("no_counter", device, detail=detail))
    return found


def _add_gpu(
    found: Counters,
    name: str,
    ordinal: int,
    load_nvml: Callable[[], NvmlEnergy],
    bus_id: Callable[[int], str],
) -> None:
    try:
        found.nvml = found.nvml or load_nvml()
        found.counters.append(GpuCounter(found.nvml, name, bus_id(ordinal)))
    except NvmlError as error:
        found.refusals.append(EnergyRefusal("not_readable", name, detail=str(error.strerror)))
    except OSError as error:
        found.refusals.append(
            EnergyRefusal("no_counter", name, detail=str(error.strerror or error))
        )

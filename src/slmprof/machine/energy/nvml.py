"""Energy of NVIDIA's GPUs by their management library, which comes with the driver.

The library is loaded when a run needs it; the functions are called as `nvml.h` declares them.
"""

from __future__ import annotations

import ctypes
from typing import Any

from ...profiles.records.energy import EnergySource
from ..cuda_driver import CudaDriver
from ..nvml import Nvml, NvmlError
from .counter import State

_GRAPHICS_CLOCK = 0
_UJ_PER_MJ = 1000
_NAME_BYTES = 96
# nvmlClocksEventReason*, by the names that nvidia-smi has for them.
CLOCK_REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
# A GPU at its power limit runs as it is meant to under that load; the others are protection.
THROTTLING = 0x008 | 0x020 | 0x040 | 0x080


class NvmlEnergy(Nvml):
    """What the library tells of energy, and of what it is taken at."""

    def name(self, device: ctypes.c_void_p) -> str:
        """What the GPU is called."""
        text = ctypes.create_string_buffer(_NAME_BYTES)
        self._call("nvmlDeviceGetName", device, text, ctypes.c_uint(_NAME_BYTES))
        return text.value.decode("utf-8", "replace")

    def energy_mj(self, device: ctypes.c_void_p) -> int:
        """Millijoules since the driver was loaded."""
        value = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", device, ctypes.pointer(value))
        return value.value

    def clock_mhz(self, device: ctypes.c_void_p) -> int:
        """Of the processors that compute."""
        value = ctypes.c_uint()
        kind = ctypes.c_int(_GRAPHICS_CLOCK)
        self._call("nvmlDeviceGetClockInfo", device, kind, ctypes.pointer(value))
        return value.value

    def clock_reasons(self, device: ctypes.c_void_p) -> int:
        """Bits of `CLOCK_REASONS`."""
        value = ctypes.c_ulonglong()
        name = "nvmlDeviceGetCurrentClocksEventReasons"
        if not self._has(name):
            name = "nvmlDeviceGetCurrentClocksThrottleReasons"  # until driver 535
        self._call(name, device, ctypes.pointer(value))
        return value.value

    def busy_share(self, device: ctypes.c_void_p) -> float:
        """How long a kernel ran lately."""

        class Utilization(ctypes.Structure):
            _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))

        value = Utilization()
        self._call("nvmlDeviceGetUtilizationRates", device, ctypes.pointer(value))
        return min(int(value.gpu), 100) / 100


class GpuCounter:
    """One GPU.

    Args:
        name: as ggml calls it, `CUDA0`.
        bus_id: its place on the PCI bus.

    Raises:
        NvmlError: NVML does not know the GPU, or does not count its energy.
    """

    ranges_uj = (None,)

    def __init__(self, nvml: NvmlEnergy, name: str, bus_id: str) -> None:
        self._nvml, self._device = nvml, nvml.device(bus_id)
        self._n_throttles = 0
        self.read_uj()
        self.source = EnergySource(name, "NVML", (f"{nvml.name(self._device)} at {bus_id}",))

    def read_uj(self) -> tuple[int, ...]:
        """Microjoules, of which NVML tells thousands."""
        return (self._nvml.energy_mj(self._device) * _UJ_PER_MJ,)

    def state(self) -> State:
        """Clock, its reasons and use; each time that the clock was held down counts."""
        reasons = self._told(self._nvml.clock_reasons)
        if reasons is not None and reasons & THROTTLING:
            self._n_throttles += 1
        return State(
            clock_mhz=self._told(self._nvml.clock_mhz),
            clock_reasons=tuple(
                name for bit, name in CLOCK_REASONS.items() if (reasons or 0) & bit
            ),
            n_throttles=self._n_throttles if reasons is not None else None,
            busy_share=self._told(self._nvml.busy_share),
        )

    def close(self) -> None:
        """The library is closed by who opened it."""

    def _told(self, ask: Any) -> Any:
        """What not every GPU tells; None where this one does not."""
        try:
            return ask(self._device)
        except NvmlError:
            return None


def cuda_bus_id(ordinal: int, driver: Any = None) -> str:
    """The place on the PCI bus of a GPU that CUDA counts in this process.

    CUDA's numbers are not NVML's: they follow `CUDA_VISIBLE_DEVICES` and `CUDA_DEVICE_ORDER`.

    Raises:
        OSError: there is no driver, or no such GPU.
    """
    found = CudaDriver(driver)
    return found.bus_id(found.device(ordinal))

"""Energy of NVIDIA's GPUs by their management library, which comes with the driver.

The library is loaded when a run needs it; the functions are called as `nvml.h` declares them.
"""

from __future__ import annotations

import ctypes
from typing import Any

from ...profiles.records.energy import EnergySource
from .counter import State

_LIBRARY, _DRIVER = "libnvidia-ml.so.1", "libcuda.so.1"
_GRAPHICS_CLOCK = 0
_UJ_PER_MJ = 1000
_NAME_BYTES, _BUS_ID_BYTES = 96, 32
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


class NvmlError(OSError):
    """A call that failed."""


class Nvml:
    """The functions of the library that are needed here.

    Args:
        library: what `ctypes.CDLL` gives, or what has the same functions.

    Raises:
        NvmlError: there is no driver, or it does not fit the library.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        library.nvmlErrorString.restype = ctypes.c_char_p
        self._call("nvmlInit_v2")

    @classmethod
    def load(cls) -> Nvml:
        """The system's own. Raises OSError where there is none."""
        return cls(ctypes.CDLL(_LIBRARY))

    def device(self, bus_id: str) -> ctypes.c_void_p:
        """A GPU by its place on the PCI bus."""
        handle = ctypes.c_void_p()
        text = ctypes.c_char_p(bus_id.encode("ascii"))
        self._call("nvmlDeviceGetHandleByPciBusId_v2", text, ctypes.pointer(handle))
        return handle

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
        if not hasattr(self._library, name):
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

    def close(self) -> None:
        """Gives the library back."""
        self._library.nvmlShutdown()

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            text = self._library.nvmlErrorString(ctypes.c_int(status)) or b"unknown error"
            raise NvmlError(None, f"{name}: {text.decode('utf-8', 'replace')}")


class GpuCounter:
    """One GPU.

    Args:
        name: as ggml calls it, `CUDA0`.
        bus_id: its place on the PCI bus.

    Raises:
        NvmlError: NVML does not know the GPU, or does not count its energy.
    """

    ranges_uj = (None,)

    def __init__(self, nvml: Nvml, name: str, bus_id: str) -> None:
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
        except (NvmlError, AttributeError):
            return None


def cuda_bus_id(ordinal: int, driver: Any = None) -> str:
    """The place on the PCI bus of a GPU that CUDA counts in this process.

    CUDA's numbers are not NVML's: they follow `CUDA_VISIBLE_DEVICES` and `CUDA_DEVICE_ORDER`.

    Raises:
        OSError: there is no driver, or no such GPU.
    """
    driver = driver if driver is not None else ctypes.CDLL(_DRIVER)
    device, text = ctypes.c_int(), ctypes.create_string_buffer(_BUS_ID_BYTES)
    calls = (
        ("cuInit", ctypes.c_uint(0)),
        ("cuDeviceGet", ctypes.pointer(device), ctypes.c_int(ordinal)),
        ("cuDeviceGetPCIBusId", text, ctypes.c_int(_BUS_ID_BYTES), device),
    )
    for name, *arguments in calls:
        if status := getattr(driver, name)(*arguments):
            raise OSError(None, f"{name} failed with {status}")
    return text.value.decode("ascii")

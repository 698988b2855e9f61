"""What the driver says that this process holds on a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Any, Literal

from .nvml import NvmlMemory

_DRIVER = "libcuda.so.1"
_BUS_ID_BYTES = 32
_GRAPH_RESERVED = 2  # CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT

Method = Literal["process", "device"]


class CudaDriver:
    """The functions of CUDA's driver that are needed here; none of them makes a context.

    Args:
        library: what `ctypes.CDLL` gives, or what has the same functions.

    Raises:
        OSError: there is no driver, or no GPU.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library if library is not None else ctypes.CDLL(_DRIVER)
        self._call("cuInit", ctypes.c_uint(0))

    def device(self, ordinal: int) -> ctypes.c_int:
        """A GPU as CUDA counts them in this process."""
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.pointer(device), ctypes.c_int(ordinal))
        return device

    def bus_id(self, device: ctypes.c_int) -> str:
        """Its place on the PCI bus: the management library counts GPUs in another order."""
        text = ctypes.create_string_buffer(_BUS_ID_BYTES)
        self._call("cuDeviceGetPCIBusId", text, ctypes.c_int(_BUS_ID_BYTES), device)
        return text.value.decode("ascii")

    def graph_bytes(self, device: ctypes.c_int) -> int:
        """What nodes of CUDA graphs that allocate have reserved in this process."""
        value = ctypes.c_uint64()
        attribute = ctypes.c_int(_GRAPH_RESERVED)
        self._call("cuDeviceGetGraphMemAttribute", device, attribute, ctypes.pointer(value))
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name, None)
        if function is None:
            raise OSError(None, f"this driver has no {name}")
        if status := function(*arguments):
            raise OSError(None, f"{name} failed with {status}")


class GpuMemory:
    """One GPU. Made before this process uses it, and asked when it does.

    Args:
        ordinal: its number as CUDA counts them in this process.

    Raises:
        OSError: driver or management library do not know it.
    """

    def __init__(self, ordinal: int, driver: CudaDriver, nvml: NvmlMemory) -> None:
        self._driver, self._nvml = driver, nvml
        self._cuda_device = driver.device(ordinal)
        self._device = nvml.device(driver.bus_id(self._cuda_device))
        self._used_before = nvml.used_bytes(self._device)
        self._method: Method | None = None

    @property
    def method(self) -> Method | None:
        """How `held_bytes` knows: from the driver's figure of this `process`, or by how much more
        is in use on the whole `device` than before, which counts other processes as well. None
        before it was asked."""
        return self._method

    def held_bytes(self) -> int:
        """What this process holds. It must use the GPU by now: the first answer decides how it is
        asked from then on. Raises OSError."""
        if self._method != "device":
            own: int | None = None
            with contextlib.suppress(OSError):
                own = self._nvml.process_bytes(self._device, os.getpid())
            if own is not None:
                self._method = "process"
                return own
            if self._method == "process":
                raise OSError(None, "the driver no longer tells what this process holds")
            self._method = "device"
        return self._nvml.used_bytes(self._device) - self._used_before

    def graph_bytes(self) -> int | None:
        """What CUDA graphs have allocated; None where the driver does not tell."""
        try:
            return self._driver.graph_bytes(self._cuda_device)
        except OSError:
            return None

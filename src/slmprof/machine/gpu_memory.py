"""What the driver says that this process holds on a GPU."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

from .cuda_driver import CudaDriver
from .nvml import NvmlMemory

Method = Literal["process", "device"]


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

    def close(self) -> None:
        """Gives the management library back, which counts how often it was begun."""
        self._nvml.close()

    def graph_bytes(self) -> int | None:
        """What CUDA graphs have allocated; None where the driver does not tell."""
        try:
            return self._driver.graph_bytes(self._cuda_device)
        except OSError:
            return None

"""What the driver says that this process holds on a GPU."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

from .cuda_driver import CudaDriver
from .nvml import NvmlMemory

Method = Literal["process", "device"]

# That of the machine itself, whose numbers the driver tells (PROC_PID_INIT_INO of the kernel).
_FIRST_NAMESPACE = "pid:[4026531836]"


def has_first_numbers(link: Path = Path("/proc/self/ns/pid")) -> bool:
    """Whether this process has the number that the machine's other processes know it by; within a
    container it need not."""
    try:
        return str(link.readlink()) == _FIRST_NAMESPACE
    except OSError:
        return False


class GpuMemory:
    """One GPU. Made before this process uses it, and asked when it does.

    Args:
        ordinal: its number as CUDA counts them in this process.
        is_known: whether the driver can only mean this process by its number.

    Raises:
        OSError: driver or management library do not know it.
    """

    def __init__(
        self, ordinal: int, driver: CudaDriver, nvml: NvmlMemory, *, is_known: bool = True
    ) -> None:
        self._driver, self._nvml = driver, nvml
        self._cuda_device = driver.device(ordinal)
        self._device = nvml.device(driver.bus_id(self._cuda_device))
        self._used_before = nvml.used_bytes(self._device)
        self._method: Method | None = None
        # What uses the GPU under our number before we do is another process of that number.
        if not is_known and self._own_bytes() is not None:
            self._method = "device"

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
            own = self._own_bytes()
            if own is not None:
                self._method = "process"
                return own
            if self._method == "process":
                raise OSError(None, "the driver no longer tells what this process holds")
            self._method = "device"
        return self._nvml.used_bytes(self._device) - self._used_before

    def _own_bytes(self) -> int | None:
        with contextlib.suppress(OSError):
            return self._nvml.process_bytes(self._device, os.getpid())
        return None

    def close(self) -> None:
        """Gives the management library back, which counts how often it was begun."""
        self._nvml.close()

    def graph_bytes(self) -> int | None:
        """What CUDA graphs have allocated; None where the driver does not tell."""
        try:
            return self._driver.graph_bytes(self._cuda_device)
        except OSError:
            return None

"""NVIDIA's management library, which comes with the driver, and what it tells of memory on a GPU.

The library is loaded when a run needs it; the functions are called as `nvml.h` declares them.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

_LIBRARY = "libnvidia-ml.so.1"
_INSUFFICIENT_SIZE = 7
_NOT_AVAILABLE = 2**64 - 1
_MOST_PROCESSES = 1 << 16


class _Process(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used_bytes", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class _Memory(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint),
        ("total_bytes", ctypes.c_ulonglong),
        ("reserved_bytes", ctypes.c_ulonglong),
        ("free_bytes", ctypes.c_ulonglong),
        ("used_bytes", ctypes.c_ulonglong),
    )


class NvmlError(OSError):
    """A call that failed; `status` is what it returned."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(None, text)
        self.status = status


class Nvml:
    """The library, loaded and begun.

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
    def load(cls) -> Self:
        """The system's own. Raises OSError where there is none."""
        return cls(ctypes.CDLL(_LIBRARY))

    def device(self, bus_id: str) -> ctypes.c_void_p:
        """A GPU by its place on the PCI bus."""
        handle = ctypes.c_void_p()
        text = ctypes.c_char_p(bus_id.encode("ascii"))
        self._call("nvmlDeviceGetHandleByPciBusId_v2", text, ctypes.pointer(handle))
        return handle

    def close(self) -> None:
        """Gives the library back."""
        self._library.nvmlShutdown()

    def _has(self, name: str) -> bool:
        return hasattr(self._library, name)

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name, None)
        if function is None:
            raise NvmlError(-1, f"this driver has no {name}")
        if status := function(*arguments):
            text = self._library.nvmlErrorString(ctypes.c_int(status)) or b"unknown error"
            raise NvmlError(int(status), f"{name}: {text.decode('utf-8', 'replace')}")


class NvmlMemory(Nvml):
    """What it tells of memory."""

    def process_bytes(self, device: ctypes.c_void_p, pid: int) -> int | None:
        """What a process holds on the GPU.

        None where the driver does not tell: within a container it may know the process by another
        number, and some systems tell of no process.
        """
        n_room = 64
        while n_room <= _MOST_PROCESSES:
            count, found = ctypes.c_uint(n_room), (_Process * n_room)()
            try:
                self._call(
                    "nvmlDeviceGetComputeRunningProcesses_v3",
                    device,
                    ctypes.pointer(count),
                    ctypes.cast(found, ctypes.c_void_p),
                )
            except NvmlError as error:
                if error.status != _INSUFFICIENT_SIZE:
                    raise
                n_room *= 4
                continue
            told = [int(p.used_bytes) for p in found[: count.value] if p.pid == pid]
            known = [size for size in told if size != _NOT_AVAILABLE]
            return sum(known) if known else None
        return None

    def used_bytes(self, device: ctypes.c_void_p) -> int:
        """What all processes hold on the GPU, without what the driver keeps for itself."""
        memory = _Memory(version=ctypes.sizeof(_Memory) | 2 << 24)
        self._call("nvmlDeviceGetMemoryInfo_v2", device, ctypes.pointer(memory))
        return int(memory.used_bytes)

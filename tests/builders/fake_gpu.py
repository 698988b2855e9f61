"""NVIDIA's two libraries as far as memory goes, played by an object."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

NOT_AVAILABLE = 2**64 - 1
INSUFFICIENT_SIZE, NOT_SUPPORTED = 7, 3
# The libraries' functions, and what plays them.
FUNCTIONS = {
    "nvmlInit_v2": "_init_nvml",
    "nvmlShutdown": "_shut_down",
    "nvmlErrorString": "_error_text",
    "nvmlDeviceGetHandleByPciBusId_v2": "_find_by_bus",
    "nvmlDeviceGetComputeRunningProcesses_v3": "_list_processes",
    "nvmlDeviceGetMemoryInfo_v2": "_tell_memory",
    "cuInit": "_init_driver",
    "cuDeviceGetCount": "_count",
    "cuDeviceGet": "_find_by_number",
    "cuDeviceGetPCIBusId": "_tell_bus",
    "cuDeviceGetGraphMemAttribute": "_tell_graphs",
}


class Function:
    """A function of a library, whose result type may be set."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)


@dataclass
class FakeGpu:
    """One GPU in slot 65 that is number 3 of CUDA's.

    Attributes:
        processes: what the driver tells of each, by its number.
        used_bytes: what all of them hold together.
    """

    processes: dict[int, int] = field(default_factory=dict)
    used_bytes: int = 0
    graph_bytes: int = 0
    tells_processes: bool = True
    fails: bool = False
    missing: tuple[str, ...] = ()
    calls: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Function:
        if name not in FUNCTIONS or name in self.missing:
            raise AttributeError(name)

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            return getattr(self, FUNCTIONS[name])(*arguments)

        return Function(call)

    def _init_nvml(self) -> int:
        return 9 if self.fails else 0

    def _shut_down(self) -> int:
        return 0

    def _error_text(self, status: Any) -> bytes:
        return {9: b"Driver Not Loaded", 3: b"Not Supported"}.get(status.value, b"Other")

    def _find_by_bus(self, text: Any, handle: Any) -> int:
        handle.contents.value = 77
        return 0 if text.value == b"0000:65:00.0" else NOT_SUPPORTED

    def _list_processes(self, device: Any, count: Any, found: Any) -> int:
        assert device.value == 77
        if not self.tells_processes:
            return NOT_SUPPORTED
        n_room, count.contents.value = count.contents.value, len(self.processes)
        if n_room < len(self.processes):
            return INSUFFICIENT_SIZE
        # As nvml.h lays it out: pid, 4 bytes of padding, bytes, two instances.
        rows = ctypes.cast(found, ctypes.POINTER(ctypes.c_uint64))
        for number, (pid, size) in enumerate(self.processes.items()):
            rows[3 * number], rows[3 * number + 1], rows[3 * number + 2] = pid, size, 0
        return 0

    def _tell_memory(self, device: Any, memory: Any) -> int:
        del device
        told = memory.contents
        assert told.version == ctypes.sizeof(told) | 2 << 24 == 40 | 2 << 24
        told.used_bytes = self.used_bytes
        return 0

    def _init_driver(self, flags: Any) -> int:
        assert flags.value == 0
        return 100 if self.fails else 0

    def _count(self, count: Any) -> int:
        count.contents.value = 4
        return 0

    def _find_by_number(self, device: Any, ordinal: Any) -> int:
        device.contents.value = 5
        return 0 if ordinal.value == 3 else 101

    def _tell_bus(self, text: Any, length: Any, device: Any) -> int:
        assert length.value == len(text) and device.value == 5
        text.value = b"0000:65:00.0"
        return 0

    def _tell_graphs(self, device: Any, attribute: Any, value: Any) -> int:
        assert (device.value, attribute.value) == (5, 2)
        value.contents.value = self.graph_bytes
        return 0

"""CUDA's driver, as far as it is asked without a context."""

from __future__ import annotations

import ctypes
from typing import Any

_DRIVER = "libcuda.so.1"
_BUS_ID_BYTES = 32
_GRAPH_RESERVED = 2  # CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT


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

    def n_devices(self) -> int:
        """How many GPUs this process sees."""
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.pointer(count))
        return count.value

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

"""Where a model runs: the names of `--device`, and what each means to llama.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .kinds import Kind


@dataclass(frozen=True)
class Device:
    """What llama.cpp is told of a device.

    Attributes:
        devices: ggml's names of the devices beside the CPU that get layers.
        n_gpu_layers: how many layers they get.
    """

    devices: tuple[str, ...]
    n_gpu_layers: int


CPU = "cpu"
_KNOWN: dict[str, Device] = {CPU: Device(devices=(), n_gpu_layers=0)}


def find_device(name: str) -> Device:
    """The device of a name. Raises ValueError for one that this build cannot measure on."""
    if name not in _KNOWN:
        raise ValueError(f"this build has no device {name!r}; it measures on {', '.join(_KNOWN)}")
    return _KNOWN[name]


def is_host(device: str) -> bool:
    """Whether what lies on a device of ggml's name lies in the memory of the process."""
    return device.upper().startswith("CPU")


def is_mapped(buffer_type: str) -> bool:
    """Whether a buffer of ggml's type maps a file."""
    return "Mapped" in buffer_type


def is_repacked(buffer_type: str) -> bool:
    """Whether a buffer of ggml's type holds weights in another layout than the file's."""
    return "REPACK" in buffer_type.upper()


class DeviceName(Kind):
    """The kind of values of `--device`."""

    metavar = "DEVICE"

    def check(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not the name of a device")
        find_device(value)
        return value

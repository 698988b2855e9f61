"""Where a model runs: the names of `--device`, and what ggml's names of devices and buffers say."""

from __future__ import annotations

import re
from typing import Any

from .kinds import Kind, is_real, read_number, shown

CPU = "cpu"
REMOTE = "rpc:"
# ggml's own switch, which a user may have set.
NO_CUDA_GRAPHS = "GGML_CUDA_DISABLE_GRAPHS"
# A device that plans alone know: planned:cuda on a machine that has none.
PLANNED = "planned:"
# llama.cpp has a fourth, by tensors, whose device of devices cannot be observed.
SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}
_CUDA = re.compile(r"cuda(?::(\d{1,4}))?", re.ASCII | re.IGNORECASE)
_NATIVE_CUDA = re.compile(r"CUDA(\d{1,4})", re.ASCII)


def native_devices(names: str) -> list[str]:
    """What the native part finds devices beside the CPU by."""
    return [_native(name) for name in split_names(names) if name.lower() != CPU]


def split_names(names: str) -> list[str]:
    """The names of a list by commas."""
    return [name.strip() for name in names.split(",")]


def _native(name: str) -> str:
    prefix = PLANNED if is_planned(name) else ""
    found = _CUDA.fullmatch(name.removeprefix(prefix))
    return f"{prefix}CUDA{int(found[1] or 0)}" if found else name


def is_planned(name: str) -> bool:
    """Whether a name of `--device`, or of ggml's, is one of a device that plans alone know."""
    return name.startswith(PLANNED)


def cuda_index(name: str) -> int | None:
    """The number of the CUDA device that a name of `--device` or of ggml's means; None where it
    means another kind of device."""
    found = _CUDA.fullmatch(name) or _NATIVE_CUDA.fullmatch(name)
    return int(found[1] or 0) if found else None


def is_host(device: str) -> bool:
    """Whether what lies on a device of ggml's name lies in the memory of the process."""
    return device.upper().startswith("CPU")


def is_mapped(buffer_type: str) -> bool:
    """Whether a buffer of ggml's type maps a file."""
    return "Mapped" in buffer_type


def is_repacked(buffer_type: str) -> bool:
    """Whether a buffer of ggml's type holds weights in another layout than the file's."""
    return "REPACK" in buffer_type.upper()


class DeviceNames(Kind):
    """The values of `--device`: what a build has is for the native part to say."""

    metavar = "DEVICE,..."

    def check(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} is not the name of a device")
        names = split_names(value)
        for name in names:
            if not name:
                raise ValueError(f"{shown(value)} has an empty item in its list")
            if not name.isprintable():
                raise ValueError(f"{shown(name)} is not the name of a device")
            if is_planned(name) and _CUDA.fullmatch(name.removeprefix(PLANNED)) is None:
                raise ValueError(f"{name[:60]!r} is not {PLANNED}cuda or {PLANNED}cuda:N")
            server = name.removeprefix(REMOTE)
            found = re.fullmatch(r"[^:]{1,253}:(\d{1,5})", server, re.ASCII)
            if server != name and (found is None or not 0 < int(found[1]) < 65536):
                raise ValueError(f"{name[:60]!r} is not {REMOTE}HOST:PORT")
        if len(names) > 1 and CPU in map(str.lower, names):
            raise ValueError(f"{CPU} is always there, and means no other device: name it alone")
        known = [_native(name).lower() for name in names]
        for number, name in enumerate(known):
            if name in known[:number]:
                raise ValueError(f"{names[number][:60]!r} names a device twice")
        return value


class Proportions(Kind):
    """How much of a model each of several devices gets."""

    metavar = "N,N,..."

    def read(self, text: str) -> Any:
        try:
            return tuple(read_number(part) for part in re.split("[,/]", text))
        except ValueError:
            raise ValueError(f"{shown(text)} is not a list of numbers") from None

    def check(self, value: Any) -> Any:
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        for part in values:
            if not is_real(part) or not 0 <= part < 1e30:
                raise ValueError(f"{shown(part)} is not a proportion")
        if values and not any(values):
            raise ValueError("no device gets anything")
        return values

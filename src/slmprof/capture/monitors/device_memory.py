"""What GPUs hold beside llama.cpp's buffers, and what their driver says of it all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...machine.cuda_driver import CudaDriver
from ...machine.gpu_memory import GpuMemory, has_first_numbers
from ...machine.nvml import NvmlMemory
from ...profiles.records.device_memory import DeviceMemory
from ...profiles.records.meta import Meta
from .protocol import Monitor, Point

if TYPE_CHECKING:
    from ... import _core

_NAME = re.compile(r"CUDA(\d+)", re.ASCII)

OpenGpus = Callable[[Sequence[int]], Mapping[int, GpuMemory]]


def open_gpus(ordinals: Sequence[int]) -> dict[int, GpuMemory]:
    """The driver's figures of these GPUs. Raises OSError where it has none."""
    driver, is_known = CudaDriver(), has_first_numbers()
    return {
        ordinal: GpuMemory(ordinal, driver, NvmlMemory.load(), is_known=is_known)
        for ordinal in ordinals
    }


class DeviceMemoryMonitor(Monitor):
    """Made before anything of a run is on a GPU.

    Args:
        devices: ggml's names of the devices beside the CPU; those that are not CUDA's are left out.
    """

    def __init__(self, devices: Sequence[str], open_gpus: OpenGpus = open_gpus) -> None:
        found = {name: _NAME.fullmatch(name) for name in devices}
        self._ordinals = {name: int(match[1]) for name, match in found.items() if match}
        self._gpus: Mapping[int, GpuMemory] = {}
        self._seen = {name: DeviceMemory(device=name) for name in self._ordinals}
        if not self._ordinals:
            return
        try:
            self._gpus = open_gpus(list(self._ordinals.values()))
        except OSError as error:
            for name in self._seen:
                self._tell(name, note=_not_known(error))

    def end(self) -> None:
        """Gives the driver's libraries back."""
        for gpu in self._gpus.values():
            gpu.close()
        self._gpus = {}

    def note_contexts(self) -> None:
        """CUDA's contexts are there, and nothing of a model."""
        for name, ordinal in self._ordinals.items():
            if ordinal in self._gpus:
                self._ask(name, self._gpus[ordinal], "context_bytes")

    def begin(self, engine: _core.Engine) -> None:
        """Looks when model and context are there."""
        self._look(engine)

    def reach(self, point: Point, engine: _core.Engine) -> None:
        """Looks where the memory of the process is looked at."""
        if point in ("prefill", "decode", "end"):
            self._look(engine)

    def describe(self, meta: Meta) -> Meta:
        """Adds to `memory`, which is filled by now."""
        told = tuple(seen for seen in self._seen.values() if seen.tells)
        return meta.replace(memory=meta.memory.replace(devices=told)) if told else meta

    def _look(self, engine: _core.Engine) -> None:
        if not self._ordinals:
            return
        pools = {use["device"]: use for use in engine.pools()}
        for name, ordinal in self._ordinals.items():
            if ordinal in pools:
                self._tell(name, **_of_pools(pools[ordinal]))
            if ordinal in self._gpus:
                gpu = self._gpus[ordinal]
                self._ask(name, gpu, "driver_bytes")
                self._tell(name, method=gpu.method, graph_bytes=gpu.graph_bytes())

    def _ask(self, name: str, gpu: GpuMemory, field: str) -> None:
        try:
            self._tell(name, **{field: gpu.held_bytes()})
        except OSError as error:
            # An older figure would not go with what is allocated now.
            self._tell(name, **{field: None}, note=_not_known(error))

    def _tell(self, name: str, **values: Any) -> None:
        self._seen[name] = self._seen[name].replace(**values)


def _of_pools(use: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pool_bytes": use["reserved_bytes"],
        "most_pool_bytes": use["most_reserved_bytes"],
        "most_used_pool_bytes": use["most_used_bytes"],
        "pool_op": use["op"] or None,
        "pool_tensor": use["tensor"] or None,
        "workspace_bytes": use["workspace_bytes"],
    }


def _not_known(error: OSError) -> str:
    return f"the driver's own figure is not known: {error.strerror or error}"

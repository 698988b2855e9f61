"""What a run says of its GPUs' memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from fake_gpu import FakeGpu

from slmprof.capture.monitors.device_memory import DeviceMemoryMonitor
from slmprof.machine.cuda_driver import CudaDriver
from slmprof.machine.gpu_memory import GpuMemory
from slmprof.machine.nvml import NvmlMemory
from slmprof.profiles.records.device_memory import DeviceMemory
from slmprof.profiles.records.meta import Meta

MIB = 1 << 20
POOL = {
    "device": 3, "reserved_bytes": 6 * MIB, "most_reserved_bytes": 8 * MIB, "used_bytes": 0,
    "most_used_bytes": 5 * MIB, "op": "MUL_MAT", "tensor": "ffn_down-3", "workspace_bytes": 4 * MIB,
}  # fmt: skip


class FakeEngine:
    """An engine with pools; with each look more is held on the GPU."""

    def __init__(self, fake: FakeGpu, pools: Sequence[dict[str, Any]] = (POOL,)) -> None:
        self._fake, self._pools = fake, list(pools)

    def pools(self) -> list[dict[str, Any]]:
        self._fake.processes[os.getpid()] = self._fake.processes.get(os.getpid(), 0) + MIB
        return self._pools


def monitor_of(fake: FakeGpu, *devices: str) -> DeviceMemoryMonitor:
    def open_gpus(ordinals: Sequence[int]) -> dict[int, GpuMemory]:
        driver, nvml = CudaDriver(fake), NvmlMemory(fake)
        return {ordinal: GpuMemory(ordinal, driver, nvml) for ordinal in ordinals}

    return DeviceMemoryMonitor(devices, open_gpus)


def run(monitor: DeviceMemoryMonitor, engine: Any) -> Meta:
    monitor.begin(engine)
    for point in ("prefill", "decode", "warm-up", "repeat", "end"):
        monitor.reach(point, engine)  # type: ignore[arg-type]
    return monitor.describe(Meta())


def test_context_pools_and_the_drivers_figure_are_told() -> None:
    fake = FakeGpu(graph_bytes=3)
    monitor = monitor_of(fake, "RPC0", "CUDA3")
    fake.processes[os.getpid()] = 90 * MIB
    monitor.note_contexts()
    (told,) = run(monitor, FakeEngine(fake)).memory.told_devices
    assert told == DeviceMemory(
        device="CUDA3",
        context_bytes=90 * MIB,
        driver_bytes=94 * MIB,  # as it was at the end, of four looks
        method="process",
        pool_bytes=6 * MIB,
        most_pool_bytes=8 * MIB,
        most_used_pool_bytes=5 * MIB,
        pool_op="MUL_MAT",
        pool_tensor="ffn_down-3",
        workspace_bytes=4 * MIB,
        graph_bytes=3,
    )
    meta = run(monitor, FakeEngine(fake))
    assert Meta.from_json(meta.to_json()).memory.devices == meta.memory.devices


def test_without_a_gpu_nothing_is_asked_and_nothing_is_told() -> None:
    fake = FakeGpu(fails=True)
    meta = run(monitor_of(fake, "RPC0[10.0.0.1:50052]", "CPU"), None)
    assert fake.calls == []
    assert meta.to_json() == Meta().to_json()
    assert "devices" not in meta.to_json()["memory"]


def test_without_a_library_pools_are_told_and_what_is_not_known() -> None:
    fake = FakeGpu(fails=True)
    monitor = monitor_of(fake, "CUDA3")
    monitor.note_contexts()
    (told,) = run(monitor, FakeEngine(fake)).memory.told_devices
    assert told.driver_bytes is None
    assert told.pool_bytes == 6 * MIB
    assert told.note is not None and "is not known: cuInit failed with 100" in told.note


def test_the_systems_own_library_is_named_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("slmprof.machine.cuda_driver._DRIVER", "libno-such-driver.so.1")
    (told,) = run(DeviceMemoryMonitor(["CUDA0"]), FakeEngine(FakeGpu(), ())).memory.told_devices
    assert told.note is not None and "libno-such-driver.so.1" in told.note
    assert told.driver_bytes is None


def test_a_figure_that_is_no_longer_told_is_not_kept() -> None:
    fake = FakeGpu({os.getpid(): 90 * MIB})
    monitor = monitor_of(fake, "CUDA3")
    monitor.note_contexts()
    fake.processes.clear()

    class Engine:
        def pools(self) -> list[dict[str, Any]]:
            return []

    (told,) = run(monitor, Engine()).memory.told_devices
    assert (told.driver_bytes, told.context_bytes) == (None, 90 * MIB)
    assert told.note is not None

"""What the driver tells of a GPU's memory, and what is said where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_gpu import NOT_AVAILABLE, FakeGpu

from slmprof.machine.cuda_driver import CudaDriver
from slmprof.machine.gpu_memory import GpuMemory, has_first_numbers
from slmprof.machine.nvml import NvmlError, NvmlMemory

MIB = 1 << 20


def open_gpu(fake: FakeGpu) -> GpuMemory:
    return GpuMemory(3, CudaDriver(fake), NvmlMemory(fake))


def test_the_driver_counts_the_gpus_of_this_process() -> None:
    assert CudaDriver(FakeGpu()).n_devices() == 4


def test_the_drivers_figure_of_this_process_is_taken() -> None:
    fake = FakeGpu({1: 9 * MIB}, used_bytes=100 * MIB)
    gpu = open_gpu(fake)
    assert gpu.method is None
    fake.processes[os.getpid()] = 300 * MIB
    fake.used_bytes = 999 * MIB
    assert gpu.held_bytes() == 300 * MIB
    assert gpu.method == "process"


def test_there_may_be_many_processes() -> None:
    fake = FakeGpu()
    nvml = NvmlMemory(fake)
    fake.processes = dict.fromkeys(range(1, 100), MIB)  # more than there is room for at first
    assert nvml.process_bytes(nvml.device("0000:65:00.0"), 42) == MIB
    assert fake.calls.count("nvmlDeviceGetComputeRunningProcesses_v3") == 2


@pytest.mark.parametrize("how", ["absent", "unknown", "unsupported", "old driver"])
def test_where_the_driver_does_not_tell_it_is_what_came_into_use_since(how: str) -> None:
    fake = FakeGpu(used_bytes=100 * MIB)
    if how == "unknown":
        fake.processes = {os.getpid(): NOT_AVAILABLE}
    fake.tells_processes = how != "unsupported"
    if how == "old driver":
        fake.missing = ("nvmlDeviceGetComputeRunningProcesses_v3",)
    gpu = open_gpu(fake)
    fake.used_bytes = 140 * MIB
    assert gpu.held_bytes() == 40 * MIB
    assert gpu.method == "device"
    # What another process gave back meanwhile makes it less.
    fake.used_bytes = 90 * MIB
    assert gpu.held_bytes() == -10 * MIB


def test_another_process_of_the_same_number_is_not_taken_for_this_one() -> None:
    # In a container: the machine's own process of that number uses the GPU already.
    fake = FakeGpu({os.getpid(): 900 * MIB}, used_bytes=900 * MIB)
    nvml, driver = NvmlMemory(fake), CudaDriver(fake)
    contained, outside = (GpuMemory(3, driver, nvml, is_known=known) for known in (False, True))
    fake.used_bytes = 930 * MIB
    assert contained.held_bytes() == 30 * MIB and contained.method == "device"
    assert outside.held_bytes() == 900 * MIB  # it had a context before
    # One that is not there before is this one.
    fake.processes = {}
    late = GpuMemory(3, driver, nvml, is_known=False)
    fake.processes = {os.getpid(): 5 * MIB}
    assert late.held_bytes() == 5 * MIB and late.method == "process"


def test_whether_numbers_are_those_of_the_machine(tmp_path: Path) -> None:
    link = tmp_path / "pid"
    assert not has_first_numbers(link)
    link.symlink_to("pid:[4026532201]")
    assert not has_first_numbers(link)
    link.unlink()
    link.symlink_to("pid:[4026531836]")
    assert has_first_numbers(link)


def test_one_way_of_asking_is_kept() -> None:
    fake = FakeGpu(used_bytes=100 * MIB)
    gpu = open_gpu(fake)
    assert gpu.held_bytes() == 0
    fake.processes = {os.getpid(): 7 * MIB}
    assert gpu.held_bytes() == 0
    assert gpu.method == "device"
    other = open_gpu(fake)
    assert other.held_bytes() == 7 * MIB
    fake.processes = {}
    with pytest.raises(OSError, match="no longer"):
        other.held_bytes()


def test_graphs_tell_what_they_have_allocated() -> None:
    assert open_gpu(FakeGpu(graph_bytes=5)).graph_bytes() == 5
    assert open_gpu(FakeGpu(missing=("cuDeviceGetGraphMemAttribute",))).graph_bytes() is None


def test_a_driver_that_does_not_work_says_why() -> None:
    with pytest.raises(NvmlError, match="nvmlInit_v2: Driver Not Loaded"):
        NvmlMemory(FakeGpu(fails=True))
    with pytest.raises(OSError, match="cuInit failed with 100"):
        CudaDriver(FakeGpu(fails=True))
    with pytest.raises(OSError, match="cuDeviceGet failed with 101"):
        CudaDriver(FakeGpu()).device(0)
    with pytest.raises(NvmlError, match="no nvmlDeviceGetMemoryInfo_v2"):
        open_gpu(FakeGpu(missing=("nvmlDeviceGetMemoryInfo_v2",)))

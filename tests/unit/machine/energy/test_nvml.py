"""NVML with other functions in its place: Python's, and those of a small library."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slmprof.machine.energy.find import find_counters
from slmprof.machine.energy.nvml import GpuCounter, NvmlEnergy, cuda_bus_id
from slmprof.machine.nvml import NvmlError

BUS_ID = "00000000:65:00.0"
NOT_SUPPORTED = 3
LIBRARY = """
#include <stdio.h>
#include <string.h>
typedef void * device;
static int gpu;
static unsigned long long energy_mj = 5000000000ULL;
struct utilization { unsigned gpu, memory; };
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char * nvmlErrorString(int status) { return status == 6 ? "Not Found" : "other"; }
int nvmlDeviceGetHandleByPciBusId_v2(const char * id, device * found) {
    *found = &gpu;
    return strcmp(id, "00000000:65:00.0") ? 6 : 0;
}
int nvmlDeviceGetName(device d, char * name, unsigned size) {
    snprintf(name, size, "A GPU");
    return d != &gpu;
}
int nvmlDeviceGetTotalEnergyConsumption(device d, unsigned long long * value) {
    *value = energy_mj += 7;
    return d != &gpu;
}
int nvmlDeviceGetClockInfo(device d, int kind, unsigned * mhz) {
    *mhz = 1980;
    return d != &gpu || kind;
}
int nvmlDeviceGetCurrentClocksEventReasons(device d, unsigned long long * bits) {
    *bits = 0x24;
    return d != &gpu;
}
int nvmlDeviceGetUtilizationRates(device d, struct utilization * value) {
    value->gpu = 40;
    value->memory = 90;
    return d != &gpu;
}
int cuInit(unsigned flags) { return (int) flags; }
int cuDeviceGet(int * found, int ordinal) { *found = ordinal + 10; return ordinal > 1; }
int cuDeviceGetPCIBusId(char * text, int size, int d) {
    snprintf(text, size, "00000000:65:00.%d", d - 10);
    return 0;
}
"""


def fake_library(**changes: Callable[..., int]) -> Any:
    """The library's functions in Python; None takes one away."""
    fake = SimpleNamespace(energy_mj=1000, bits=0, is_open=False)

    def start() -> int:
        fake.is_open = True
        return 0

    def stop() -> int:
        fake.is_open = False
        return 0

    def device(text: ctypes.c_char_p, found: Any) -> int:
        found.contents.value = 77
        return 0 if text.value == BUS_ID.encode() else 6

    def name(_: Any, text: Any, size: ctypes.c_uint) -> int:
        text.value = b"A GPU"
        return 0 if size.value >= len(text) else 7

    def energy(_: Any, found: Any) -> int:
        fake.energy_mj += 5
        found.contents.value = fake.energy_mj
        return 0

    def clock(_: Any, kind: ctypes.c_int, found: Any) -> int:
        found.contents.value = 1500
        return kind.value

    def reasons(_: Any, found: Any) -> int:
        found.contents.value = fake.bits
        return 0

    def use(_: Any, found: Any) -> int:
        found.contents.gpu = 100
        return 0

    functions: dict[str, Any] = {
        "nvmlInit_v2": start,
        "nvmlShutdown": stop,
        "nvmlErrorString": lambda status: f"error {status.value}".encode(),
        "nvmlDeviceGetHandleByPciBusId_v2": device,
        "nvmlDeviceGetName": name,
        "nvmlDeviceGetTotalEnergyConsumption": energy,
        "nvmlDeviceGetClockInfo": clock,
        "nvmlDeviceGetCurrentClocksEventReasons": reasons,
        "nvmlDeviceGetUtilizationRates": use,
        **changes,
    }
    for key, function in functions.items():
        if function is not None:
            setattr(fake, key, function)
    return fake


def unsupported(*_: Any) -> int:
    return NOT_SUPPORTED


def test_a_gpu_tells_energy_in_thousands_of_microjoules() -> None:
    counter = GpuCounter(NvmlEnergy(fake_library()), "CUDA0", BUS_ID)
    assert counter.read_uj() == (1_010_000,)
    assert counter.read_uj() == (1_015_000,)
    assert counter.source.to_json() == {
        "name": "CUDA0", "counter": "NVML", "parts": [f"A GPU at {BUS_ID}"]
    }  # fmt: skip
    state = counter.state()
    assert (state.clock_mhz, state.busy_share) == (1500, 1.0)


def test_only_what_protects_the_hardware_is_throttling() -> None:
    fake = fake_library()
    counter = GpuCounter(NvmlEnergy(fake), "CUDA0", BUS_ID)
    told = []
    for bits in (0x001, 0x004, 0x020, 0x088):
        fake.bits = bits
        state = counter.state()
        told.append((state.clock_reasons, state.n_throttles))
    assert told == [
        (("gpu_idle",), 0),
        (("sw_power_cap",), 0),
        (("sw_thermal_slowdown",), 1),
        (("hw_slowdown", "hw_power_brake_slowdown"), 2),
    ]


def test_older_drivers_call_the_reasons_otherwise() -> None:
    def older(_: Any, found: Any) -> int:
        found.contents.value = 0x40
        return 0

    changes: dict[str, Any] = {
        "nvmlDeviceGetCurrentClocksEventReasons": None,
        "nvmlDeviceGetCurrentClocksThrottleReasons": older,
    }
    counter = GpuCounter(NvmlEnergy(fake_library(**changes)), "CUDA0", BUS_ID)
    assert counter.state().clock_reasons == ("hw_thermal_slowdown",)


def test_what_a_gpu_does_not_tell_is_not_known() -> None:
    changes: dict[str, Any] = {
        "nvmlDeviceGetCurrentClocksEventReasons": None,
        "nvmlDeviceGetClockInfo": unsupported,
        "nvmlDeviceGetUtilizationRates": unsupported,
    }
    state = GpuCounter(NvmlEnergy(fake_library(**changes)), "CUDA0", BUS_ID).state()
    assert (state.clock_mhz, state.n_throttles, state.busy_share) == (None, None, None)


def test_a_gpu_without_a_counter_is_refused(tmp_path: Path) -> None:
    fake = fake_library(nvmlDeviceGetTotalEnergyConsumption=unsupported)
    found = find_counters(["CUDA0"], tmp_path, lambda: NvmlEnergy(fake), lambda _: BUS_ID)
    refusal = found.refusals[-1]
    assert (refusal.reason, refusal.source) == ("not_readable", "CUDA0")
    assert refusal.detail == "nvmlDeviceGetTotalEnergyConsumption: error 3"
    assert fake.is_open
    found.close()
    assert not fake.is_open


def test_a_system_without_the_library_is_refused(tmp_path: Path) -> None:
    def missing() -> NvmlEnergy:
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    found = find_counters(["CUDA1"], tmp_path, missing, lambda _: BUS_ID)
    refusal = found.refusals[-1]
    assert (refusal.reason, refusal.source) == ("no_counter", "CUDA1")
    assert "libnvidia-ml.so.1" in refusal.detail


def test_a_driver_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    fake = fake_library(nvmlInit_v2=lambda: 9)
    found = find_counters(["CUDA0"], tmp_path, lambda: NvmlEnergy(fake), lambda _: BUS_ID)
    assert found.refusals[-1].detail == "nvmlInit_v2: error 9"
    found.close()


def test_the_library_is_opened_once_for_all_gpus(tmp_path: Path) -> None:
    made: list[NvmlEnergy] = []

    def load() -> NvmlEnergy:
        made.append(NvmlEnergy(fake_library()))
        return made[-1]

    found = find_counters(["CUDA0", "CUDA1"], tmp_path, load, lambda _: BUS_ID)
    assert [one.source.name for one in found.counters] == ["CUDA0", "CUDA1"]
    assert len(made) == 1


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """A library with the functions as `nvml.h` and `cuda.h` declare them."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "fake.c").write_text(LIBRARY)
    target = folder / "libfake.so"
    command = [compiler, "-shared", "-fPIC", "-o", str(target), str(folder / "fake.c")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(target))


def test_functions_are_called_as_c_declares_them(compiled: ctypes.CDLL) -> None:
    nvml = NvmlEnergy(compiled)
    counter = GpuCounter(nvml, "CUDA0", cuda_bus_id(0, compiled))
    before, after = counter.read_uj()[0], counter.read_uj()[0]
    # Beyond 32 bits.
    assert before > 5_000_000_000_000 and after - before == 7000
    assert counter.source.parts == (f"A GPU at {BUS_ID}",)
    state = counter.state()
    assert (state.clock_mhz, state.busy_share, state.n_throttles) == (1980, 0.4, 1)
    assert state.clock_reasons == ("sw_power_cap", "sw_thermal_slowdown")
    with pytest.raises(NvmlError, match="nvmlDeviceGetHandleByPciBusId_v2: Not Found"):
        nvml.device(cuda_bus_id(1, compiled))
    with pytest.raises(OSError, match="cuDeviceGet failed with 1"):
        cuda_bus_id(2, compiled)
    nvml.close()

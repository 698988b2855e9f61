"""Probes of what is read to measure."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from subject_builder import example_facts, put, quiet_machine

from slmprof.machine import cupti as places
from slmprof.machine.doctor import counters
from slmprof.machine.doctor.answers import Clock, Failure, Gpu, GpuFacts

CLOCKS = "devices/system/clocksource/clocksource0"
CUDA = example_facts(build={"cuda": True})
DRIVER = "NVRM version: NVIDIA UNIX Module  580.65.06  Release Build\n"


@pytest.mark.parametrize(
    ("clock", "files", "state", "said"),
    [
        (Clock("tsc", 0.4, 8.0), {}, "ok", "tsc, in steps of 0.4 ns, 8 ns for a reading; Linux's"),
        (
            Clock("cntvct", 40.0, 8.0),
            {f"{CLOCKS}/current_clocksource": None},
            "ok",
            "steps of 40 ns",
        ),
        (Clock("tsc", 0.4, 900.0), {}, "unfavourable", "900 ns for a reading, which is much"),
        (Clock("clock_monotonic", 1.0, 25.0), {}, "unfavourable", "no counter that runs evenly"),
        (
            Clock("tsc", 0.4, 8.0),
            {
                f"{CLOCKS}/current_clocksource": "hpet\n",
                f"{CLOCKS}/available_clocksource": "hpet\n",
            },
            "unfavourable",
            "Linux found it unstable and uses hpet",
        ),
        (
            Clock("tsc", 0.4, 8.0),
            {f"{CLOCKS}/current_clocksource": "kvm-clock\n", f"{CLOCKS}/available_clocksource": ""},
            "ok",
            "Linux's own is kvm-clock",
        ),
    ],
)
def test_the_clock(
    tmp_path: Path, clock: Clock, files: dict[str, str | None], state: str, said: str
) -> None:
    subject = quiet_machine(tmp_path, build=example_facts(clock=clock))
    put(subject.sysfs, files)
    found = counters.clock(subject)
    assert found.state == state and said in found.found


def test_without_the_module_the_clock_is_not_known(tmp_path: Path) -> None:
    found = counters.clock(quiet_machine(tmp_path, build=Failure("it is not there")))
    assert found.state == "unavailable" and "native module" in found.found


def test_perf_opens_or_says_why_not(tmp_path: Path) -> None:
    subject = quiet_machine(tmp_path)
    found = counters.perf(subject, lambda: None)
    assert found == ("ok", "cpu-clock opens; kernel.perf_event_paranoid is 2", None)

    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    put(subject.proc, {"sys/kernel/perf_event_paranoid": "4\n"})
    found = counters.perf(subject, refuse)
    assert found.state == "unavailable"
    assert "Permission denied; kernel.perf_event_paranoid is 4" in found.found
    assert found.remedy is not None and "sysctl" in found.remedy


def test_rapl(tmp_path: Path) -> None:
    subject = quiet_machine(tmp_path)
    assert counters.rapl(subject) == ("ok", "package: intel-rapl:0 package-0", None)
    put(subject.sysfs, {"class/powercap/intel-rapl:0/energy_uj": "?\n"})
    found = counters.rapl(subject)
    assert found.state == "unavailable" and "it holds no number" in found.found
    assert found.remedy is not None and "chmod a+r" in found.remedy
    put(subject.sysfs, {"class/powercap/intel-rapl:0/name": "psys\n"})
    found = counters.rapl(subject)
    assert found.state == "unavailable" and found.found == (
        f"no counter in {subject.sysfs / 'class/powercap'}"
    )
    assert found.remedy is not None and "SLMPROF_SYSFS_DIR" in found.remedy


def test_without_a_gpu_there_is_nothing_to_do(tmp_path: Path) -> None:
    subject = quiet_machine(tmp_path)
    assert not counters.has_nvidia_gpu(subject)
    assert counters.nvml(subject) == ("unavailable", "no NVIDIA GPU", None)
    found = counters.cupti(subject)
    assert (found.state, found.remedy) == ("unavailable", None)


@pytest.mark.parametrize(
    ("gpus", "changes", "state", "said"),
    [
        (
            GpuFacts((Gpu("CUDA0", "A GPU at 0:65"),)),
            {},
            "ok",
            "driver 580.65.06: CUDA0 A GPU at 0:65",
        ),
        (GpuFacts((Gpu("CUDA0", refusal="Not Supported"),)), {}, "unavailable", "Not Supported"),
        (GpuFacts(), {}, "unavailable", "shows no GPU"),
        (Failure("cuInit failed with 804"), {}, "unavailable", "cuInit failed with 804"),
        (Failure("cuInit failed with 804"), {"build": CUDA}, "broken", "cuInit failed with 804"),
    ],
)
def test_counters_of_gpus(
    tmp_path: Path, gpus: GpuFacts | Failure, changes: dict[str, Any], state: str, said: str
) -> None:
    subject = quiet_machine(tmp_path, gpus=gpus, **changes)
    put(subject.proc, {"driver/nvidia/version": DRIVER})
    found = counters.nvml(subject)
    assert found.state == state and said in found.found
    assert (found.remedy is None) is (state == "ok")


def test_cupti_is_looked_for_where_a_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = quiet_machine(tmp_path, build=CUDA)
    library = tmp_path / "libcupti.so.13"
    look = partial(counters.cupti, subject)
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))
    assert look().state == "unavailable" and "SLMPROF_CUPTI" in look().remedy
    library.touch()
    assert look() == ("ok", str(library), None)
    monkeypatch.setenv(places.VARIABLE, str(library))
    assert look() == ("ok", str(library), None)
    put(subject.proc, {"driver/nvidia/version": DRIVER})
    found = counters.cupti(quiet_machine(tmp_path))
    assert found.remedy is not None and "GGML_CUDA=ON" in found.remedy

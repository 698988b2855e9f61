"""Probes of CPUs, memory, and what goes on beside a measurement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from subject_builder import put, quiet_machine

from slmprof.machine.doctor import memory, processors, surroundings
from slmprof.machine.doctor.answers import Failure, Gpu, GpuFacts
from slmprof.machine.doctor.records import Outcome
from slmprof.machine.doctor.subject import Subject
from slmprof.profiles.records.load import Load

CPU = "devices/system/cpu"
PAGES = "kernel/mm/transparent_hugepage/enabled"
MEMINFO = "MemTotal: 16777216 kB\nMemAvailable: {free} kB\nSwapTotal: {swap} kB\nSwapFree: 0 kB\n"

Case = tuple[Callable[[Subject], Outcome | None], dict[str, str | None], str, str]
CASES: list[Case] = [
    (processors.cpus, {}, "ok", "Example CPU: this process may use 2 of 4 CPUs, on 2 cores"),
    (processors.smt, {}, "ok", "a core of its own"),
    (
        processors.smt,
        {f"sys/{CPU}/cpu0/topology/thread_siblings_list": "0-1\n"},
        "unfavourable",
        "2 CPUs are threads of 1 core: ",
    ),
    (
        processors.smt,
        {f"sys/{CPU}/cpu0/topology/thread_siblings_list": None},
        "unavailable",
        "does not tell",
    ),
    (processors.virtual_machine, {}, "ok", "none"),
    # A provider's name alone says nothing where the processor itself would tell.
    (processors.virtual_machine, {"sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}, "ok", "none"),
    (
        processors.virtual_machine,
        {"proc/cpuinfo": "flags: fpu hypervisor\n"},
        "unfavourable",
        "yes: its host",
    ),
    (
        processors.virtual_machine,
        {"proc/cpuinfo": "Features: fp asimd\n", "sys/class/dmi/id/sys_vendor": "QEMU\n"},
        "unfavourable",
        "yes (QEMU): its host",
    ),
    (memory.memory, {}, "ok", "16.0 GiB; 8.0 GiB free"),
    (
        memory.memory,
        {"groups/memory.max": "4294967296", "groups/memory.current": "1073741824"},
        "ok",
        "of which the control group may use 4.0 GiB; 3.0 GiB free",
    ),
    (
        memory.memory,
        {"proc/meminfo": MEMINFO.format(free=512 * 1024, swap=0)},
        "unfavourable",
        "512 MiB free",
    ),
    (memory.memory, {"proc/meminfo": "MemTotal: 1048576 kB\n"}, "ok", "does not tell how much"),
    (memory.swap, {}, "ok", "0 MiB of 1.0 GiB in use"),
    (memory.swap, {"proc/meminfo": ""}, "ok", "no swap space"),
    (
        memory.swap,
        {"proc/meminfo": MEMINFO.format(free=1, swap=2097152)},
        "unfavourable",
        "2.0 GiB of 2.0 GiB in use",
    ),
    (
        memory.swap,
        {"proc/self/status": "VmSwap: 4 kB\n"},
        "unfavourable",
        "in use, 4 KiB by this process",
    ),
    (memory.huge_pages, {}, "ok", "always"),
    (
        memory.huge_pages,
        {f"sys/{PAGES}": "always [madvise] never"},
        "unfavourable",
        "madvise: only",
    ),
    (memory.huge_pages, {f"sys/{PAGES}": "always madvise [never]"}, "unfavourable", "never: "),
    (memory.huge_pages, {f"sys/{PAGES}": None}, "unavailable", "does not tell"),
    (surroundings.governor, {}, "ok", "performance, 3000 MHz now"),
    (
        surroundings.governor,
        {f"sys/{CPU}/cpu0/cpufreq/scaling_governor": "powersave\n"},
        "unfavourable",
        "powersave, 3000 MHz now: the clock may change",
    ),
    (
        surroundings.governor,
        {f"sys/{CPU}/cpu0/cpufreq/scaling_governor": None},
        "unavailable",
        "does not tell",
    ),
    (surroundings.turbo, {}, "ok", "off"),
    (surroundings.turbo, {f"sys/{CPU}/intel_pstate/no_turbo": "0\n"}, "unfavourable", "on: "),
    (
        surroundings.turbo,
        {f"sys/{CPU}/intel_pstate/no_turbo": None},
        "unavailable",
        "does not tell",
    ),
    (
        surroundings.turbo,
        {f"sys/{CPU}/intel_pstate/no_turbo": None, f"sys/{CPU}/cpufreq/boost": "1\n"},
        "unfavourable",
        "on: ",
    ),
    (surroundings.quota, {}, "ok", "none"),
    (surroundings.quota, {"groups/cpu.max": "max 100000\n"}, "ok", "none"),
    (surroundings.quota, {"groups/cpu.max": "400000 100000\n"}, "ok", "4 CPUs' time"),
    (
        surroundings.quota,
        {"groups/cpu.max": "150000 100000\n"},
        "unfavourable",
        "1.5 of 2 CPUs' time",
    ),
]


@pytest.mark.parametrize(("probe", "files", "state", "said"), CASES)
def test_what_files_of_the_system_say(
    tmp_path: Path,
    probe: Callable[[Subject], Outcome],
    files: dict[str, str | None],
    state: str,
    said: str,
) -> None:
    subject = quiet_machine(tmp_path)
    put(tmp_path, files)
    found = probe(subject)
    assert found.state == state and said in found.found
    if state == "unfavourable":
        assert found.remedy


@pytest.mark.parametrize(
    ("probe", "said"),
    [(processors.smt, "--threads 1,"), (surroundings.quota, "--threads 1,")],
)
def test_a_remedy_names_the_threads_to_take(
    tmp_path: Path, probe: Callable[[Subject], Outcome], said: str
) -> None:
    subject = quiet_machine(tmp_path)
    put(subject.sysfs, {f"{CPU}/cpu0/topology/thread_siblings_list": "0,1\n"})
    put(subject.control_groups, {"cpu.max": "50000 100000\n"})
    assert said in str(probe(subject).remedy)


def test_turbo_is_turned_off_by_the_file_that_says_it_is_on(tmp_path: Path) -> None:
    subject = quiet_machine(tmp_path)
    put(subject.sysfs, {f"{CPU}/intel_pstate/no_turbo": "0\n"})
    assert "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo" in str(
        surroundings.turbo(subject).remedy
    )


def test_glibc_may_ask_for_huge_pages(tmp_path: Path) -> None:
    variables = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    subject = quiet_machine(tmp_path, variables=variables)
    put(subject.sysfs, {PAGES: "always [madvise] never\n"})
    assert memory.huge_pages(subject).state == "ok"


@pytest.mark.parametrize(
    ("load", "state", "said", "remedy"),
    [
        (Load(1.0, 0.01, 0.0), "ok", "others used 1 %", None),
        (Load(1.0, 0.5, 0.0), "unfavourable", "other processes used 50 %", "`top`"),
        (Load(1.0, 0.5, 0.2), "unfavourable", "; the hypervisor stole", "or wait; measure when"),
        (Load(1.0, 0.0, 0.2), "unfavourable", "the hypervisor stole 20 %", "neighbours"),
        (None, "unavailable", "does not tell", None),
    ],
)
def test_the_load_now(
    tmp_path: Path, load: Load | None, state: str, said: str, remedy: str | None
) -> None:
    found = surroundings.load(quiet_machine(tmp_path, load=load))
    assert found.state == state and said in found.found
    assert remedy is None or remedy in str(found.remedy)


@pytest.mark.parametrize(
    ("gpus", "state", "said"),
    [
        (
            GpuFacts((Gpu("CUDA0", "A", busy_share=0.0, clock_reasons=("gpu_idle",)),)),
            "ok",
            "nothing",
        ),
        (GpuFacts((Gpu("CUDA0", "A", busy_share=0.7),)), "unfavourable", "busy for 70 %"),
        (
            GpuFacts((Gpu("CUDA1", "A", clock_reasons=("sw_power_cap",)),)),
            "unfavourable",
            "CUDA1 is held",
        ),
    ],
)
def test_gpus_that_others_use(tmp_path: Path, gpus: GpuFacts, state: str, said: str) -> None:
    found = surroundings.gpus(quiet_machine(tmp_path, gpus=gpus))
    assert found is not None and found.state == state and said in found.found


@pytest.mark.parametrize("gpus", [None, Failure("no driver"), GpuFacts()])
def test_nothing_is_said_of_gpus_that_are_not_there(tmp_path: Path, gpus: Any) -> None:
    assert surroundings.gpus(quiet_machine(tmp_path, gpus=gpus)) is None

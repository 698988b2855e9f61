"""Probes of what is read to measure: clock, perf, counters of energy, and what traces a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..cupti import cupti_folders
from ..device_ceilings import driver_release
from ..energy.rapl import find_rapl
from ..perf_events import open_cpu_clock
from .answers import Failure
from .records import Outcome, broken, ok, unavailable, unfavourable
from .subject import Subject

# Linux falls back on these where it has found that the TSC is not to be trusted. Clocks of a
# hypervisor are made from the TSC.
_FALLBACKS = ("hpet", "acpi_pm", "jiffies", "refined-jiffies")
_SLOW_READING_NS = 100.0  # an op takes some hundred at least, and is read twice
_NVIDIA = "0x10de"


def clock(subject: Subject) -> Outcome:
    """The recorder's clock."""
    if subject.facts is None:
        return unavailable("not known without the native module", "mend the native module")
    of = subject.facts.clock
    found = f"{of.source}, in steps of {of.resolution_ns:.3g} ns, {of.read_ns:.3g} ns for a reading"
    if of.source == "clock_monotonic":
        return unfavourable(
            f"{found}: the processor has no counter that runs evenly",
            "on a virtual machine have its host pass the invariant TSC on; else expect a larger "
            "overhead, which each report tells",
        )
    folder = "devices/system/clocksource/clocksource0"
    used = subject.in_sysfs(f"{folder}/current_clocksource")
    others = subject.in_sysfs(f"{folder}/available_clocksource").split()
    if of.source == "tsc" and used in _FALLBACKS and "tsc" not in others:
        return unfavourable(
            f"{found}; Linux found it unstable and uses {used} itself",
            "see `dmesg | grep -i tsc`; measure on another machine",
        )
    if of.read_ns > _SLOW_READING_NS:
        return unfavourable(
            f"{found}, which is much for short ops",
            "on a virtual machine have its host let reads of the counter through",
        )
    return ok(f"{found}; Linux's own is {used}" if used else found)


def perf(subject: Subject, open_counter: Callable[[], None] = open_cpu_clock) -> Outcome:
    """Whether perf's software clock opens, which an independent check of times needs."""
    level = subject.in_proc("sys/kernel/perf_event_paranoid") or "unknown"
    setting = f"kernel.perf_event_paranoid is {level}"
    try:
        open_counter()
    except OSError as error:
        return unavailable(
            f"cpu-clock does not open: {error.strerror or error}; {setting}",
            "`sudo sysctl kernel.perf_event_paranoid=2`; in a container its host must allow the "
            "system call perf_event_open",
        )
    return ok(f"cpu-clock opens; {setting}")


def rapl(subject: Subject) -> Outcome:
    """Counters of the processor's energy."""
    counters, refusals = find_rapl(subject.sysfs)
    found = "; ".join(f"{one.source.name}: {', '.join(one.source.parts)}" for one in counters)
    if not refusals:
        return ok(found)
    detail = "; ".join(filter(None, (found, *(one.detail or "" for one in refusals))))
    if any(one.reason == "not_readable" for one in refusals):
        return unavailable(
            detail,
            "run as root, or, until the next start of the system, "
            "`sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`",
        )
    return unavailable(
        f"no counter in {detail}",
        "virtual machines hide it: measure on the machine itself; in a container mount the host's "
        "/sys and name it by SLMPROF_SYSFS_DIR",
    )


def nvml(subject: Subject) -> Outcome:
    """Counters of GPUs' energy."""
    if not has_nvidia_gpu(subject) or subject.gpus is None:
        return unavailable("no NVIDIA GPU")
    release = _driver(subject)
    driver = f"driver {release}" if release else "NVIDIA's driver"
    if isinstance(subject.gpus, Failure):
        # Only a build that is made for GPUs has a right to one.
        state = broken if subject.is_built_with("cuda") else unavailable
        return state(
            f"{driver}: {subject.gpus.text}",
            "`nvidia-smi` must work: install NVIDIA's driver, or restart the system after the "
            "driver's update",
        )
    gpus = subject.gpus.gpus
    found = f"{driver}: " + "; ".join(f"{one.name} {one.refusal or one.card}" for one in gpus)
    if not gpus or any(one.refusal for one in gpus):
        return unavailable(
            found if gpus else f"{driver}: it shows no GPU to this process",
            "look at CUDA_VISIBLE_DEVICES; a part of a GPU (MIG) has no counter of energy",
        )
    return ok(found)


def cupti(subject: Subject) -> Outcome:
    """The library that tells of a GPU's kernels."""
    if not subject.is_built_with("cuda"):
        if not has_nvidia_gpu(subject):
            return unavailable("this build has no CUDA, and the machine no NVIDIA GPU")
        return unavailable(
            "this build has no CUDA", "`python -m pip install . -C cmake.define.GGML_CUDA=ON`"
        )
    for place in map(Path, cupti_folders()):
        files = [place] if place.is_file() else sorted(place.glob("libcupti.so*"))
        if files:
            return ok(str(files[0]))
    return unavailable(
        "neither in this environment nor in CUDA's toolkit; the loader may know another place",
        "`python -m pip install nvidia-cuda-cupti` (nvidia-cuda-cupti-cu12 for CUDA 12), or name "
        "its file by SLMPROF_CUPTI",
    )


def has_nvidia_gpu(subject: Subject) -> bool:
    """Whether the machine has one, with or without a driver."""
    if _driver(subject) is not None:
        return True
    for device in (subject.sysfs / "bus/pci/devices").glob("*"):
        folder = f"bus/pci/devices/{device.name}"
        is_display = subject.in_sysfs(f"{folder}/class").startswith("0x03")
        if is_display and subject.in_sysfs(f"{folder}/vendor") == _NVIDIA:
            return True
    return False


def _driver(subject: Subject) -> str | None:
    return driver_release(str(subject.proc / "driver/nvidia/version"))

"""Probes of what else goes on while something is measured."""

from __future__ import annotations

from ...system.control_group import cpu_quota
from ..energy.cpu_state import CpuState
from ..environment import STEADY_GOVERNORS
from ..environment import governor as governor_of
from ..load import load_warnings
from .answers import GpuFacts
from .records import Outcome, ok, unavailable, unfavourable
from .subject import Subject

_BUSY_SHARE = 0.05
# A GPU that nothing runs on, or at limits that somebody chose, is not held down.
_HARMLESS = ("gpu_idle", "applications_clocks_setting")


def governor(subject: Subject) -> Outcome:
    """How Linux chooses the clock."""
    mode = governor_of(subject.sysfs)
    clock_mhz = CpuState(subject.sysfs, subject.cpus).state().clock_mhz
    now = f", {clock_mhz:.0f} MHz now" if clock_mhz else ""
    if mode is None:
        return unavailable(
            "the system does not tell how the clock is chosen",
            "in a virtual machine its host chooses: have `performance` set there",
        )
    if mode not in STEADY_GOVERNORS:
        return unfavourable(
            f"{mode}{now}: the clock may change during a run",
            "`sudo cpupower frequency-set -g performance`",
        )
    return ok(f"{mode}{now}")


def turbo(subject: Subject) -> Outcome:
    """Whether the clock depends on heat and on how many cores work."""
    for name, value_on in (("intel_pstate/no_turbo", "0"), ("cpufreq/boost", "1")):
        told = subject.in_sysfs(f"devices/system/cpu/{name}")
        if told == value_on:
            value_off = "1" if value_on == "0" else "0"
            return unfavourable(
                "on: the clock depends on heat, and on how many cores work",
                f"`echo {value_off} | sudo tee /sys/devices/system/cpu/{name}` for figures that "
                "can be repeated",
            )
        if told:
            return ok("off")
    return unavailable(
        "the system does not tell whether it is on",
        "measure in several processes (--processes 5) and look at the intervals",
    )


def load(subject: Subject) -> Outcome:
    """What others take of the CPUs now."""
    if subject.load is None:
        return unavailable("the system does not tell of other processes' time")
    found = load_warnings(subject.load)
    if not found:
        shares = (subject.load.others_share, subject.load.stolen_share)
        others, stolen = (f"{100 * share:.0f} %" for share in shares)
        return ok(f"others used {others} of the CPUs' time, and a hypervisor took {stolen}")
    remedies = []
    if any("other processes" in sentence for sentence in found):
        remedies.append("end the other processes (`top` shows them), or wait")
    if any("hypervisor" in sentence for sentence in found):
        remedies.append("measure when the neighbours on the host are quiet")
    return unfavourable("; ".join(found), "; ".join(remedies))


def quota(subject: Subject) -> Outcome:
    """Whether the control group lets every thread run all the time."""
    cpus = cpu_quota(subject.proc, subject.control_groups)
    if cpus is None:
        return ok("none")
    if cpus < len(subject.cpus):
        n_threads = max(1, int(cpus))
        return unfavourable(
            f"the control group may use {cpus:.3g} of {len(subject.cpus)} CPUs' time, and its "
            "threads are stopped once that is used up",
            "raise the limit (cpu.max; docker run --cpus), or give no more than "
            f"--threads {n_threads}, which is the default here",
        )
    return ok(f"{cpus:.3g} CPUs' time, for {len(subject.cpus)} CPUs")


def gpus(subject: Subject) -> Outcome | None:
    """Whether something else uses a GPU, or holds its clock down."""
    if not isinstance(subject.gpus, GpuFacts):
        return None
    doubts = []
    for one in subject.gpus.gpus:
        reasons = [reason for reason in one.clock_reasons if reason not in _HARMLESS]
        if one.busy_share is not None and one.busy_share > _BUSY_SHARE:
            doubts.append(f"{one.name} is busy for {100 * one.busy_share:.0f} % of the time")
        if reasons:
            doubts.append(f"the clock of {one.name} is held down: {', '.join(reasons)}")
    if doubts:
        return unfavourable("; ".join(doubts), "end what uses it (`nvidia-smi`), and let it cool")
    return ok("nothing else computes on them") if subject.gpus.gpus else None

"""Probes of the CPUs."""

from __future__ import annotations

from ...system.processor import processor_flags
from ..caches import cpu_list, halves
from ..environment import cpu_name
from .records import Outcome, ok, unavailable, unfavourable
from .subject import Subject

# What firmware calls the machine where it is a virtual one. On x86 the processor itself tells.
_VIRTUAL = ("kvm", "qemu", "vmware", "virtualbox", "virtual machine", "xen", "bochs", "hvm")


def cpus(subject: Subject) -> Outcome:
    """Which processor it is, and how much of it this process may use."""
    usable = len(subject.cpus)
    n_online = max(len(cpu_list(subject.in_sysfs("devices/system/cpu/online"))), usable)
    first, _ = halves(subject.cpus, subject.cpu_folder)
    return ok(
        f"{cpu_name(subject.proc)}: this process may use {usable} of {n_online} CPUs, on "
        f"{_cores(len(first))}"
    )


def smt(subject: Subject) -> Outcome:
    """Whether CPUs share a core."""
    first, second = halves(subject.cpus, subject.cpu_folder)
    if second:
        return unfavourable(
            f"{len(subject.cpus)} CPUs are threads of {_cores(len(first))}: two of one core slow "
            "each other down",
            f"give --threads {len(first)}, one for each core",
        )
    sibling = f"devices/system/cpu/cpu{min(subject.cpus)}/topology/thread_siblings_list"
    if not subject.in_sysfs(sibling):
        return unavailable(
            "the system does not tell which CPUs share a core",
            "look at it outside of the container, or compare --threads of all and of half the CPUs",
        )
    return ok("each CPU that may be used is a core of its own")


def virtual_machine(subject: Subject) -> Outcome:
    """Whether others may be on the same processor, out of sight."""
    told = [subject.in_sysfs(f"class/dmi/id/{name}") for name in ("sys_vendor", "product_name")] + [
        subject.in_sysfs("hypervisor/type")
    ]
    name = " ".join(filter(None, told))
    flags = processor_flags(subject.proc)
    if "fpu" in flags:  # x86
        is_virtual = "hypervisor" in flags
    else:
        is_virtual = any(word in name.lower() for word in _VIRTUAL)
    if not is_virtual:
        return ok("none, as far as the system tells")
    return unfavourable(
        f"yes{f' ({name})' if name else ''}: its host may take CPUs, cache and bandwidth away",
        "measure in several processes (--processes 5) and look at the intervals; for the last "
        "percent measure on the machine itself",
    )


def _cores(n: int) -> str:
    return f"{n} core" if n == 1 else f"{n} cores"

"""Probes of memory."""

from __future__ import annotations

import re

from ...children.memory import available_bytes
from ...system.control_group import memory_limit_bytes
from ...system.files import proc_bytes
from ..environment import physical_memory_bytes
from .records import Outcome, ok, unavailable, unfavourable
from .subject import Subject

_MIB, _GIB = 2**20, 2**30
_LITTLE_BYTES = _GIB  # a 1 B model in four bits with its context
# What a system has swapped out in idle times is of no account.
_MUCH_SWAP_BYTES = 256 * _MIB


def size_text(size_bytes: float) -> str:
    """In MiB or GiB."""
    if size_bytes < _GIB:
        return f"{size_bytes / _MIB:.0f} MiB"
    return f"{size_bytes / _GIB:.1f} GiB"


def memory(subject: Subject) -> Outcome:
    """How much there is, and how much this process could take."""
    total = physical_memory_bytes(subject.proc)
    limit = memory_limit_bytes(subject.proc, subject.control_groups)
    free = available_bytes(subject.proc, subject.control_groups)
    found = size_text(total)
    if limit is not None and limit < total:
        found += f", of which the control group may use {size_text(limit)}"
    if free is None:
        return ok(f"{found}; the system does not tell how much is free")
    found += f"; {size_text(free)} free"
    if free < _LITTLE_BYTES:
        return unfavourable(
            found, "end what else holds memory, or raise the limit of the control group"
        )
    return ok(found)


def swap(subject: Subject) -> Outcome:
    """Whether memory is swapped out."""
    told = subject.in_proc("meminfo")
    total, free = proc_bytes(told, "SwapTotal"), proc_bytes(told, "SwapFree")
    own = proc_bytes(subject.in_proc("self/status"), "VmSwap") or 0
    if not total or free is None:
        return ok("no swap space")
    used = total - free
    found = f"{size_text(used)} of {size_text(total)} in use"
    if own:
        found += f", {own // 1024} KiB by this process"
    if used >= _MUCH_SWAP_BYTES or own:
        return unfavourable(
            found, "end what else holds memory, then `sudo swapoff -a && sudo swapon -a`"
        )
    return ok(found)


def huge_pages(subject: Subject) -> Outcome:
    """Whether weights and caches get pages of 2 MiB."""
    told = subject.in_sysfs("kernel/mm/transparent_hugepage/enabled")
    chosen = re.search(r"\[(\w+)\]", told)
    if chosen is None:
        return unavailable("the system does not tell of transparent huge pages")
    if chosen[1] == "always":
        return ok("always")
    always = "`echo always | sudo tee /sys/kernel/mm/transparent_hugepage/enabled`"
    if chosen[1] == "madvise" and "hugetlb=1" not in subject.variables.get("GLIBC_TUNABLES", ""):
        return unfavourable(
            "madvise: only for memory that asks for them, and llama.cpp does not ask",
            f"set GLIBC_TUNABLES=glibc.malloc.hugetlb=1, or {always}",
        )
    if chosen[1] == "madvise":
        return ok("madvise, and glibc asks for them (GLIBC_TUNABLES)")
    return unfavourable(f"{chosen[1]}: reading weights takes more address look-ups", always)

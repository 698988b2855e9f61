"""The machine that a capture runs on, and what about it would spoil the numbers."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

from ..children.memory import proc_bytes, proc_value, read
from ..cores import usable_cores

if TYPE_CHECKING:
    from ..profiles.records.meta import Environment


def cpu_name() -> str:
    """The processor as the system names it."""
    return proc_value(read("/proc/cpuinfo"), "model name") or platform.processor() or "unknown"


def memory_bytes() -> int:
    """Physical memory, or the limit of this process's control group where that is lower."""
    total = proc_bytes(read("/proc/meminfo"), "MemTotal")
    if total is None:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = read("/sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def governor() -> str | None:
    """The frequency governor of the first core, or None where there is none to see."""
    return read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None


def find_warnings(n_threads: int) -> list[str]:
    """What would spoil a measurement with this many threads, one sentence each."""
    warnings = []
    n_cores = usable_cores()
    if n_threads > n_cores:
        warnings.append(f"{n_threads} threads oversubscribe {n_cores} cores: times mean little")
    mode = governor()
    if mode is not None and mode not in ("performance", "schedutil"):
        warnings.append(f"frequency governor is '{mode}': the clock may change during the run")
    swapped = proc_bytes(read("/proc/self/status"), "VmSwap")
    if swapped:
        warnings.append(f"{swapped // 1024} KiB of this process are swapped out")
    return warnings


def describe(n_threads: int) -> Environment:
    """The machine, and what would spoil a run with this many threads."""
    from ..profiles.records.meta import Environment

    return Environment(
        cpu=cpu_name(),
        n_cores=usable_cores(),
        memory_bytes=memory_bytes(),
        os=f"{platform.system()} {platform.release()}",
        governor=governor(),
        warnings=tuple(find_warnings(n_threads)),
    )

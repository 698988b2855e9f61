"""The machine that a capture runs on, and what about it would spoil the numbers."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from ..system.control_group import memory_limit_bytes
from ..system.cores import oversubscription, usable_cores
from ..system.files import PROC, SYSFS, proc_bytes, proc_value, read
from .arm_cores import arm_cores

if TYPE_CHECKING:
    from ..profiles.records.meta import Environment

# Under these the clock of a busy core is as high as it may be from the first moment on, or soon.
STEADY_GOVERNORS = ("performance", "schedutil")


def cpu_name(proc: Path = PROC) -> str:
    """The processor as the system names it."""
    text = read(str(proc / "cpuinfo"))
    return proc_value(text, "model name") or arm_cores(text) or platform.processor() or "unknown"


def physical_memory_bytes(proc: Path = PROC) -> int:
    """The memory of the machine."""
    total = proc_bytes(read(str(proc / "meminfo")), "MemTotal")
    return total if total is not None else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_bytes() -> int:
    """Physical memory, or the limit of this process's control groups where that is lower."""
    total, limit = physical_memory_bytes(), memory_limit_bytes()
    return total if limit is None else min(total, limit)


def governor(sysfs: Path = SYSFS) -> str | None:
    """The frequency governor of the first core, or None where there is none to see."""
    path = sysfs / "devices/system/cpu/cpu0/cpufreq/scaling_governor"
    return read(str(path)).strip() or None


def find_warnings(n_threads: int) -> list[str]:
    """What would spoil a measurement with this many threads, one sentence each."""
    crowded = oversubscription(n_threads, usable_cores())
    warnings = [] if crowded is None else [crowded]
    mode = governor()
    if mode is not None and mode not in STEADY_GOVERNORS:
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

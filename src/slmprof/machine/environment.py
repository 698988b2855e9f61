"""The machine that a capture runs on, and what about it would spoil the numbers."""

from __future__ import annotations

import os
import platform
from typing import Any

from ..children.memory import proc_bytes, proc_value, read
from ..cores import usable_cores

_SHARE_OF_OTHERS = 0.03  # of all cores' time, beyond which another load is worth a warning


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


class LoadMeter:
    """How much of the cores' time went to others than this process, from now on.

    The load average would not do: it counts this process, and the minute before it.
    """

    def __init__(self) -> None:
        self._begin = self._read_times()

    @staticmethod
    def _read_times() -> tuple[float, float, float, float]:
        """Seconds that all cores were busy, were taken by the hypervisor, were there, and ours."""
        first = read("/proc/stat").partition("\n")[0].split()
        if len(first) < 9:
            return 0.0, 0.0, 0.0, 0.0
        user, nice, system, idle, iowait, irq, softirq, steal = map(float, first[1:9])
        tick = 1.0 / os.sysconf("SC_CLK_TCK")
        busy = (user + nice + system + irq + softirq) * tick
        own = os.times()
        return busy, steal * tick, busy + (idle + iowait + steal) * tick, own.user + own.system

    def warnings(self) -> list[str]:
        """What spoiled the time since then, one sentence each."""
        now = self._read_times()
        busy, steal, total, own = (b - a for a, b in zip(self._begin, now, strict=True))
        if total <= 0:
            return []
        found = []
        # Both are counted in ticks of 10 ms: a short run may be off by one on each core.
        if (others := (busy - own) / total) > _SHARE_OF_OTHERS + 0.02 / total:
            found.append(
                f"other processes took {100 * others:.0f} % of this machine's cores meanwhile"
            )
        if (taken := steal / total) > _SHARE_OF_OTHERS:
            found.append(
                f"the hypervisor took {100 * taken:.0f} % of this machine's cores meanwhile"
            )
        return found


def find_warnings(n_threads: int) -> list[str]:
    """What would spoil a measurement with this many threads, one sentence each."""
    warnings = []
    n_cores = usable_cores()
    if n_threads > n_cores:
        warnings.append(f"{n_threads} threads on {n_cores} cores take turns: times mean little")
    mode = governor()
    if mode is not None and mode not in ("performance", "schedutil"):
        warnings.append(f"frequency governor is '{mode}': the clock may change during the run")
    swapped = proc_bytes(read("/proc/self/status"), "VmSwap")
    if swapped:
        warnings.append(f"{swapped // 1024} KiB of this process are swapped out")
    return warnings


def describe(n_threads: int) -> dict[str, Any]:
    """The `environment` part of a profile."""
    return {
        "cpu": cpu_name(),
        "n_cores": usable_cores(),
        "memory_bytes": memory_bytes(),
        "os": f"{platform.system()} {platform.release()}",
        "governor": governor(),
        "warnings": find_warnings(n_threads),
    }

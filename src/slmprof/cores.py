"""How many compute threads make sense here, and how many ggml allows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MOST_THREADS = 512  # GGML_MAX_N_THREADS
_CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus() -> frozenset[int]:
    """The numbers of the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def usable_cores() -> int:
    """How many CPUs this process may use, two threads of one core counting as two: those that it
    may run on, or where its control group has a quota of less, as many."""
    # A part of one is none: ggml's threads spin at their barriers, so one more of them would only
    # use up the quota of all sooner.
    return max(1, min([len(usable_cpus()), *map(int, _quotas())]))


def default_threads() -> int:
    """Threads where nobody says how many: all usable cores, as far as ggml allows."""
    return min(usable_cores(), MOST_THREADS)


def oversubscription(n_threads: int, n_cores: int) -> str | None:
    """What to say of more threads than cores; None where they are no more."""
    if n_threads <= n_cores:
        return None
    return (
        f"{n_threads} threads oversubscribe {counted_cores(n_cores)}: a run takes much longer, "
        "and its times mean little"
    )


def counted_cores(n_cores: int) -> str:
    """A number of cores in words."""
    return f"{n_cores} core{'' if n_cores == 1 else 's'}"


def _quotas() -> Iterator[float]:
    """The quotas of CPU time of this process's control groups and those above them, in cores."""
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 names no controllers. In a container the path may be that of the host, of which
        # only the end of the way up, the root, is there.
        folder = _CGROUPS / "cpu" if controllers else _CGROUPS
        for name in ["", *filter(None, path.split("/"))]:
            folder /= name
            if controllers:
                quota = _read(folder / "cpu.cfs_quota_us").strip()
                period = _read(folder / "cpu.cfs_period_us").strip()
            else:
                quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
            # Where there is no quota it is "max", or -1.
            if quota.isdigit() and period.isdigit() and int(period) > 0:
                yield int(quota) / int(period)


def _read(path: Path) -> str:
    """A file of the system's; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""How many compute threads make sense here, and how many ggml allows."""

from __future__ import annotations

import os

MOST_THREADS = 512  # GGML_MAX_N_THREADS


def usable_cpus() -> frozenset[int]:
    """The numbers of the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def usable_cores() -> int:
    """How many CPUs this process may run on; two threads of one core count as two."""
    return len(usable_cpus())

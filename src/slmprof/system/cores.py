"""How many compute threads make sense here, and how many ggml allows."""

from __future__ import annotations

import os

from .control_group import cpu_quota

MOST_THREADS = 512  # GGML_MAX_N_THREADS


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
    quota = cpu_quota()
    n_cpus = len(usable_cpus())
    return n_cpus if quota is None else max(1, min(n_cpus, int(quota)))


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

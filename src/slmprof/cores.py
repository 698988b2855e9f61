"""How many compute threads make sense here, and how many ggml allows."""

from __future__ import annotations

import os

MOST_THREADS = 512  # GGML_MAX_N_THREADS


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

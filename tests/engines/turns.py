"""Which cores a test has while others run in processes beside it.

ggml's threads spin while they wait for each other: two of them on one core take many times as
long. So a test has one core, and one that needs two has the machine for itself.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))


class Turns:
    """Turns of tests in several processes.

    This one is tied to a core at once, before its libraries make threads.

    Args:
        folder: for lock files, the same in all processes; None where there is but one.
        number: of this process, from 0.
    """

    def __init__(self, folder: Path | None, number: int = 0) -> None:
        self._own = [CORES[number % len(CORES)]]
        names = ("queue", "running")
        self._locks = None if folder is None else [_open(folder / name) for name in names]
        os.sched_setaffinity(0, self._own)

    @contextmanager
    def take(self, *, alone: bool) -> Iterator[None]:
        """Waits for a turn; alone, it has all cores."""
        with self._lock(alone):
            try:
                if alone:
                    os.sched_setaffinity(0, CORES)
                yield
            finally:
                os.sched_setaffinity(0, self._own)

    @contextmanager
    def _lock(self, alone: bool) -> Iterator[None]:
        if self._locks is None:
            yield
            return
        queue, running = self._locks
        try:
            # Who waits to be alone holds up those behind it, or its turn might never come.
            fcntl.flock(queue, fcntl.LOCK_EX)
            fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            fcntl.flock(queue, fcntl.LOCK_UN)
            yield
        finally:
            for lock in self._locks:
                fcntl.flock(lock, fcntl.LOCK_UN)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

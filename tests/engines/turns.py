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

    Args:
        folder: for lock files, the same in all processes; None where there is but one.
        number: of this process, from 0.
    """

    def __init__(self, folder: Path | None, number: int = 0) -> None:
        self._own = CORES[number % len(CORES)]
        names = ("queue", "running")
        self._locks = None if folder is None else [_open(folder / name) for name in names]

    @contextmanager
    def take(self, *, alone: bool) -> Iterator[None]:
        """Waits for a turn, and gives it the cores that go with it: one, or alone all."""
        with self._lock(alone):
            os.sched_setaffinity(0, CORES if alone else [self._own])
            try:
                yield
            finally:
                os.sched_setaffinity(0, CORES)

    @contextmanager
    def _lock(self, alone: bool) -> Iterator[None]:
        if self._locks is None:
            yield
            return
        queue, running = self._locks
        # Who waits to be alone holds up those behind it, or its turn might never come.
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(running, fcntl.LOCK_UN)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

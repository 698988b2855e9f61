"""Another load, for benchmarks that ask what it does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# It ends with the process that started it, however that ends.
_SPIN = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(100_000):
        pass
"""


@contextmanager
def busy_core(core: int | None = None) -> Iterator[None]:
    """Another process computes meanwhile: on one core, or wherever the system puts it."""
    with subprocess.Popen([sys.executable, "-c", _SPIN, str(os.getpid())]) as spinning:
        try:
            if core is not None:
                os.sched_setaffinity(spinning.pid, {core})
            yield
        finally:
            spinning.kill()

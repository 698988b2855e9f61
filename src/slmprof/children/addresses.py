"""The addresses that a process may use (`ulimit -v`), and what to say where they are too few.

Libraries are mapped before they are used, so a process can lack addresses while memory is free; and
each library says so in words of its own, or not at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

# What loading numpy takes on one thread. With less, a library of its own ends the process.
_LEAST_BYTES = 128 << 20
_SHORT = re.compile(
    r"failed to map segment|cannot map|cannot allocate|memory allocation|MemoryError|bad_alloc|"
    r"can't start new thread",
    re.IGNORECASE,
)


def limit_bytes() -> int | None:
    """How many bytes of addresses this process may use; None where there is no limit."""
    try:
        import resource
    except ImportError:  # not on this system
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def prepare() -> str | None:
    """Readies a process for its limit, before it loads anything large.

    Returns:
        What to say where the limit is too low for any command, as `shortage` has it.
    """
    limit = limit_bytes()
    if limit is None:
        return None
    # Each of its threads would take addresses for buffers, on a large machine gigabytes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return _text(limit) if limit < _LEAST_BYTES else None


def shortage(said: BaseException | Iterable[str]) -> str | None:
    """What to say where an error, or the log of a process, tells of too few addresses.

    Returns:
        Cause and remedy, in one sentence; None where it tells of something else, or where there is
        no limit.
    """
    limit = limit_bytes()
    texts = _chain(said) if isinstance(said, BaseException) else said
    return _text(limit) if limit is not None and any(map(_SHORT.search, texts)) else None


def _text(limit: int) -> str:
    return (
        f"there is not enough address space: it is limited to {limit / 2**20:.0f} MiB "
        "(ulimit -v); raise the limit"
    )


def _chain(error: BaseException | None) -> Iterator[str]:
    """An error, and those that it came from."""
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__ or error.__context__

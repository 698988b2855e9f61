"""The data caches and cores of the processor, as the system tells of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from ..profiles.records.ceilings import Cache, cache_capacity_bytes
from ..system.cores import usable_cores, usable_cpus

_CPUS = Path("/sys/devices/system/cpu")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_SYSCONF = {
    "L1": "SC_LEVEL1_DCACHE_SIZE",
    "L2": "SC_LEVEL2_CACHE_SIZE",
    "L3": "SC_LEVEL3_CACHE_SIZE",
}

_LEAST_MEMORY_BYTES = 64 * 2**20  # beyond what caches that the system hides may hold
_UNKNOWN_CACHE_BYTES = 64 * 2**20
_MOST_MEMORY_BYTES = 2**30  # more takes long to touch and shows nothing else
# Part of four times the cache can still be in it: its replacement is not by age alone.
_TIMES_LAST_CACHE = 8


def data_caches(cpus: Path = _CPUS) -> tuple[Cache, ...]:
    """The caches of the first core that this process may use, nearest first.

    Cores that this process may not use do not count as sharers. A level that the system does not
    tell of is left out.

    Args:
        cpus: the folder in which Linux describes the cores.
    """
    usable = usable_cpus()
    found: dict[str, Cache] = {}
    for folder in sorted((cpus / f"cpu{min(usable)}" / "cache").glob("index*")):
        size_bytes = _size(_read(folder / "size"))
        level = _read(folder / "level")
        is_of_data = _read(folder / "type") in ("Data", "Unified")
        if not (is_of_data and size_bytes and level.isdecimal()):
            continue
        sharing = cpu_list(_read(folder / "shared_cpu_list")) & usable
        found[f"L{int(level)}"] = Cache(f"L{int(level)}", size_bytes, max(len(sharing), 1))
    return tuple(found[level] for level in sorted(found)) or _from_sysconf()


def working_sets(
    caches: tuple[Cache, ...], n_threads: int, n_cores: int, free_bytes: int
) -> list[tuple[str, int]]:
    """The levels to measure and the bytes that all threads together go over at each.

    Half of what the caches of a level hold, three quarters where half would hardly exceed the
    level before; a level that does not exceed it at all is left out. Memory: eight times the last
    level, at least 64 MiB, at most 1 GiB and a quarter of what is free.
    """
    sets: list[tuple[str, int]] = []
    before = 0.0
    for cache in caches:
        capacity = cache_capacity_bytes(cache, n_threads, n_cores)
        size = capacity / 2 if capacity / 2 >= 2 * before else capacity * 3 / 4
        if size > before:
            sets.append((cache.level, int(size)))
        before = capacity
    memory = max(_TIMES_LAST_CACHE * (before or _UNKNOWN_CACHE_BYTES), _LEAST_MEMORY_BYTES)
    sets.append(("memory", int(min(memory, _MOST_MEMORY_BYTES, free_bytes / 4))))
    return sets


def spread_cores(n_threads: int, cpus: Path = _CPUS) -> list[int]:
    """As many of the usable cores, those first that are not the second half of another one."""
    first, second = halves(usable_cpus(), cpus)
    return [*first, *second][:n_threads]


def halves(usable: Iterable[int], cpus: Path = _CPUS) -> tuple[list[int], list[int]]:
    """The first CPU of each core, and those that share a core with one of the first (SMT).

    Args:
        usable: the CPUs to divide.
        cpus: the folder in which Linux describes them.
    """
    first: list[int] = []
    second: list[int] = []
    seen: set[int] = set()
    for core in sorted(usable):
        (second if core in seen else first).append(core)
        seen |= cpu_list(_read(cpus / f"cpu{core}" / "topology" / "thread_siblings_list"))
    return first, second


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _size(text: str) -> int:
    """`1024K` in bytes; 0 for what is none."""
    number = text.rstrip("KMG")
    return int(number) * _UNITS.get(text[len(number) :], 0) if number.isdecimal() else 0


def cpu_list(text: str) -> set[int]:
    """`0-3,8`, as Linux writes numbers of CPUs, as a set."""
    cores: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        if low.isdecimal() and (high or low).isdecimal():
            cores.update(range(int(low), int(high or low) + 1))
    return cores


def _from_sysconf() -> tuple[Cache, ...]:
    """Sizes alone: which cores share a cache is not told, so only L3 counts as shared."""
    found = []
    for level, name in _SYSCONF.items():
        with contextlib.suppress(ValueError, OSError):
            if (size_bytes := os.sysconf(name)) > 0:
                found.append(Cache(level, size_bytes, usable_cores() if level == "L3" else 1))
    return tuple(found)

"""The caches of a machine, and what follows from them: cores to use, and sizes of working sets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ceilings_builder import KIB, MIB, example_ceilings

from slmprof.machine import caches as caches_module
from slmprof.machine.caches import data_caches, spread_cores, working_sets
from slmprof.profiles.records.ceilings import Cache


def _describe(folder: Path, *entries: tuple[str, str, str, str]) -> Path:
    for number, (level, kind, size, sharing) in enumerate(entries):
        index = folder / "cpu0" / "cache" / f"index{number}"
        index.mkdir(parents=True)
        texts = {"level": level, "type": kind, "size": size, "shared_cpu_list": sharing}
        for name, text in texts.items():
            (index / name).write_text(f"{text}\n")
    return folder


def test_caches_as_linux_tells_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(caches_module, "usable_cpus", lambda: frozenset({0, 1, 2, 3}))
    folder = _describe(
        tmp_path,
        ("1", "Data", "48K", "0,4"),
        ("1", "Instruction", "32K", "0,4"),
        ("2", "Unified", "1024K", "0-1"),
        ("3", "Unified", "32M", "0-7"),
        ("4", "Unified", "", ""),
        ("?", "Unified", "12K", "0"),
    )
    assert data_caches(folder) == (
        Cache("L1", 48 * KIB, 1),
        Cache("L2", MIB, 2),
        Cache("L3", 32 * MIB, 4),  # four of its eight cores are ours
    )


def test_caches_where_linux_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sizes = {"SC_LEVEL1_DCACHE_SIZE": 32768, "SC_LEVEL2_CACHE_SIZE": 0}

    def sysconf(name: str) -> int:
        if name not in sizes:
            raise ValueError(name)
        return sizes[name]

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert data_caches(tmp_path) == (Cache("L1", 32768, 1),)


def test_threads_go_to_cores_of_their_own_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(caches_module, "usable_cpus", lambda: frozenset({0, 1, 2, 3}))
    for core, siblings in enumerate(("0-1", "0-1", "2,3", "2,3")):
        (tmp_path / f"cpu{core}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{core}" / "topology" / "thread_siblings_list").write_text(siblings)
    assert spread_cores(2, tmp_path) == [0, 2]
    assert spread_cores(3, tmp_path) == [0, 2, 1]
    assert spread_cores(4, tmp_path / "none") == [0, 1, 2, 3]


def test_working_sets() -> None:
    caches = example_ceilings().caches
    free = 1024 * MIB
    assert working_sets(caches, 2, 4, free) == [
        ("L1", 32 * KIB),
        ("L2", MIB),
        ("L3", 4 * MIB),
        ("memory", 64 * MIB),
    ]
    # Memory takes a quarter of what is free at most, and something where no cache is known.
    assert working_sets(caches, 2, 4, 100 * MIB)[-1] == ("memory", 25 * MIB)
    assert working_sets((), 2, 4, 8 * 2**30) == [("memory", 512 * MIB)]
    assert working_sets((Cache("L3", 2**30, 1),), 2, 2, 2**40)[-1] == ("memory", 2**30)


def test_a_level_hardly_larger_than_the_one_before() -> None:
    nearly = (Cache("L2", 4 * MIB, 1), Cache("L3", 6 * MIB, 1))
    assert working_sets(nearly, 1, 1, 2**40)[1] == ("L3", int(4.5 * MIB))
    smaller = (Cache("L2", 4 * MIB, 1), Cache("L3", 5 * MIB, 1))
    assert [level for level, _ in working_sets(smaller, 1, 1, 2**40)] == ["L2", "memory"]

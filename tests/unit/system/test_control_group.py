"""Limits of control groups, by files made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmprof.children.memory import available_bytes
from slmprof.system.control_group import cpu_quota, memory_limit_bytes, memory_room_bytes

NO_LIMIT = 9223372036854771712  # as version 1 tells it


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """`/proc` of a machine with 10000 KiB available, and the folder for groups, which is empty."""
    write(tmp_path / "proc", meminfo="MemTotal: 20000 kB\nMemAvailable: 10000 kB")
    return tmp_path / "proc", tmp_path / "groups"


def test_without_groups_there_is_no_limit(roots: tuple[Path, Path]) -> None:
    assert memory_limit_bytes(*roots) is None and memory_room_bytes(*roots) is None
    assert cpu_quota(*roots) is None
    assert available_bytes(*roots) == 10000 * 1024


def test_a_group_above_the_process_limits_it_too(roots: tuple[Path, Path]) -> None:
    proc, groups = roots
    write(proc / "self", cgroup="0::/user.slice/work.scope")
    write(
        groups / "user.slice",
        memory__max=4096000,
        memory__current=1096000,
        cpu__max="150000 100000",
    )
    write(
        groups / "user.slice/work.scope",
        memory__max="max",
        memory__current=5,
        cpu__max="max 100000",
    )
    write(groups / "other.slice", memory__max=1, memory__current=1, cpu__max="1000 100000")
    assert memory_limit_bytes(proc, groups) == 4096000
    assert memory_room_bytes(proc, groups) == 3000000 == available_bytes(proc, groups)
    assert cpu_quota(proc, groups) == 1.5


def test_version_1_has_a_tree_for_each_controller(roots: tuple[Path, Path]) -> None:
    proc, groups = roots
    write(proc / "self", cgroup="5:memory:/a/b\n4:cpu,cpuacct:/a\n1:name=systemd:/x\n0::/")
    write(groups / "memory", memory__limit_in_bytes=NO_LIMIT, memory__usage_in_bytes=1)
    write(groups / "memory/a", memory__limit_in_bytes=9000, memory__usage_in_bytes=1000)
    write(groups / "memory/a/b", memory__limit_in_bytes=8000, memory__usage_in_bytes=3000)
    write(groups / "cpu", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    write(groups / "cpu/a", cpu__cfs_quota_us=50000, cpu__cfs_period_us=100000)
    assert memory_limit_bytes(proc, groups) == 8000
    assert memory_room_bytes(proc, groups) == 5000
    assert cpu_quota(proc, groups) == 0.5


@pytest.mark.parametrize("path", ["/docker/0123", "/../../docker/0123"])
def test_in_a_container_the_mounted_root_is_its_own_group(
    roots: tuple[Path, Path], path: str
) -> None:
    proc, groups = roots
    write(proc / "self", cgroup=f"0::{path}")
    write(groups, memory__max=7000, memory__current=2000)
    assert (memory_limit_bytes(proc, groups), memory_room_bytes(proc, groups)) == (7000, 5000)


def test_cached_files_that_nobody_uses_leave_room(roots: tuple[Path, Path]) -> None:
    proc, groups = roots
    # A group that has read large files is full of their pages, and has room all the same.
    write(
        groups,
        memory__max=9000,
        memory__current=9000,
        memory__stat="anon 1000\ninactive_file 6000\nactive_file 2000",
    )
    assert memory_room_bytes(proc, groups) == 6000


def test_odd_files_are_no_limit(roots: tuple[Path, Path]) -> None:
    proc, groups = roots
    write(proc / "self", cgroup="nonsense\n\n0::/\n::")
    write(groups, memory__max="?", memory__current="", cpu__max="1 0")
    assert memory_limit_bytes(proc, groups) is None and memory_room_bytes(proc, groups) is None
    assert cpu_quota(proc, groups) is None

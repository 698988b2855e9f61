"""What the control groups (cgroups) of this process leave it, by either version of Linux's.

A limit of a group holds for those below it, too, so all groups from the process's own up to the
root are looked at. In a container the path that `/proc` tells may be the host's, which is not
there; the root of what is mounted is then the container's own group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .files import PROC, read

CONTROL_GROUPS = Path("/sys/fs/cgroup")

# Version 1 has no word for "no limit": it tells the largest number of pages that it can count.
_NO_LIMIT = 1 << 60


class _Group(NamedTuple):
    """The folder of a group, and the version of its files."""

    folder: Path
    version: int

    def number(self, of_v1: str, of_v2: str) -> int | None:
        text = read(str(self.folder / (of_v1 if self.version == 1 else of_v2))).strip()
        return int(text) if text.isdecimal() else None

    def memory_limit_bytes(self) -> int | None:
        limit = self.number("memory.limit_in_bytes", "memory.max")
        return limit if limit is not None and limit < _NO_LIMIT else None

    def memory_used_bytes(self) -> int | None:
        """Without cached files that nobody has used lately: they go first when memory is short."""
        used = self.number("memory.usage_in_bytes", "memory.current")
        if used is None:
            return None
        key = "total_inactive_file" if self.version == 1 else "inactive_file"
        for line in read(str(self.folder / "memory.stat")).splitlines():
            name, _, value = line.partition(" ")
            if name == key and value.strip().isdecimal():
                return max(0, used - int(value))
        return used

    def cpu_quota(self) -> float | None:
        if self.version == 1:
            quota = read(str(self.folder / "cpu.cfs_quota_us"))
            values = [quota.strip(), read(str(self.folder / "cpu.cfs_period_us")).strip()]
        else:
            values = read(str(self.folder / "cpu.max")).split()
        # `max` and `-1` are no limit.
        if len(values) != 2 or not all(value.isdecimal() and int(value) > 0 for value in values):
            return None
        return int(values[0]) / int(values[1])


def memory_limit_bytes(proc: Path = PROC, mounts: Path = CONTROL_GROUPS) -> int | None:
    """The lowest limit of memory; None where there is none.

    Args:
        proc: where `/proc` is.
        mounts: where control groups are mounted.
    """
    limits = [group.memory_limit_bytes() for group in _groups("memory", proc, mounts)]
    return min((limit for limit in limits if limit is not None), default=None)


def memory_room_bytes(proc: Path = PROC, mounts: Path = CONTROL_GROUPS) -> int | None:
    """What may still be taken below every limit of memory; None where there is none."""
    rooms = []
    for group in _groups("memory", proc, mounts):
        limit, used = group.memory_limit_bytes(), group.memory_used_bytes()
        if limit is not None and used is not None:
            rooms.append(max(0, limit - used))
    return min(rooms, default=None)


def cpu_quota(proc: Path = PROC, mounts: Path = CONTROL_GROUPS) -> float | None:
    """How many CPUs' time the process may use; None where there is no limit."""
    quotas = [group.cpu_quota() for group in _groups("cpu", proc, mounts)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _groups(controller: str, proc: Path, mounts: Path) -> Iterator[_Group]:
    """The groups of this process that a controller (`memory`, `cpu`) may limit, its own first."""
    own = "/"
    for line in read(str(proc / "self/cgroup")).splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if not names:
            own = path
        elif controller in names.split(","):
            yield from _upwards(mounts / controller, path, 1)
    for mount in (mounts, mounts / "unified"):
        yield from _upwards(mount, own, 2)


def _upwards(mount: Path, path: str, version: int) -> Iterator[_Group]:
    below = PurePosixPath("/", path)
    # What is outside of this process's view of the groups is told as `/../..`.
    if ".." not in below.parts:
        for place in (below, *below.parents):
            yield _Group(mount / place.relative_to("/"), version)
    else:
        yield _Group(mount, version)

"""Files in which the system tells of itself, as texts; and disks that are full."""

from __future__ import annotations

import errno
from pathlib import Path

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MORE_ROOM = "make room there, or set TMPDIR to another folder"
PROC, SYSFS = Path("/proc"), Path("/sys")


def read(path: str) -> str:
    """A file of the system's; empty where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def proc_value(text: str, key: str) -> str:
    """The value in a line `key: value`; empty where there is none."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def proc_bytes(text: str, key: str) -> int | None:
    """The bytes in a line `key: 12 kB`."""
    value = proc_value(text, key).split()
    return int(value[0]) * 1024 if value and value[0].isdigit() else None


def is_for_want_of_room(error: OSError) -> bool:
    """Whether a file was not written because a disk, a quota or a limit of sizes leaves no room."""
    return error.errno in _NO_ROOM

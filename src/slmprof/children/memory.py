"""The memory of this process: what it may still take, what it has taken at most, and a limit."""

from __future__ import annotations

from pathlib import Path

from ..system.control_group import CONTROL_GROUPS, memory_room_bytes
from ..system.files import PROC, proc_bytes, read

# What planning adds to a process (the libraries that it loads), and what running does: pages of the
# native library, stacks of threads, Python's own objects.
_TO_PLAN_BYTES, _TO_RUN_BYTES = 10 << 20, 5 << 20


def available_bytes(proc: Path = PROC, mounts: Path = CONTROL_GROUPS) -> int | None:
    """Memory that a process could still take, or None where the system does not say.

    Args:
        proc: where `/proc` is.
        mounts: where control groups are mounted.
    """
    available = proc_bytes(read(str(proc / "meminfo")), "MemAvailable")
    rooms = (available, memory_room_bytes(proc, mounts))
    return min((room for room in rooms if room is not None), default=None)


def resident_bytes(pid: int) -> int:
    """What a process has resident now; 0 where the system does not tell."""
    return proc_bytes(read(f"/proc/{pid}/status"), "VmRSS") or 0


def rss_peak_bytes() -> int | None:
    """The most memory that this process has had resident, or None where it is not told."""
    return proc_bytes(read("/proc/self/status"), "VmHWM")


def process_bytes(*, has_planned: bool) -> int:
    """What the process of a run has resident of its own, told from what this one has now.

    Args:
        has_planned: whether this one has loaded already what planning takes.
    """
    now = proc_bytes(read("/proc/self/status"), "VmRSS") or 0
    return now + _TO_RUN_BYTES + (0 if has_planned else _TO_PLAN_BYTES)


def limit_memory() -> None:
    """Makes an allocation beyond the free memory fail, instead of the system killing for it.

    Linux grants memory that it does not have and kills when it is used. The limit on private
    writable memory is set to what this process has now plus what is free; no-op elsewhere.
    """
    available = available_bytes()
    used = proc_bytes(read("/proc/self/status"), "VmData")
    if available is None or used is None:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + available
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))

"""Whether Linux lets this process open a counter of perf's."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Any

# The number of the call perf_event_open, by machine.
_CALLS = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "ppc64le": 319, "s390x": 331}
_SOFTWARE, _CPU_CLOCK = 1, 0  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK
_WITHOUT_KERNEL = 1 << 5 | 1 << 6  # exclude_kernel, exclude_hv: what anybody may count of himself


class _Attributes(ctypes.Structure):
    """`perf_event_attr` as its first version had it, which every Linux takes."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
    )


def open_cpu_clock(libc: Any = None, machine: str | None = None) -> None:
    """Opens the event `cpu-clock` for this thread, in user space, and closes it again.

    Args:
        libc: what `ctypes.CDLL` gives, or what has a function `syscall`.
        machine: the processor's architecture, as `uname` names it.

    Raises:
        OSError: it does not open.
    """
    number = _CALLS.get(machine or platform.machine())
    if number is None:
        raise OSError(None, "the number of its system call is not known here")
    if libc is None:
        libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.sizeof(_Attributes)
    wanted = _Attributes(type=_SOFTWARE, size=size, config=_CPU_CLOCK, flags=_WITHOUT_KERNEL)
    # This thread, on whatever CPU, in no group, without flags.
    handle = libc.syscall(
        ctypes.c_long(number), ctypes.byref(wanted), ctypes.c_int(0), ctypes.c_int(-1),
        ctypes.c_int(-1), ctypes.c_ulong(0),
    )  # fmt: skip
    if handle < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    os.close(handle)

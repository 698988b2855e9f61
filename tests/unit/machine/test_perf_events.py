"""Opening a counter of perf's, with a system call that a test plays."""

from __future__ import annotations

import ctypes
import errno
import os
from types import SimpleNamespace

import pytest

from slmprof.machine.perf_events import open_cpu_clock


def test_what_is_opened_is_closed() -> None:
    opened: list[int] = []

    def syscall(number: ctypes.c_long, *_: object) -> int:
        assert number.value == 241
        opened.append(os.open(os.devnull, os.O_RDONLY))
        return opened[0]

    open_cpu_clock(SimpleNamespace(syscall=syscall), "aarch64")
    with pytest.raises(OSError):
        os.fstat(opened[0])


def test_a_refusal_has_the_systems_reason() -> None:
    def syscall(*_: object) -> int:
        ctypes.set_errno(errno.EACCES)
        return -1

    with pytest.raises(PermissionError, match="Permission denied"):
        open_cpu_clock(SimpleNamespace(syscall=syscall), "x86_64")


def test_an_architecture_without_a_known_number_is_refused() -> None:
    with pytest.raises(OSError, match="not known here"):
        open_cpu_clock(SimpleNamespace(), "vax")

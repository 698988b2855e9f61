"""Runs a program in so much memory, and ends it, and all that it has started, with its parent.

A script, not a module: `python -I -S guard.py PARENT BYTES PROGRAM ARGUMENT…`. It imports nothing
of this package's, so that it costs no more than Python's own start. Standard input stays open for
as long as the program may run. A SIGTERM ends it as well, and then this process.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys


def _limit_addresses(most_bytes: int) -> None:
    """What is started from here on can take no more; a lower limit stays."""
    given = (most_bytes, *resource.getrlimit(resource.RLIMIT_AS))
    least = min(limit for limit in given if limit != resource.RLIM_INFINITY)
    with contextlib.suppress(OSError, ValueError):  # systems that have no such limit
        resource.setrlimit(resource.RLIMIT_AS, (least, least))


def _ends_of(parent: int) -> list[int] | None:
    """What can be read when the parent is gone; None where it is gone already."""
    if os.getppid() == 0:  # it is in a PID namespace of its own, where we cannot see it
        return [0]
    try:
        # A fork of the parent may hold the other end of our input.
        ends = [0, os.pidfd_open(parent)]
    except (OSError, AttributeError):  # an old system, or another one
        ends = [0]
    return ends if os.getppid() == parent else None


def _run(command: list[str], ends: list[int]) -> int:
    """The program's status, 128 and its number where that is a signal."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)  # first: what comes in between is not to be lost
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    try:
        pid = os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            # A group of its own, which this process can end without ending itself.
            setpgroup=0,
        )
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")
    while True:
        ready, _, _ = select.select([woken, *ends], [], [])
        if ready != [woken] or signal.SIGTERM in os.read(woken, 64):
            break
        # Not taken yet: until it is, the number of the group is nobody else's.
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
    os.killpg(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    # What the thread that started this holds back would be held back here, too.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _limit_addresses(int(sys.argv[2]))
    if (found := _ends_of(int(sys.argv[1]))) is None:
        sys.exit(1)
    sys.exit(_run(sys.argv[3:], found))

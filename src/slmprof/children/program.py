"""A program of the system's: within limits, and gone with whoever runs it, however that ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .child import python, starting

_GUARD = str(Path(__file__).with_name("guard.py"))


@dataclass(frozen=True)
class Limits:
    """What a program may take.

    Attributes:
        seconds: until it has ended.
        n_bytes: of addresses, in each of its processes.
    """

    seconds: float
    n_bytes: int


def run_program(command: Sequence[str], limits: Limits) -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end, with nothing on its standard input.

    What it has started ends with it, and all of them with this process, even where that is killed.

    Args:
        command: the program's path, and its arguments.

    Returns:
        What it printed, and its status: above 128 where it died of a signal, and not to be relied
        upon in a program that takes the statuses of all its children.

    Raises:
        subprocess.TimeoutExpired: it took too long. EngineError: the system starts no process.
    """
    arguments = [str(os.getpid()), str(limits.n_bytes), *command]
    with starting():
        # Open for as long as this process wants the program; Popen's own would be closed at once.
        ours, wanted = os.pipe()
        try:
            guard = subprocess.Popen(
                [python(), "-I", "-S", _GUARD, *arguments],
                stdin=ours,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A Ctrl-C of the terminal is for this process, which ends the program.
                start_new_session=True,
            )
        except BaseException:
            os.close(wanted)
            raise
        finally:
            os.close(ours)
    with guard:
        try:
            out, err = guard.communicate(timeout=limits.seconds)
        finally:
            guard.terminate()
            os.close(wanted)
            guard.wait()
    return subprocess.CompletedProcess(command, guard.returncode, out, err)

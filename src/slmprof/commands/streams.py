"""The standard streams of a command, which may be closed or end in a pipe that nobody reads."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import Any

from ..printable import printable

# No message has as much to say; what it quotes may.
_LONGEST, _LONGEST_END = 1500, 300


def open_closed_streams() -> None:
    """Gives a process that was started without stdout or stderr one that leads nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def say(line: str) -> None:
    """Prints to stderr after what stdout holds, and survives a stderr that is gone.

    What messages quote of files may hold anything: nothing of it reaches the terminal that could
    steer it, and of a very long line only the beginning and the end.
    """
    line = line.expandtabs()
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST - _LONGEST_END - 5]} ... {line[-_LONGEST_END:]}"
    try:
        sys.stdout.flush()
    except OSError:
        drop_stdout()
    with contextlib.suppress(OSError):
        print(printable(line), file=sys.stderr, flush=True)


def put(line: str) -> None:
    """Prints a line of a result to stdout; what it quotes of files cannot steer the terminal."""
    print(printable(line.expandtabs()))


def show_traceback(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """As `sys.excepthook`, for `--debug`: the message of an error may quote a file, too."""
    for text in traceback.format_exception(kind, error, trace):
        for line in text.rstrip("\n").split("\n"):
            say(line)


def note(text: str) -> None:
    """Says what a reader should know, on stderr."""
    say(f"slmprof: note: {text}")


def drop_stdout() -> None:
    """Points stdout to nowhere, so that the flush at exit cannot fail."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass

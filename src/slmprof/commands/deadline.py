"""`--timeout` of what a command does itself; a child process has a deadline of its own."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
from collections.abc import Iterator

from ..errors import SlmprofError
from ..settings.kinds import Seconds
from .options import value_of
from .streams import drop_stdout

_AGAIN_SECONDS = 5.0
_LONGEST_SECONDS = 1e8  # three years; a timer cannot be set to more than the system's clock holds


class _TimeIsOver(BaseException):
    """No `Exception`: nothing but `deadline` may take it for an error that it knows."""


def add_deadline(parser: argparse.ArgumentParser) -> None:
    """The option of a command that ends when its time is over; `main` sees to it."""
    parser.add_argument(
        "--timeout",
        dest="deadline",
        type=value_of(Seconds()),
        metavar=Seconds.metavar,
        help="give up after so long (never)",
    )


@contextlib.contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Ends what is done within it after so many seconds, as a Ctrl-C would.

    Only the main thread of a program gets signals: in another one there is no deadline.

    Raises:
        SlmprofError: the time was over.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise _TimeIsOver

    before = signal.signal(signal.SIGALRM, end)
    try:
        try:
            # Again and again: Python swallows what is raised within a destructor.
            signal.setitimer(signal.ITIMER_REAL, min(seconds, _LONGEST_SECONDS), _AGAIN_SECONDS)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _TimeIsOver:
        # It may be who should read it that takes so long: what is left for stdout would wait again.
        drop_stdout()
        raise SlmprofError(
            f"not done after {seconds:g} s (--timeout); give it more time, or leave the option out"
        ) from None
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)

"""The child's side of a question: reads it, answers it, and goes when the parent does."""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ..errors import EngineError, SlmprofError, hand_warnings_to
from .addresses import shortage
from .folder import no_room, remove_folder
from .memory import limit_memory
from .protocol import Json, Progress

_leaving = threading.Lock()


class Parent:
    """The process that has asked: it is told how far the answer is, and gives turns.

    Args:
        channel: what is written here, the parent reads.
        folder: for files, which goes with the parent; empty where there is none.
    """

    def __init__(self, channel: TextIO, folder: str) -> None:
        self._channel, self._folder = channel, folder
        self._turns = threading.Semaphore(0)
        threading.Thread(target=self._listen, daemon=True).start()

    def __call__(self, progress: Progress) -> None:
        self.send(progress=astuple(progress))

    def wait_for_turn(self) -> None:
        """Lets others go on, until it is this process's turn again."""
        self.send(waiting=True)
        self._turns.acquire()

    def hand_over(self, part: Json) -> None:
        """A part of the answer, which the other side has even if this process dies of the next."""
        self.send(part=part)

    def send(self, **message: Any) -> None:
        """One message."""
        try:
            # Native code may have begun a line before we took the channel.
            self._channel.write(f"\n{json.dumps(message)}\n")
        except BrokenPipeError:
            _leave(self._folder)  # nobody reads what we say

    def _listen(self) -> None:
        """Each byte on standard input is a turn; its other end is the parent's."""
        while os.read(0, 1):
            self._turns.release()
        _leave(self._folder)


def serve(job: str, answer: Callable[[Json, str, Parent], Json]) -> NoReturn:
    """Answers the question on standard input and ends the process.

    Args:
        job: what `answer` does, for its errors: `measure the ceilings`.
        answer: is given the question, the folder for its files, if any, and where to report.
    """
    # Ignored in the caller's program it would be here, too: no status of a compiler, for one. So
    # would be what the thread that started this holds back, and a SIGINT that came meanwhile.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _die_of_sigint()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # A backtrace would start a debugger, which may hang; the last log lines say enough.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    # What native code prints to stdout goes to stderr from now on.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    limit_memory()
    told = _next_message()
    if told is None:
        _leave("")  # the parent was gone before it could ask
    folder = str(told["folder"])
    threading.Thread(target=_end_with, args=(told["parent"], folder), daemon=True).start()
    question = _next_message()
    if question is None:
        _leave(folder)
    parent = Parent(channel, folder)
    hand_warnings_to(lambda text: parent.send(warning=text))
    try:
        parent.send(result=answer(question, folder, parent))
    except Exception as error:
        parent.send(error=_report(job, error, folder))
    sys.stderr.flush()
    if folder:
        # Until the parent has removed it and ends this process, or is gone.
        threading.Event().wait()
    # Not sys.exit: what is at work in other threads would hold up the interpreter's end.
    os._exit(0)


def _end_with(parent: int, folder: str) -> None:
    """Waits for the end of the parent, of which a fork may hold the other end of our input."""
    if os.getppid() == 0:
        return  # the parent is in a PID namespace of its own, where we cannot see it
    try:
        handle = os.pidfd_open(parent)
    except ProcessLookupError:
        _leave(folder)
    except (OSError, AttributeError):  # an old system, or another one
        return
    if os.getppid() == parent:
        with selectors.DefaultSelector() as ends:
            ends.register(handle, selectors.EVENT_READ)
            ends.select()
    _leave(folder)


def _next_message() -> Any:
    """What the parent says in the next line; None where it is gone."""
    line = sys.stdin.buffer.readline()
    return json.loads(line) if line.endswith(b"\n") else None


def _die_of_sigint() -> None:
    """Has a SIGINT to this process end it at once, as a SIGTERM does: the parent tells of it.

    Python's own way is an exception anywhere, and a traceback that nobody asked for. Ignored, it
    stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _report(job: str, error: Exception, folder: str) -> Json:
    kind = "CaptureError"
    log_lines: tuple[str, ...] = ()
    if isinstance(error, SlmprofError):
        kind, message = type(error).__name__, str(error)
        if isinstance(error, EngineError):
            log_lines = error.log_lines
    elif text := shortage(error):
        kind, message = "EngineError", f"cannot {job}: {text}"
    elif isinstance(error, MemoryError):
        kind, message = "EngineError", f"cannot {job}: out of memory"
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        full = no_room(Path(folder), error) if folder else ""
        message = f"cannot {job}: {full or f'{where}{error.strerror or error}'}"
    else:
        message = f"cannot {job}: unexpected {type(error).__name__}: {error}"
    if os.environ.get("SLMPROF_DEBUG") and not isinstance(error, SlmprofError):
        # The only kind of error that brings lines with it.
        kind, log_lines = "EngineError", tuple(traceback.format_exc().splitlines())
    return {"type": kind, "message": message, "log_lines": list(log_lines)}


def _leave(folder: str) -> NoReturn:
    """Ends this process after its parent, which could not clear up what it had made for us."""
    _leaving.acquire()  # for good: the work goes on meanwhile and may end here as well
    if folder:
        remove_folder(Path(folder))
    os._exit(1)

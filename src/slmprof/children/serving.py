"""The child's side of a question: reads it, answers it, and goes when the parent does."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any, NoReturn

from ..errors import EngineError, SlmprofError
from .memory import limit_memory
from .protocol import Json, OnProgress, Progress

_leaving = threading.Lock()


def serve(job: str, answer: Callable[[Json, str, OnProgress], Json]) -> NoReturn:
    """Answers the question on standard input and ends the process.

    Args:
        job: what `answer` does, for its errors: `measure the ceilings`.
        answer: is given the question, the folder for its files, if any, and where to report.
    """
    # A backtrace would start a debugger, which may hang; the last log lines say enough.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    # What native code prints to stdout goes to stderr from now on.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    limit_memory()
    asked = json.loads(sys.stdin.buffer.readline() or b"null")
    if asked is None:
        os._exit(1)  # the parent was gone before it could ask
    folder = str(asked["folder"])
    threading.Thread(target=_leave_with_parent, args=(folder,), daemon=True).start()

    def send(**message: Any) -> None:
        try:
            # Native code may have begun a line before we took the channel.
            channel.write(f"\n{json.dumps(message)}\n")
        except BrokenPipeError:
            _leave(folder)  # nobody reads what we say

    def on_progress(progress: Progress) -> None:
        send(progress=astuple(progress))

    try:
        send(result=answer(asked["question"], folder, on_progress))
    except Exception as error:
        send(error=_report(job, error))
    sys.stderr.flush()
    # Not sys.exit: what is at work in other threads would hold up the interpreter's end.
    os._exit(0)


def _report(job: str, error: Exception) -> Json:
    kind = "CaptureError"
    log_lines: tuple[str, ...] = ()
    if isinstance(error, SlmprofError):
        kind, message = type(error).__name__, str(error)
        if isinstance(error, EngineError):
            log_lines = error.log_lines
    elif isinstance(error, MemoryError):
        kind, message = "EngineError", f"cannot {job}: out of memory"
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        message = f"cannot {job}: {where}{error.strerror or error}"
    else:
        message = f"cannot {job}: unexpected {type(error).__name__}: {error}"
    if os.environ.get("SLMPROF_DEBUG") and not isinstance(error, SlmprofError):
        # The only kind of error that brings lines with it.
        kind, log_lines = "EngineError", tuple(traceback.format_exc().splitlines())
    return {"type": kind, "message": message, "log_lines": list(log_lines)}


def _leave_with_parent(folder: str) -> None:
    """Ends this process when standard input does: its other end is the parent's."""
    while os.read(0, 1):
        pass
    _leave(folder)


def _leave(folder: str) -> NoReturn:
    """Ends this process after its parent, which could not clear up what it had made for us."""
    _leaving.acquire()  # for good: the work goes on meanwhile and may end here as well
    if folder:
        # Under another name nothing more can be written into it.
        gone = f"{folder}.gone"
        with contextlib.suppress(OSError):
            Path(folder).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    os._exit(1)

"""One question to a child process of this package, and the side that answers it.

The question is one line of JSON on standard input, which then stays open: when it ends, the parent
is gone and the child goes too. Standard output carries one JSON object a line: {"progress": …},
{"error": …} or {"result": …}. What native code prints goes to standard error.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from .. import errors
from ..errors import EngineError, SlmprofError
from .child import explain_end, started, wait
from .protocol import EXIT_REPORTED, OnProgress, Progress

Json = dict[str, Any]

_LOG_LINES = 40


@contextlib.contextmanager
def asked(module: str, question: Json, what: str, doing: str = "") -> Iterator[Answer]:
    """Starts the child, which works while the caller does something else.

    Args:
        module: of this package, run as a program that calls `serve`.
        what: what the child does, for its errors: `measures the ceilings`.
        doing: stands before the name of a stage where it is no sentence of its own: `measuring `.
    """
    with tempfile.TemporaryFile() as log, started(module, stderr=log) as child:
        # The pipe stays open: its end tells the child that we are gone.
        with contextlib.suppress(BrokenPipeError):
            assert child.stdin
            child.stdin.write(json.dumps(question) + "\n")
            child.stdin.flush()
        yield Answer(child, log, what, doing)


class Answer:
    """An answer in the making."""

    def __init__(self, child: subprocess.Popen[str], log: IO[bytes], what: str, doing: str) -> None:
        self.child = child
        self._log = log
        self._what = what
        self._doing = doing

    def wait(self, on_progress: OnProgress | None = None) -> Json:
        """The result of the child.

        Raises:
            SlmprofError: what the child reported. EngineError: it died.
        """
        assert self.child.stdout
        stage = "starting"
        result: Json | None = None
        reported: Json | None = None
        for line in self.child.stdout:
            message = _message(line)
            if "progress" in message:
                progress = Progress(*message["progress"])
                stage = f"{self._doing}{progress.stage}"
                if on_progress is not None:
                    on_progress(progress)
            result = message.get("result", result)
            reported = message.get("error", reported)
        status = wait(self.child)
        if status != 0 or result is None:
            raise self._error(status, reported, stage)
        return result

    def _error(self, status: int, reported: Json | None, stage: str) -> SlmprofError:
        log = _last_lines(self._log)
        if status == EXIT_REPORTED and reported is not None:
            kind = getattr(errors, str(reported.get("type")), EngineError)
            message = str(reported.get("message"))
            if kind is EngineError:
                return EngineError(message, log_lines=tuple(reported.get("log_lines") or log))
            error: SlmprofError = kind(message)
            return error
        return EngineError(explain_end(self._what, status, log, stage), log_lines=log)


def _message(line: str) -> Json:
    try:
        message = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return message if isinstance(message, dict) else {}


def _last_lines(log: IO[bytes]) -> tuple[str, ...]:
    log.seek(0)
    lines = (line.decode("utf-8", "replace").rstrip() for line in log)
    return tuple(collections.deque((line for line in lines if line), maxlen=_LOG_LINES))


def serve(job: str, answer: Callable[[Json, OnProgress], Json]) -> int:
    """The child's side: reads the question and answers it. Returns the exit status.

    Args:
        job: what `answer` does, for its errors: `measure the ceilings`.
    """
    from ..machine.environment import limit_memory

    # A backtrace would start a debugger, which may hang; the last log lines say enough.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    # What native code prints to stdout goes to stderr from now on.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    limit_memory()

    def send(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")

    def fail(kind: str, message: str, log_lines: Sequence[str] = ()) -> None:
        send(error={"type": kind, "message": message, "log_lines": list(log_lines)})

    def on_progress(progress: Progress) -> None:
        send(progress=[progress.stage, progress.done, progress.total])

    question = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        send(result=answer(question, on_progress))
        return 0
    except BrokenPipeError:
        return 1  # nobody reads what we say
    except SlmprofError as error:
        lines = error.log_lines if isinstance(error, EngineError) else ()
        fail(type(error).__name__, str(error), lines)
    except MemoryError:
        fail("EngineError", f"cannot {job}: out of memory")
    except Exception as error:
        if os.environ.get("SLMPROF_DEBUG"):
            raise
        fail("CaptureError", f"cannot {job}: {type(error).__name__}: {error}")
    return EXIT_REPORTED


def leave(status: int) -> None:
    """Ends the child's process.

    Not by sys.exit: the thread that reads standard input would hold up the interpreter's end.
    """
    sys.stderr.flush()
    os._exit(status)


def _leave_with_parent() -> None:
    """Ends this process when standard input does: its other end is the parent's."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)

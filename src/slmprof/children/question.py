"""One question to a child process of this package, and the answer; `serving` is the child's side.

Standard input has two lines of JSON, {"parent": its process, "folder": for the child's files} and
the question, and then stays open: when it ends, or the parent does, the child removes the folder
and goes too. None is left whenever the parent is killed: the folder is made after its name has been
written, and a child that has one stays until it is removed. Standard output carries one JSON object
a line: {"progress": …}, {"warning": …} and {"part": …} of the answer any number of times, then
{"error": …} or {"result": …}. A child that takes turns with others says {"waiting": true} and goes
on when it reads a byte. What native code prints goes to standard error.
"""

from __future__ import annotations

import collections
import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import errors
from ..errors import EngineError, SlmprofError, SlmprofWarning
from ..native_variant import chosen
from .child import explain_end, started, status_of
from .folder import free_name, remove_folder
from .protocol import Json, OnProgress, Progress

_LOG_LINES = 40
_CHUNK_BYTES = 1 << 16
_LONGEST_POLL_SECONDS = 3600.0  # the system's own limit is some weeks


class ChildDiedError(EngineError):
    """The child has ended without a report."""


@contextlib.contextmanager
def asked(
    module: str,
    question: Json,
    what: str,
    doing: str = "",
    timeout: float | None = None,
    *,
    has_files: bool = True,
    folder_in: Path | None = None,
    needs_native: bool = True,
) -> Iterator[Answer]:
    """Starts the child, which works while the caller does something else.

    Args:
        module: of this package, run as a program that calls `serve`.
        what: what the child does, for its errors: `measures the ceilings`.
        doing: stands before the name of a stage where it is no sentence of its own: `measuring `.
        timeout: seconds that the answer may take; without it any time.
        has_files: whether the child has a folder. What a child asks should have none: the child
            may be killed, and the folder would be left.
        folder_in: where the folder is made, for a file that is to be renamed into place; without
            it where the system has its temporary files.
        needs_native: whether the child is in vain where the native module cannot be loaded.

    Raises:
        OSError: the folder cannot be made. EngineError: the system starts no process.
        UsageError: it would find no native module of the variant that is asked for.
    """
    if needs_native:
        chosen()
    with started(module) as child, contextlib.ExitStack() as ends:
        folder = free_name(folder_in) if has_files else None
        _tell(child, {"parent": os.getpid(), "folder": str(folder or "")})
        if folder is not None:
            folder.mkdir(mode=0o700)
            ends.callback(remove_folder, folder)
        _tell(child, question)
        yield Answer(child, str(folder or ""), what, doing, timeout)


def _tell(child: subprocess.Popen[bytes], message: Any) -> None:
    _write(child, f"{json.dumps(message)}\n".encode())


def _write(child: subprocess.Popen[bytes], data: bytes) -> None:
    """Writes to a child that may have ended. The pipe stays open: its end says that we are gone."""
    assert child.stdin
    # Where the program has SIGPIPE as the system has it, it would end the program: it is held back
    # from this thread, and taken.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGPIPE,))
    is_pending = signal.SIGPIPE in signal.sigpending()
    try:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(data)
    finally:
        if not is_pending:
            signal.sigtimedwait((signal.SIGPIPE,), 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class Answer:
    """An answer in the making.

    Attributes:
        child: the process.
        parts: of the answer, as far as the child has handed it over, whatever becomes of the rest.
        folder: where the child may leave files, or empty; it goes with the question.
        what, doing, timeout: as `asked` has them.
    """

    child: subprocess.Popen[bytes]
    folder: str
    what: str
    doing: str
    timeout: float | None

    def __post_init__(self) -> None:
        self._stage = "starting"
        self._said = _Lines()
        self._log = _Lines(_LOG_LINES)
        self._result: Json | None = None
        self.parts: list[Json] = []
        self._is_waiting = False
        self._deadline = math.inf
        self._restart_clock()

    def wait(self, on_progress: OnProgress | None = None) -> Json:
        """The result of the child, which has then ended, or does nothing more but keep its folder.

        What the child said counts, not its status: another part of this process may have taken it.

        Raises:
            SlmprofError: what the child reported. ChildDiedError: it has ended without a report.
            EngineError: the time was over.
        """
        while self._result is None:
            self.take_turn(on_progress)
        return self._result

    def take_turn(self, on_progress: OnProgress | None = None) -> bool:
        """Lets the child go on until it waits for its next turn.

        Returns:
            Whether it does; else it has ended, and `wait` has its result.

        Raises:
            As `wait`.
        """
        if self._is_waiting:
            self._is_waiting = False
            self._deadline += time.monotonic()
            _write(self.child, b"\n")
        status: int | None = None
        has_reported = False
        try:
            report = self._listen(on_progress)
            if self._is_waiting:
                self._deadline -= time.monotonic()  # what is left, as long as others have a turn
                return True
            if report is None:
                status = status_of(self.child)
            has_reported = report is not None
        finally:
            # With a report it is done; one that has a folder stays until that is removed.
            if not self._is_waiting and not (has_reported and self.folder):
                self.child.kill()
                self.child.wait()
        log = self._last_lines()
        if report is None:
            raise ChildDiedError(explain_end(self.what, status, log, self._stage), log_lines=log)
        if "result" not in report:
            raise _reported(report["error"], log)
        result: Json = report["result"]
        self._result = result
        return False

    def share_time_of(self, other: Answer) -> None:
        """Has no more time than the answer had that this one stands in for."""
        self._deadline = other._deadline

    def _restart_clock(self) -> None:
        self._deadline = math.inf if self.timeout is None else time.monotonic() + self.timeout

    def _listen(self, on_progress: OnProgress | None) -> Json | None:
        """The child's report; None where it ends without one, or waits for its turn."""
        for line in self._lines():
            message = _message(line)
            if isinstance(message, Progress):
                self._stage = f"{self.doing}{message.stage}"
                if not message.is_timed:
                    self._restart_clock()
                if on_progress is not None:
                    on_progress(message)
            elif message is not None and "warning" in message:
                warnings.warn(str(message["warning"]), SlmprofWarning, stacklevel=2)
            elif message is not None and "part" in message:
                self.parts.append(message["part"])
            elif message is not None:
                self._is_waiting = "waiting" in message
                return None if self._is_waiting else message
        return None

    def _lines(self) -> Iterator[bytes]:
        """What the child says, line by line to its end; what it logs meanwhile is kept."""
        assert self.child.stdout and self.child.stderr
        said = self._said
        while said.complete:
            yield said.complete.popleft()
        with selectors.DefaultSelector() as pipes:
            pipes.register(self.child.stdout, selectors.EVENT_READ, said)
            pipes.register(self.child.stderr, selectors.EVENT_READ, self._log)
            while True:
                ready = pipes.select(self._seconds_left())
                for key, _ in ready:
                    data = os.read(key.fd, _CHUNK_BYTES)
                    key.data.add(data)
                    if not data:
                        pipes.unregister(key.fileobj)
                        if key.data is said:
                            return
                while said.complete:
                    yield said.complete.popleft()

    def _seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise EngineError(
                f"not done after {self.timeout:g} s (--timeout), while {self._stage}",
                log_lines=self._last_lines(),
            )
        return min(left, _LONGEST_POLL_SECONDS)

    def _last_lines(self) -> tuple[str, ...]:
        """The end of the log, with what the child wrote just before it ended."""
        stderr = self.child.stderr
        assert stderr
        os.set_blocking(stderr.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(stderr.fileno(), _CHUNK_BYTES):
                self._log.add(data)
        self._log.add(b"")
        return tuple(line.decode("utf-8", "replace") for line in self._log.complete)


class _Lines:
    """Bytes as they come, cut into lines.

    Args:
        n_kept: so many of the last lines are kept; without it all.
    """

    def __init__(self, n_kept: int | None = None) -> None:
        self.complete: collections.deque[bytes] = collections.deque(maxlen=n_kept)
        self._begun: list[bytes] = []

    def add(self, data: bytes) -> None:
        """Takes more bytes in; none at the end of all. Blank lines are left out."""
        first, *others = data.split(b"\n")
        self._begun.append(first)
        for part in others if data else [b""]:
            if line := b"".join(self._begun).rstrip():
                self.complete.append(line)
            self._begun = [part]


def _message(line: bytes) -> Progress | Json | None:
    """What a line says; None where it is no message, such as what a library prints at its start."""
    try:
        message: Any = json.loads(line)
        if "progress" in message:
            return Progress(*message["progress"])
        is_known = (
            any(key in message for key in ("result", "waiting", "warning", "part"))
            or "message" in message["error"]
        )
        return message if is_known else None
    except (ValueError, TypeError, KeyError):
        return None


def _reported(error: Json, log: tuple[str, ...]) -> SlmprofError:
    kind = getattr(errors, str(error.get("type")), EngineError)
    message = str(error["message"])
    if kind is EngineError:
        return EngineError(message, log_lines=tuple(error.get("log_lines") or log))
    found: SlmprofError = kind(message)
    return found

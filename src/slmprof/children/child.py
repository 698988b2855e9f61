"""A child process that runs one of this package's modules and goes when its parent does."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import EngineError
from .addresses import shortage

_GRACE_SECONDS = 5.0
# How ggml announces that it gives up, in a log that may go on after it.
_ABORT = re.compile(r"GGML_ASSERT|GGML_ABORT|ggml_abort|terminate called|what\(\):|Assertion")
_LOST_SERVER = "Remote RPC server crashed"  # as ggml says it
# What a child begins with, given a module and folders. `python -m` would import from the folder in
# which the program happens to run, whoever's it is, before all others. What only the caller's
# program imports from is looked at last.
_PROGRAM = (
    "import sys; _, module, *more = sys.argv; del sys.argv[1:]; "
    "sys.path[:] = dict.fromkeys(filter(None, [*sys.path, *more])); "
    "import runpy; runpy.run_module(module, None, '__main__', True)"
)


@contextlib.contextmanager
def started(module: str) -> Iterator[subprocess.Popen[bytes]]:
    """The child with its three pipes; killed if it still runs when this ends, in whatever way.

    Raises:
        EngineError: the system starts no process.
    """
    # The child must find this very package, also where it is not installed.
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    # Until the child has chosen to die of it: while it starts, Python would end in a traceback.
    held_before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        with starting():
            child = subprocess.Popen(
                [python(), "-c", _PROGRAM, module, *_import_folders()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # numpy's own threads would take time to start, and cores from what is measured.
                env={
                    "OPENBLAS_NUM_THREADS": "1",
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(paths),
                },
                # A Ctrl-C of the terminal is for the parent, which ends the child in its own way.
                start_new_session=True,
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held_before)
    with ended(child):
        yield child


def python() -> str:
    """The Python that this program is. Raises EngineError where it does not say."""
    if not sys.executable:
        raise EngineError(
            "this program does not say which Python it is: set sys.executable to the path of one"
        )
    return sys.executable


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Says why the system starts no process. Raises EngineError."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        cause = shortage(error) or f"{where}{error.strerror or error}"
        raise EngineError(f"no process can be started: {cause}") from error


@contextlib.contextmanager
def ended(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ends a child with three pipes, if it still runs, when this ends in whatever way."""
    try:
        yield
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            assert stream
            stream.close()


def _import_folders() -> list[str]:
    """Where this program imports from, but for the folder that it happens to run in."""
    return [path for path in sys.path if isinstance(path, str) and path]


def status_of(child: subprocess.Popen[bytes]) -> int | None:
    """The status of a child that has closed its end already; None where it does not exit."""
    try:
        return child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def explain_end(what: str, status: int | None, log: Sequence[str], stage: str) -> str:
    """How a child ended that did not say so itself, with what ggml last said of it.

    Args:
        what: what the process does: `runs llama.cpp`.
        status: as `status_of` has it.
        stage: what it was doing: `loading`.
    """
    if status is None:
        how = "no longer answers"
    elif status < 0:
        number = -status
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        how = f"died of {name}"
        if number == signal.SIGKILL:
            how += " (killed from outside; most often the system was out of memory)"
    elif status == 0:
        # A thread of the caller's program may wait for all children, or SIGCHLD may be ignored.
        how = "ended without an answer (with status 0, or one that this program took elsewhere)"
    else:
        how = f"ended with status {status}"
    cause = next((line for line in reversed(log) if _ABORT.search(line)), "")
    message = f"the process that {what} {how} while {stage}"
    if any(_LOST_SERVER in line for line in log):
        return (
            f"{message}: the RPC server was lost; does it still run, has it memory "
            "to spare, and is it ggml-rpc-server of this llama.cpp?"
        )
    cause = cause or shortage(log) or ""
    return f"{message}: {cause}" if cause else message

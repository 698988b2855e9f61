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
from typing import IO

GRACE_SECONDS = 5.0
# How ggml announces that it gives up, in a log that may go on after it.
_ABORT = re.compile(r"GGML_ASSERT|GGML_ABORT|ggml_abort|terminate called|what\(\):|Assertion")


@contextlib.contextmanager
def started(
    module: str, *arguments: str, stderr: int | IO[bytes] = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """The child; killed if it still runs when this ends, in whatever way."""
    # The child must find this very package, also where it is not installed.
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
        errors="replace",
        # numpy's own threads would take time to start, and cores from what is measured.
        env={
            "OPENBLAS_NUM_THREADS": "1",
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
        },
        # A Ctrl-C of the terminal is for the parent, which ends the child in its own way.
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def wait(child: subprocess.Popen[str]) -> int:
    """The child's status; it has closed its end already and needs only to exit."""
    try:
        return child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def explain_end(what: str, status: int, log: Sequence[str], stage: str) -> str:
    """How a child ended that did not say so itself, with what ggml last said of it.

    Args:
        what: what the process does: `runs llama.cpp`.
        stage: what it was doing: `loading`.
    """
    if status < 0:
        number = -status
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        how = f"died of {name}"
        if number == signal.SIGKILL:
            how += " (killed from outside; most often the system was out of memory)"
    else:
        how = f"ended with status {status}"
    cause = next((line for line in reversed(log) if _ABORT.search(line)), "")
    message = f"the process that {what} {how} while {stage}"
    return f"{message}: {cause}" if cause else message

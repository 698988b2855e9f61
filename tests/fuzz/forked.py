"""Runs slmprof's commands in forks of this process, which has loaded everything once.

A command of its own takes most of a second to load what it needs, and its worker the same again.
A fork has it already: the same code runs, in processes of their own, a hundred milliseconds sooner
for each. What differs is where the interpreter begins and ends, and that libraries count as
resident memory from the start. `run_really` runs a command as a user does, to compare.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import pkgutil
import runpy
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from endings import MOST_BYTES, MOST_SECONDS, Ending

import slmprof
from slmprof.children import question
from slmprof.children.child import ended
from slmprof.commands.main import main

# Killed only behind the limit, so that the table has how much it was.
_KILL_CPU_SECONDS, _KILL_SECONDS = 3 * MOST_SECONDS, 300.0
_KILL_BYTES = 3 * MOST_BYTES
_LOOK_SECONDS = 0.1
_GRACE_SECONDS = 3.0
_PR_SET_CHILD_SUBREAPER = 36
_BROKE = 70  # the status of a command from which an exception escaped
# Loaded within functions of slmprof, in most commands.
_LAZY = ("pandas", "rich.console", "rich.table", "rich.progress", "gguf", "msgspec", "json")
_RUN_ONLY = ("__main__", "worker", "keeper", "_worker")
_FILTERS, _SHOW_WARNING = list(warnings.filters), warnings.showwarning


def load_everything() -> None:
    """Loads slmprof, but for the modules that run as programs; and adopts what forks leave."""
    for module in pkgutil.walk_packages(slmprof.__path__, "slmprof."):
        if not module.name.rpartition(".")[2].endswith(_RUN_ONLY):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
    for name in _LAZY:
        importlib.import_module(name)
    # What an ended command leaves running becomes a child of this process, and is seen.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    gc.collect()
    gc.freeze()  # else each fork writes to the pages of all objects when it collects


def run_forked(arguments: Sequence[str], folder: Path, limit_bytes: int | None = None) -> Ending:
    """Runs a command, with its standard output and error in the folder, and a place for temporary
    files there.

    Args:
        limit_bytes: that no file may be longer than.
    """
    _scratch(folder)
    pid = os.fork()
    if pid == 0:
        _become(lambda: _run_command(arguments, folder, limit_bytes))
    status, usage, stopped = _waited(pid)
    return _ending(os.waitstatus_to_exitcode(status), usage, stopped, folder)


def run_really(arguments: Sequence[str], folder: Path) -> Ending:
    """Runs a command as a user does: by an interpreter of its own."""
    scratch = _scratch(folder)
    source = str(Path(slmprof.__file__).parents[1])
    with Path(folder, "stdout").open("wb") as out, Path(folder, "stderr").open("wb") as err:
        child = subprocess.Popen(
            [sys.executable, "-m", "slmprof", *arguments], stdin=subprocess.DEVNULL, stdout=out,
            stderr=err, env={**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": source},
            start_new_session=True,
        )  # fmt: skip
    status, usage, stopped = _waited(child.pid)
    child.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    return _ending(child.returncode, usage, stopped, folder)


def _ending(status: int, usage: Any, stopped: str, folder: Path) -> Ending:
    left = [*_left_processes(), *(f"tmp/{path.name}" for path in Path(folder, "tmp").iterdir())]
    out, err = (Path(folder, name).read_bytes() for name in ("stdout", "stderr"))
    seconds, peak_bytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    return Ending(status, out, err, seconds, peak_bytes, stopped, tuple(sorted(left)))


def _scratch(folder: Path) -> Path:
    scratch = folder / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return scratch


def _waited(pid: int) -> tuple[int, Any, str]:
    """Waits for a process; kills it where it takes far too much. Status, usage, and why."""
    stopped, n_looks = "", 0
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        while not poll.poll(_LOOK_SECONDS * 1000):
            family = [pid, *_descendants(pid)]
            n_looks += 1  # not a clock, which goes on while all of this is stopped
            if sum(map(_cpu_seconds, family)) > _KILL_CPU_SECONDS:
                stopped = "time"
            elif n_looks * _LOOK_SECONDS > _KILL_SECONDS:
                stopped = "it hung"
            elif max(map(_resident_bytes, family)) > _KILL_BYTES:
                stopped = "memory"
            if stopped:
                for member in family:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(member, signal.SIGKILL)
                break
    finally:
        os.close(handle)
    _, status, usage = os.wait4(pid, 0)
    return status, usage, stopped


def _left_processes() -> list[str]:
    """Names of processes that a command has left; a worker has a moment to see that it is alone."""
    end = time.monotonic() + _GRACE_SECONDS
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                if time.monotonic() > end:
                    break
                time.sleep(0.005)
        except ChildProcessError:
            return []
    left = _descendants(os.getpid())
    for pid in left:
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return [f"process {pid}" for pid in left]


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process, and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _become(run: Callable[[], int]) -> None:
    """Ends this process with what `run` returns, as the interpreter would."""
    status = _BROKE
    try:
        status = run()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _run_command(arguments: Sequence[str], folder: Path, limit_bytes: int | None) -> int:
    os.setsid()
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, str(folder / "stdout"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, str(folder / "stderr"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        handle = os.open(name, flags, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    _open_streams()
    if limit_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    os.environ["TMPDIR"] = str(folder / "tmp")
    tempfile.tempdir = None
    question.started = _started
    sys.argv = ["slmprof", *arguments]
    return main()


def _open_streams() -> None:
    """Python's streams of the handles 0 to 2, as a new interpreter has them."""
    sys.stdin = os.fdopen(0, "r", encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)


class _Child:
    """As much of `subprocess.Popen` as slmprof asks of a child process, of a fork."""

    def __init__(self, module: str) -> None:
        (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = (
            os.pipe() for _ in range(3)
        )
        theirs = (stdin, stdout, stderr)
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(lambda: _run_module(module, theirs))
        for handle in theirs:
            os.close(handle)
        self.stdin: BinaryIO = os.fdopen(to_stdin, "wb", 0)
        self.stdout: BinaryIO = os.fdopen(from_stdout, "rb", 0)
        self.stderr: BinaryIO = os.fdopen(from_stderr, "rb", 0)

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, 0 if end is None else os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("slmprof", timeout or 0.0)
            else:
                time.sleep(0.002)
        return self.returncode


@contextlib.contextmanager
def _started(module: str) -> Iterator[Any]:
    """As `slmprof.children.child.started`."""
    child: Any = _Child(module)
    with ended(child):
        yield child


def _run_module(module: str, handles: Sequence[int]) -> int:
    """`python -m` of a module, with these three handles as its standard streams."""
    os.setsid()
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
    os.closerange(3, 1024)
    _open_streams()
    warnings.filters[:] = _FILTERS
    warnings.showwarning = _SHOW_WARNING
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0

"""Programs of the system's: what they may take, and that they go with whoever runs them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from child_builder import PACKAGE_ROOT
from processes import is_gone, wait_for

from slmprof.children.program import Limits, run_program
from slmprof.errors import EngineError

AMPLE = Limits(60.0, 4 << 30)
SH = "/bin/sh"
# Starts another one, as a compiler does, tells of both, and waits.
STARTS_ANOTHER = "sleep 600 & echo $$ $! >told.new; mv told.new told; wait"


@pytest.fixture(params=["left alone", "ignored"])
def statuses(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the program learns the statuses of its children."""
    before = signal.getsignal(signal.SIGCHLD)
    if request.param == "ignored":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield request.param == "left alone"
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize(
    ("end", "status"), [("exit 7", 7), ("kill -SEGV $$", 128 + signal.SIGSEGV), ("exit 0", 0)]
)
def test_what_it_says(
    statuses: bool, end: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", "marked")
    told = f'echo "$1"; echo err >&2; cat; echo $MARK; {end}'
    done = run_program([SH, "-c", told, "sh", "a b"], AMPLE)
    assert (done.stdout, done.stderr) == (b"a b\nmarked\n", b"err\n")
    assert done.returncode == (status if statuses else 0)


def test_signals_that_are_held_back_or_ignored_are_not_the_programs() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGCHLD))
    try:
        done = run_program([SH, "-c", "grep SigBlk /proc/self/status"], AMPLE)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert int(done.stdout.split()[1], 16) == 0


def test_what_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_program([str(tmp_path / "none")], AMPLE)
    assert done.returncode == 1 and done.stderr.endswith(b"none: No such file or directory\n")
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(EngineError, match=r"set sys\.executable"):
        run_program([SH, "-c", ""], AMPLE)


def test_memory_is_limited() -> None:
    limits = Limits(60.0, 512 << 20)
    done = run_program([SH, "-c", "ulimit -v; ulimit -Hv"], limits)
    assert done.stdout.split() == [b"%d" % (512 << 10)] * 2
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, hard))
    try:
        assert run_program([SH, "-c", "ulimit -v"], AMPLE).stdout == b"%d\n" % (3 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def told_of(folder: Path) -> list[int]:
    wait_for((folder / "told").exists)
    return list(map(int, (folder / "told").read_text().split()))


@pytest.mark.usefixtures("statuses")
def test_time_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    begin = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run_program([SH, "-c", STARTS_ANOTHER], Limits(2.0, AMPLE.n_bytes))
    assert time.monotonic() - begin < 60
    running = told_of(tmp_path)
    wait_for(lambda: all(map(is_gone, running)))


def test_what_it_leaves_behind_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for end in ("exit 0", "kill -KILL $$"):
        run_program([SH, "-c", STARTS_ANOTHER.replace("wait", end)], AMPLE)
        (_, left) = told_of(tmp_path)
        wait_for(lambda left=left: is_gone(left))


PARENT = f"""
import os, signal, sys, time
from slmprof.children.program import Limits, run_program
if sys.argv[1] == "forked":
    # The fork comes while the program runs, and has all that this process has open.
    def fork(*_):
        if os.fork() == 0:
            os.closerange(0, 3)
            signal.alarm(0)
            open("fork", "w").write(str(os.getpid()))
            time.sleep(600)
    signal.signal(signal.SIGALRM, fork)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
run_program([{SH!r}, "-c", {STARTS_ANOTHER!r}], Limits(600.0, 4 << 30))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("way", ["alone", "forked"])
def test_it_goes_with_its_parent(tmp_path: Path, number: signal.Signals, way: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, way], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT},
    ) as parent:  # fmt: skip
        try:
            running = told_of(tmp_path)
            if way == "forked":
                wait_for(lambda: (tmp_path / "fork").exists() and (tmp_path / "fork").read_text())
            assert not any(map(is_gone, running))
            parent.send_signal(number)
            _, err = parent.communicate(timeout=60)
        finally:
            parent.kill()
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)
    try:
        wait_for(lambda: all(map(is_gone, running)))
    finally:
        if way == "forked":
            os.kill(int((tmp_path / "fork").read_text()), signal.SIGKILL)

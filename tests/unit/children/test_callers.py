"""Programs that ask: what they do with signals, pipes and imports is no matter to the child."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from child_builder import PACKAGE_ROOT

import slmprof
from slmprof.children.question import asked
from slmprof.errors import EngineError

CHILD = """
import os, signal, sys, time
from slmprof.children.serving import serve
def answer(question, folder, parent):
    return {answer}
serve("do this", answer)
"""
HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1)


def write_child(folder: Path, answer: str = "{}") -> str:
    (folder / "a_child_of_callers.py").write_text(CHILD.replace("{answer}", answer))
    return "a_child_of_callers"


def run(program: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """A program of its own, whose folder is on no path of its environment."""
    (folder / "host.py").write_text(textwrap.dedent(program))
    return subprocess.run(
        [sys.executable, str(folder / "host.py")],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT}, **options,
    )  # fmt: skip


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Some signals, from this thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_the_folder_in_which_a_program_runs_is_not_imported_from(tmp_path: Path) -> None:
    """It is whoever's the model is."""
    program, foreign = tmp_path / "program", tmp_path / "foreign"
    program.mkdir()
    foreign.mkdir()
    for name in ("json", "runpy", "numpy", "msgspec", "slmprof"):
        (foreign / f"{name}.py").write_text("import os; os._exit(66)")
    told = """
        from slmprof.children.keeper import kept_folder
        with kept_folder() as folder:
            print(folder.is_dir())
    """
    done = run(told, program, cwd=str(foreign))
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_what_the_program_imports_from_is_the_childs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write_child(tmp_path, '{"path": sys.path, "argv": sys.argv[1:]}')
    monkeypatch.setattr(sys, "path", ["", *sys.path, str(tmp_path), ""])
    with asked(name, {}, "does this") as answer:
        told = answer.wait()
    # Last: what the child finds without it stays what it is.
    assert told["path"][0] == PACKAGE_ROOT and told["path"][-1] == str(tmp_path)
    assert "" not in told["path"] and len(set(told["path"])) == len(told["path"])
    assert told["argv"] == []


def test_signals_that_a_thread_holds_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write_child(tmp_path, "{'mask': sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))}")
    monkeypatch.syspath_prepend(str(tmp_path))
    with held_back(), asked(name, {}, "does this") as answer:
        assert answer.wait() == {"mask": []}
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= set(HELD_BACK)


SIGPIPE = """
    import os, signal
    from slmprof.children.question import ChildDiedError, asked

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {mask})
    if {is_pending}:
        os.kill(os.getpid(), signal.SIGPIPE)
    try:
        # More than a pipe holds, for a child that never reads it.
        with asked("slmprof.no_such_module", {{"long": "x" * 300_000}}, "does this") as answer:
            answer.wait()
    except ChildDiedError as error:
        print(error)
    print(signal.getsignal(signal.SIGPIPE) == signal.SIG_DFL,
          signal.SIGPIPE in signal.pthread_sigmask(signal.SIG_BLOCK, ()),
          signal.SIGPIPE in signal.sigpending())
"""


@pytest.mark.parametrize(
    ("mask", "is_pending", "after"),
    [
        ("()", False, "True False False"),
        ("(signal.SIGPIPE,)", False, "True True False"),
        ("(signal.SIGPIPE,)", True, "True True True"),
    ],
)
def test_sigpipe_ends_no_program(tmp_path: Path, mask: str, is_pending: bool, after: str) -> None:
    done = run(SIGPIPE.format(mask=mask, is_pending=is_pending), tmp_path)
    assert done.returncode == 0, done.stderr
    told, state = done.stdout.splitlines()
    assert told == "the process that does this ended with status 1 while starting"
    assert state == after


def test_a_program_without_a_handle_to_spare() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, before[1]))
    try:
        with (
            pytest.raises(EngineError, match=r"^no process can be started: Too many open files$"),
            asked("slmprof.children.keeper", {}, "does this"),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_program_that_is_no_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(EngineError, match=r"set sys\.executable"):
        slmprof.profile("preset:tiny")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(EngineError, match=r"no process can be started: .*gone: No such file"):
        slmprof.profile("preset:tiny")

"""A Ctrl-C ends a command with exit code 130 and one line, wherever it reaches it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from slmprof.commands import doctor
from slmprof.commands.main import main

SOURCE = Path(__file__).resolve().parents[3] / "src"

WHILE_MODULES_LOAD = """
import runpy, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "slmprof.commands.main":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
sys.argv[1:] = ["doctor"]
runpy.run_module("slmprof", run_name="__main__")
"""
# Out of which no exception comes.
IN_A_CALLBACK = """
import signal, sys, time, weakref
from slmprof.commands import doctor
from slmprof.__main__ import run
class Thing:
    pass
def work(args):
    thing = Thing()
    watched = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    time.sleep(60)
    return 0
doctor.run = work
sys.argv[1:] = ["doctor"]
sys.exit(run())
"""


@pytest.mark.parametrize("program", [WHILE_MODULES_LOAD, IN_A_CALLBACK], ids=["load", "callback"])
def test_a_program_that_is_interrupted(program: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    assert (answer.returncode, answer.stdout) == (130, "")
    assert answer.stderr == "slmprof: interrupted\n"


def wrapped() -> None:
    # As Python before 3.12 does where a class is made.
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise RuntimeError("Error calling __set_name__") from error


def while_it_was_cleaned_up() -> None:
    try:
        raise KeyboardInterrupt
    finally:
        raise ValueError("something is gone")


@pytest.mark.parametrize("work", [wrapped, while_it_was_cleaned_up])
def test_an_error_that_comes_of_an_interrupt(
    work: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "run", lambda _: work())
    assert main(["doctor"]) == 130
    assert capfd.readouterr().err == "slmprof: interrupted\n"

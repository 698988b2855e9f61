"""`--timeout`: every command has it, and what slmprof does itself ends by it, too."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import example_profile

from slmprof.commands.deadline import deadline
from slmprof.commands.main import COMMANDS, build_parser, main
from slmprof.errors import SlmprofError

SOON = "0.05"
SOURCE = Path(__file__).resolve().parents[3] / "src"


def _without_end(*_: object, **__: object) -> None:
    while True:
        with contextlib.suppress(Exception):
            pass


def _parsers(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, list[str]]]:
    """The name of each command, those of a command too, and its options."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        yield name, [text for action in parser._actions for text in action.option_strings]
    for action in inner:
        for known, sub in action.choices.items():
            yield from _parsers(sub, f"{name} {known}".strip())


def test_every_command_has_a_timeout() -> None:
    found = dict(_parsers(build_parser(), ""))
    assert {name.split()[0] for name in found} == set(COMMANDS) and len(found) > len(COMMANDS)
    assert [name for name, options in found.items() if "--timeout" not in options] == []


def test_what_takes_longer_ends_and_the_signal_is_the_callers_again() -> None:
    before = signal.getsignal(signal.SIGALRM)
    for seconds in (float(SOON), 1e-9):
        with (
            pytest.raises(SlmprofError, match=r"not done after .* s \(--timeout\)"),
            deadline(seconds),
        ):
            _without_end()
        assert signal.getsignal(signal.SIGALRM) is before
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_is_done_in_time_is_not_disturbed() -> None:
    before = signal.getsignal(signal.SIGALRM)
    for seconds in (None, 1e300, 600):
        with deadline(seconds):
            pass
        assert signal.getsignal(signal.SIGALRM) is before
    with pytest.raises(KeyError), deadline(600):
        raise KeyError
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_another_thread_touches_no_signal() -> None:
    done = []

    def work() -> None:
        with deadline(600):
            done.append(signal.getitimer(signal.ITIMER_REAL))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [(0, 0)]


@pytest.mark.parametrize(
    "command",
    [
        ["show", "p.slmprof"],
        ["show", "p.slmprof", "p.slmprof"],
        ["compare", "p.slmprof", "p.slmprof"],
        ["sweep", "--show", "."],
    ],
    ids=" ".join,
)
def test_a_command_that_starts_no_process_ends(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    example_profile().save("p.slmprof")
    assert main([*command, "--timeout", "600"]) == 0
    capsys.readouterr()
    monkeypatch.setattr("slmprof.views.load", _without_end)
    assert main([*command, "--timeout", SOON]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"slmprof: error: not done after {SOON} s (--timeout)")
    assert list(tmp_path.iterdir()) == [tmp_path / "p.slmprof"]


def test_a_reader_that_does_not_read_cannot_keep_a_command(tmp_path: Path) -> None:
    path = tmp_path / "p.slmprof"
    example_profile().save(path)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(1 << 16))
    os.set_blocking(writing, True)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "slmprof", "show", path, "--timeout", "2"],
            env={**os.environ, "PYTHONPATH": str(SOURCE)}, text=True, check=False, timeout=300,
            stdout=writing, stderr=subprocess.PIPE,
        )  # fmt: skip
    finally:
        os.close(writing)
        os.close(reading)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "not done after 2 s (--timeout)" in done.stderr


def test_synth_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("slmprof.models.synthesis.plan_source", _without_end)
    assert main(["synth", "tiny", "-o", str(tmp_path / "m.gguf"), "--timeout", SOON]) == 1
    assert "--timeout" in capsys.readouterr().err and list(tmp_path.iterdir()) == []

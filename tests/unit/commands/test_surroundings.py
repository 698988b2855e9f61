"""Environment variables and limits of the system under which a command is run."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from builders import example_profile

from slmprof.children import addresses
from slmprof.children.child import explain_end
from slmprof.commands import progress
from slmprof.commands.main import main

SOURCE = Path(__file__).resolve().parents[3] / "src"


@pytest.mark.parametrize("columns", ["0", "000", "\u00b2", "-3", "many", "1", "2", "7"])
def test_any_width(
    columns: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    path = tmp_path / "p.slmprof"
    example_profile().save(path)
    for options in ([], ["--full"], ["--by", "op"]):
        assert main(["show", str(path), *options]) == 0
    assert main(["show", "--help"]) == 0
    out, err = capsys.readouterr()
    assert out and err == ""
    if not columns.isdecimal() or not int(columns):
        assert max(map(len, out.splitlines())) > 60


def test_progress_of_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    master, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stream, progress.ProgressBar(stream):
        pass
    os.close(master)


def limited(n_bytes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with a limit on its addresses."""
    return subprocess.run(
        [sys.executable, "-m", "slmprof", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes)),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("n_mebibytes", [64, 160, 200])
def test_few_addresses(n_mebibytes: int, tmp_path: Path) -> None:
    path = tmp_path / "p.slmprof"
    example_profile().save(path)
    answer = limited(n_mebibytes << 20, "show", str(path))
    if n_mebibytes > 64 and answer.returncode == 0:
        return  # enough for this machine's libraries
    assert answer.returncode == 1 and answer.stdout == ""
    assert answer.stderr == (
        "slmprof: error: there is not enough address space: it is limited to "
        f"{n_mebibytes} MiB (ulimit -v); raise the limit\n"
    )


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (MemoryError(), True),
        (ImportError("x.so: failed to map segment from shared object"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("can't start new thread"), True),
        (ImportError("no module named x"), False),
        (OSError(2, "No such file or directory"), False),
    ],
)
def test_errors_that_tell_of_too_few_addresses(
    error: Exception, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapped = ImportError("see the troubleshooting tips")
    wrapped.__cause__ = error
    monkeypatch.setattr(addresses, "limit_bytes", lambda: None)
    assert addresses.shortage(error) is None and addresses.prepare() is None
    monkeypatch.setattr(addresses, "limit_bytes", lambda: 200 << 20)
    for one in (error, wrapped):
        text = addresses.shortage(one)
        assert (text is not None) == is_told
        assert text is None or "limited to 200 MiB (ulimit -v)" in text


def test_a_child_with_too_few_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "limit_bytes", lambda: 200 << 20)
    log = ["Traceback (most recent call last):", "ImportError: failed to map segment"]
    text = explain_end("runs llama.cpp", 1, log, "starting")
    assert "while starting: there is not enough address space" in text


def test_limits_keep_numpy_to_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setattr(addresses, "limit_bytes", lambda: 1 << 30)
    assert addresses.prepare() is None
    assert os.environ.pop("OPENBLAS_NUM_THREADS") == "1"
    monkeypatch.setattr(addresses, "limit_bytes", lambda: 1 << 26)
    assert "limited to 64 MiB" in (addresses.prepare() or "")

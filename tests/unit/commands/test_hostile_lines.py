"""What commands say of arguments, paths and files that hold hostile text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import example_profile
from hostile import HOSTILE, hostile_profile, steering

from slmprof.commands import progress
from slmprof.commands.main import main
from slmprof.commands.streams import put

SOURCE = Path(__file__).resolve().parents[3] / "src"
# As an argument: the system knows none with a NUL. As the name of a file: nor with a slash.
ARGUMENT = f"a{HOSTILE}b".replace("\0", "")


def said(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    return out + err


@pytest.mark.parametrize(
    "arguments",
    [
        [ARGUMENT],
        [f"--{ARGUMENT}"],
        ["breakdown", ARGUMENT],
        ["breakdown", "m.gguf", f"--{ARGUMENT}"],
        ["breakdown", f"{ARGUMENT}.gguf"],
        ["breakdown", f"preset:{ARGUMENT}"],
        ["breakdown", f"preset:tiny@{ARGUMENT}"],
        ["breakdown", f"{ARGUMENT}/config.json"],
        *(
            ["breakdown", "m.gguf", option, ARGUMENT]
            for option in (
                *("--type-k", "--n-prompt", "--flash-attn", "--device", "--override-tensor"),
                *("--prompt-file", "--save", "--format", "--by", "--threads", "--timeout"),
            )
        ),
        ["memory", ARGUMENT],
        ["memory", "preset:tiny", "--fit", ARGUMENT],
        ["synth", ARGUMENT, "-o", "x.gguf"],
        ["synth", "tiny", "-o", f"{ARGUMENT}/x.gguf"],
        ["synth", "tiny", "-o", "x.gguf", "--file-type", ARGUMENT],
        ["show", ARGUMENT],
        ["show", ARGUMENT, "other"],
        ["compare", ARGUMENT, ARGUMENT],
        ["compare", "a", "b", "--fail-if", ARGUMENT],
        ["sweep", "--model", ARGUMENT, "-o", ARGUMENT],
        ["sweep", "--show", ARGUMENT],
        ["quant", ARGUMENT],
        ["quant", "dry-run", ARGUMENT],
        ["quant", "dry-run", "m.gguf", "--tensor-type", ARGUMENT],
        ["quant", "make", "m.gguf", "-o", "x.gguf", "--scheme", ARGUMENT],
        ["quant", "quality", ARGUMENT, "--text", ARGUMENT],
        ["roofline", "--ceilings", ARGUMENT],
        ["roofline", "--device", ARGUMENT],
    ],
)
def test_arguments(
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) in (1, 2)
    text = said(capsys)
    assert text.startswith("slmprof: error: ") and steering(text) == set()


@pytest.mark.parametrize("arguments", [["x" * 100_000], ["show", "y" * 100_000]])
def test_long_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    text = said(capsys)
    assert text.startswith("slmprof: error: ") and text.count("\n") == 1
    # The beginning and the end of a message say what it is about.
    assert len(text) <= 1501 and arguments[-1][:300] in text and " ... " in text


def test_profiles_and_their_paths(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / ARGUMENT.replace("/", "")
    folder.mkdir()
    path = folder / "p.slmprof"
    hostile_profile(example_profile()).save(path)
    for arguments in ([], ["--full"], ["--format", "csv"], ["--format", "markdown"]):
        assert main(["show", str(path), *arguments]) == 0
        assert steering(said(capsys)) == set()
    assert main(["show", str(path), str(path)]) == 0
    assert steering(said(capsys)) == set()
    path.write_bytes(b"PK")
    assert main(["show", str(path)]) == 2
    text = said(capsys)
    assert "title" in text and text.count("\n") == 1 and steering(text) == set()


def test_tracebacks(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "slmprof", "--debug", "show", ARGUMENT],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    text = answer.stderr.decode()
    assert answer.returncode == 1 and answer.stdout == b""
    assert text.startswith("Traceback") and "title" in text and steering(text) == set()


def test_lines_of_results(capsys: pytest.CaptureFixture[str]) -> None:
    put(f"{ARGUMENT}: written")
    text = said(capsys)
    assert text.endswith("b: written\n") and steering(text) == set()


def test_stages_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    class Bar:
        def update(self, _task: object, **values: Any) -> None:
            seen.append(values)

    class Step:
        stage, done, total = ARGUMENT, 1, 2

    bar = progress.ProgressBar(sys.__stderr__ or sys.stderr)
    monkeypatch.setattr(bar, "_bar", Bar())
    monkeypatch.setattr(bar, "_task", 0, raising=False)
    bar.update(Step())
    assert steering(seen[0]["description"]) == set() and "title" in seen[0]["description"]

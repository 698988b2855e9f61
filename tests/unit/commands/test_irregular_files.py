"""What is no regular file is refused by its name, at once, and before any process works for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slmprof.commands.main import main

# The file stands where FILE does; beside it are a whole model and one of two parts.
COMMANDS = [
    ["breakdown", "FILE"],
    ["breakdown", "FILE.json"],
    ["breakdown", "FILE.json@Q8_0"],
    ["breakdown", "half-00001-of-00002.gguf"],
    ["breakdown", "whole.gguf", "--prompt-file", "FILE"],
    ["memory", "FILE"],
    ["memory", "FILE.json"],
    ["memory", "half-00001-of-00002.gguf"],
    ["sweep", "FILE", "-o", "grid"],
    ["sweep", "FILE.json", "-o", "grid"],
    ["sweep", "half-00001-of-00002.gguf", "-o", "grid"],
    ["sweep", "whole.gguf", "-o", "grid", "--prompt-file", "FILE"],
    ["sweep", "whole.gguf", "-o", "grid", "--prompt-file", "FILE", "--dry-run"],
    ["compare", "FILE", "whole.gguf"],
    ["compare", "FILE.slmprof", "whole.gguf"],
    ["compare", "FILE.slmprof", "FILE.slmprof"],
    ["show", "FILE"],
    ["show", "FILE", "FILE"],
    ["roofline", "--ceilings", "FILE"],
    ["synth", "FILE.json", "-o", "made.gguf"],
    ["quant", "dry-run", "FILE"],
    ["quant", "make", "FILE", "-o", "made.gguf"],
    ["quant", "make", "half-00001-of-00002.gguf", "-o", "made.gguf"],
    ["quant", "imatrix", "FILE", "--text", "text", "-o", "made.gguf"],
    ["quant", "quality", "FILE", "--text", "text"],
    ["quant", "quality", "whole.gguf", "--text", "text", "--reference", "FILE"],
]


@pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_it_is_refused_in_one_line(
    command: list[str],
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("whole.gguf", "half-00001-of-00002.gguf"):
        Path(name).write_bytes(b"GGUF")
    for name in ("FILE", "FILE.json", "FILE.slmprof", "half-00002-of-00002.gguf"):
        if kind == "pipe":
            os.mkfifo(name)
        elif kind == "device":
            Path(name).symlink_to("/dev/zero")
        else:
            Path(name).mkdir()
    assert main(command) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith("slmprof: error: ") and f"is a {kind}, not a " in err
    # Nor is anything made of it.
    assert not Path("made.gguf").exists() and not Path("grid").exists()


def test_a_prompt_without_end_in_sight_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("whole.gguf").write_bytes(b"GGUF")
    with Path("long").open("wb") as file:
        file.truncate(1 << 40)
    assert main(["sweep", "whole.gguf", "-o", "grid", "--prompt-file", "long"]) == 2
    assert "prompt_file: long is larger than 16777216 bytes" in capsys.readouterr().err

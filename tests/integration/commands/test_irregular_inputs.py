"""What is no regular file, where a child process is to read it: refused by its name, at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_line import run

TRAINED = Path(__file__).resolve().parents[2] / "models" / "trained.gguf"
COMMANDS = [
    ["breakdown", "MODEL", "--ceilings", "FILE"],
    ["breakdown", "MODEL@FILE.c:mine"],
    ["memory", "MODEL@FILE.c:mine"],
    ["quant", "dry-run", "MODEL", "--tensor-type-file", "FILE"],
    ["quant", "dry-run", "MODEL", "--imatrix", "FILE"],
    ["quant", "dry-run", "MODEL", "--scheme", "FILE.py:Mine"],
    ["quant", "dry-run", "MODEL", "--scheme", "FILE.c:mine"],
    ["quant", "imatrix", "MODEL", "--text", "FILE", "-o", "made.gguf"],
    ["quant", "quality", "MODEL", "--text", "FILE"],
    ["quant", "dossier", "MODEL", "--text", "FILE", "-o", "made.gguf"],
]


@pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_it_is_refused_in_one_line(command: list[str], kind: str, tmp_path: Path) -> None:
    for name in ("FILE", "FILE.py", "FILE.c"):
        if kind == "pipe":
            os.mkfifo(tmp_path / name)
        elif kind == "device":
            (tmp_path / name).symlink_to("/dev/zero")
        else:
            (tmp_path / name).mkdir()
    answer = run(*(part.replace("MODEL", str(TRAINED)) for part in command), cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    assert f"is a {kind}, not a " in answer.stderr
    assert not (tmp_path / "made.gguf").exists()

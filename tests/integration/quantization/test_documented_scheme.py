"""docs/custom-quantization.md, walked as a reader would: its files written, its commands typed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from command_line import run

_ROOT = Path(__file__).parents[3]
_DOC = _ROOT / "docs" / "custom-quantization.md"
_TRAINED = _ROOT / "tests" / "models" / "trained.gguf"
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
_COMMANDS = re.compile(r"<!-- run -->\n```sh\n(.*?)```", re.DOTALL)


def test_the_page_works_as_it_stands(tmp_path: Path) -> None:
    text = _DOC.read_text(encoding="utf-8")
    files = dict(_FILE.findall(text))
    commands = [line for block in _COMMANDS.findall(text) for line in block.splitlines()]
    assert set(files) == {"mine.py", "mine.c"} and len(commands) >= 10
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    shutil.copy(_TRAINED, tmp_path / "model-f16.gguf")
    (tmp_path / "text.txt").write_text(topics["debugger"][:3000])
    environment = {**os.environ, "SLMPROF_CACHE_DIR": str(tmp_path / "cache")}
    shown = {}
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "slmprof"
        done = run(*arguments, cwd=tmp_path, env=environment)
        assert done.returncode == 0, (command, done.stderr)
        shown[command] = done.stdout
    breakdown = shown["slmprof breakdown model-f16.gguf@mine.c:mine"]
    assert "custom:mine" in breakdown and "5.00" in shown[commands[0]]
    dossier = shown[next(command for command in commands if "quant dossier" in command)]
    assert "mine against Q4_0" in dossier and (tmp_path / "dossier" / "dossier.html").is_file()
    packed, values = (tmp_path / name for name in ("mine.gguf", "mine-values.gguf"))
    assert packed.stat().st_size < values.stat().st_size / 4


@pytest.mark.parametrize("link", re.findall(r"\]\((\.\./[^)]+)\)", _DOC.read_text("utf-8")))
def test_what_it_links_to_is_there(link: str) -> None:
    assert (_DOC.parent / link).is_file()

"""The variants of ggml's CPU code that wheels have, and what they need of a processor."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from slmprof.machine.instruction_sets import missing_sets

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
FILE = ROOT / "third_party/llama.cpp/variants.cmake"
if not FILE.is_file():
    pytest.skip("needs the source tree", allow_module_level=True)


def _table(kind: str) -> dict[str, list[str]]:
    lines = re.findall(rf"^set\(_{kind}_(\w+) (.*)\)$", FILE.read_text(), re.MULTILINE)
    return {name: words.split() for name, words in lines}


def test_a_set_needs_what_llama_cpp_says_that_its_code_uses() -> None:
    flags = _table("flags")
    assert flags.keys() == _table("options").keys() and len(flags) > 10
    everything = {flag for words in flags.values() for flag in words}
    for name, needed in flags.items():
        # In llama.cpp's words AMX has one name, and SSE4.2 none.
        if name not in ("AMX_TILE", "SSE42"):
            others = everything - set(needed)
            assert missing_sets(f"CPU : {name} = 1 | ", others) == [name]
            assert missing_sets(f"CPU : {name} = 1 | ", everything) == []


def test_the_last_variant_of_the_wheels_is_for_any_processor() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]
    names = settings["config-settings"]["cmake.define.SLMPROF_CPU_VARIANTS"].split(";")
    assert names[-1] == "x64" and len(set(names)) == len(names)
    page = (ROOT / "docs/wheels.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == names

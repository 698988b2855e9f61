"""What README and docs show can be typed: commands parse, and Python finds what it imports."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import slmprof
from slmprof.commands.main import build_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# A line of a shell block, or one that is set off by four spaces.
_COMMAND = re.compile(r"^\s*(?:python -m )?slmprof (?P<arguments>[^…]+)$")
# What ends a command in a line of a shell.
_ENDS = {"|", ">", "&&", ";"}


def _blocks(page: Path, language: str) -> Iterator[str]:
    return (text for name, text in _FENCE.findall(page.read_text()) if name == language)


def _commands(page: Path) -> list[list[str]]:
    lines = [line for block in _blocks(page, "sh") for line in block.splitlines()]
    lines += [line for line in page.read_text().splitlines() if line.startswith("    ")]
    found = []
    for part in (part for line in lines for part in line.split("&&")):
        if match := _COMMAND.match(part):
            words = shlex.split(match["arguments"], comments=True)
            end = next((i for i, word in enumerate(words) if word in _ENDS), len(words))
            found.append(words[:end])
    return found


COMMANDS = [(page.name, words) for page in PAGES for words in _commands(page)]
PROGRAMS = [(page.name, text) for page in PAGES for text in _blocks(page, "python")]


def test_pages_show_commands_and_programs() -> None:
    assert len(COMMANDS) > 20
    assert {name for name, _ in PROGRAMS} >= {"README.md", "memory.md"}


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda value: str(value)[:70])
def test_a_command_that_is_shown_parses(page: str, words: list[str]) -> None:
    try:
        build_parser(words[:1]).parse_args(words)
    except SystemExit as ended:
        assert ended.code == 0, f"{page}: slmprof {shlex.join(words)}"


@pytest.mark.parametrize(("page", "program"), PROGRAMS, ids=lambda value: str(value)[:20])
def test_python_that_is_shown_finds_its_names(page: str, program: str) -> None:
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            assert not missing, f"{page}: {node.module} has no {missing}"
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "slmprof":
            assert node.attr in slmprof.__all__, f"{page}: slmprof has no {node.attr}"

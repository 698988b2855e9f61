"""The keyword arguments that type checkers know are the settings that there are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest

from slmprof.settings.capture import CaptureConfig
from slmprof.settings.devices import Proportions
from slmprof.settings.keywords import (
    ImatrixKeywords,
    PlanKeywords,
    ProfileKeywords,
    QualityKeywords,
    RecipeKeywords,
)
from slmprof.settings.kinds import File, Kind, Seconds, Several, Switch, Whole, WholeOr
from slmprof.settings.planning import GRID, AskedPlan, MemoryRequest
from slmprof.settings.recipe import Recipe
from slmprof.settings.scheme_place import SchemePlace
from slmprof.settings.scoring import ImatrixSettings, QualitySettings
from slmprof.settings.table import table

SRC = Path(__file__).resolve().parents[3] / "src"
CALLS = """
import slmprof
slmprof.profile("m.gguf", n_depth=(0, 512), threads=None, flash_attn="on", processes=3)
slmprof.Session("m.gguf", seed=1)
slmprof.memory("m.gguf", n_ctx=[2048, "max"], by="total", fit_bytes=2**30)
slmprof.compare("a.gguf", "b.gguf", processes=5)
slmprof.profile("m.gguf", n_promt=50)
slmprof.profile("m.gguf", n_prompt="50")
slmprof.Session("m.gguf", fit_bytes=1)
slmprof.memory("m.gguf", n_gen=50)
slmprof.Session("m.gguf", processes=2)
slmprof.compare("a.gguf", "b.gguf", scaling=True)
slmprof.memory("m.gguf", n_ctx="most")
"""


def _plain(kind: Kind) -> Any:
    if isinstance(kind, WholeOr):
        return int | Literal[kind.word]
    if isinstance(kind, Whole):
        return int
    if isinstance(kind, Seconds):
        return float
    if isinstance(kind, SchemePlace):
        return str | type | Callable[..., Any]
    return bool if isinstance(kind, Switch) else str


def _hint(kind: Kind, default: Any, *, several: bool) -> Any:
    if isinstance(kind, Several):
        kind, several = kind.one, True
    if isinstance(kind, Proportions):
        return Sequence[float]
    plain = _plain(kind)
    hint = plain | Sequence[plain] if several else plain
    # Text may be a path where it is the name of a file.
    if isinstance(kind, File):
        hint = hint | os.PathLike[str]
    return hint | None if default is None else hint


@pytest.mark.parametrize(
    ("keywords", "of", "grid"),
    [
        (ProfileKeywords, (CaptureConfig,), ()),
        (PlanKeywords, (AskedPlan, MemoryRequest), GRID),
        (RecipeKeywords, (Recipe,), ()),
        (ImatrixKeywords, (ImatrixSettings,), ()),
        (QualityKeywords, (QualitySettings,), ()),
    ],
)
def test_every_setting_is_a_keyword_of_its_type(
    keywords: Any, of: tuple[Any, ...], grid: tuple[str, ...]
) -> None:
    entries = {name: entry for kind in of for name, entry in table(kind).items()}
    expected = {
        name: _hint(entry.kind, entry.default, several=name in grid)
        for name, entry in entries.items()
    }
    assert get_type_hints(keywords) == expected
    assert not keywords.__required_keys__


def test_a_type_checker_refuses_a_misspelt_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = pytest.importorskip("mypy.api")
    (tmp_path / "calls.py").write_text(CALLS)
    monkeypatch.setenv("MYPYPATH", str(SRC))
    monkeypatch.chdir(tmp_path)
    limit = sys.getrecursionlimit()
    told, _, status = api.run(["--cache-dir", str(tmp_path / "cache"), "calls.py"])
    sys.setrecursionlimit(limit)  # which mypy raises
    lines = [int(line.split(":")[1]) for line in told.splitlines() if ": error:" in line]
    assert status == 1 and lines == [7, 8, 9, 10, 11, 12, 13], told

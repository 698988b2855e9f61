"""Synthesised models in the cache: written once, checked when used, made anew if spoilt."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run

from slmprof.errors import ModelError, SlmprofWarning, UsageError
from slmprof.models.presets import PRESETS
from slmprof.models.resolve import resolve_model
from slmprof.models.synthesis import plan_header, plan_model


def test_a_preset_is_written_once_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))
    first = resolve_model("preset:tiny")
    stamp = first.stat().st_mtime_ns
    assert resolve_model("preset:TINY@q4_k_m") == first
    assert first.stat().st_mtime_ns == stamp
    other = resolve_model("preset:tiny@Q8_0", seed=1)
    assert other != first
    assert sorted(p.name for p in first.parent.iterdir()) == sorted([first.name, other.name])


def test_a_damaged_file_in_the_cache_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path))
    path = resolve_model("preset:tiny")
    before = path.read_bytes()
    path.write_bytes(b"GGUF")
    with pytest.warns(SlmprofWarning, match="made anew: it has 4 bytes"):
        assert resolve_model("preset:tiny").read_bytes() == before


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def replace_by_another(path: Path) -> None:
    """A model of the same size, whole, with another name in it."""
    path.write_bytes(path.read_bytes().replace(b"Tiny", b"Tine", 1))


def retype(path: Path) -> None:
    """The type of the first tensor is another of the same size."""
    content = bytearray(path.read_bytes())
    name = b"output_norm.weight"
    place = content.index(name) + len(name) + 4 + 8
    content[place : place + 4] = (26).to_bytes(4, "little")
    path.write_bytes(content)


def link_elsewhere(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def hold_up(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def empty_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [
        cut_short, replace_by_another, retype, link_elsewhere, hold_up, empty_directory,
        lambda path: path.chmod(0o666), lambda path: path.chmod(0o602),
    ],
)  # fmt: skip
def test_a_foreign_file_in_the_cache_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path))
    path = resolve_model("preset:tiny")
    before = path.read_bytes()
    spoil(path)
    with pytest.warns(SlmprofWarning, match="made anew"):
        assert resolve_model("preset:tiny") == path
    assert not path.is_symlink() and path.read_bytes() == before
    assert path.stat().st_mode & 0o022 == 0
    elsewhere = tmp_path / "elsewhere"
    assert not elsewhere.exists() or elsewhere.read_bytes() == before
    assert resolve_model("preset:tiny") == path


def test_a_cached_file_carries_the_digest_of_its_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path))
    plan = plan_model(PRESETS["tiny"].dimensions)
    path = resolve_model("preset:tiny")
    assert plan.digest[:12] in path.name
    header, n_bytes = plan_header(plan)
    assert path.stat().st_size == n_bytes and path.read_bytes()[: len(header)] == header
    assert b"slmprof.plan" in header and plan.digest.encode() in header
    assert plan_model(PRESETS["tiny"].dimensions, "Q8_0").digest != plan.digest


def test_a_note_says_that_a_cached_file_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path))
    path = resolve_model("preset:tiny")
    cut_short(path)
    arguments = ("--n-prompt", 2, "--n-gen", 1, "--repeats", 1, "--ceilings", "off")
    answer = run("breakdown", "preset:tiny", *arguments)
    assert answer.returncode == 0, answer.stderr
    (line,) = [line for line in answer.stderr.splitlines() if "made anew" in line]
    assert line.startswith(f"slmprof: note: {path} in the cache is made anew: it has ")
    assert "made anew" not in run("breakdown", "preset:tiny", *arguments).stderr


def test_a_directory_with_something_in_it_is_to_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path))
    path = resolve_model("preset:tiny")
    path.unlink()
    (path / "own").mkdir(parents=True)
    answer = run("breakdown", "preset:tiny", "--ceilings", "off")
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"slmprof: error: {path} ") and line.endswith("; remove it")


def test_a_cache_that_others_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path))
    tmp_path.chmod(0o777)
    with pytest.raises(UsageError, match=f"chmod go-w {tmp_path}"):
        resolve_model("preset:tiny")
    tmp_path.chmod(0o1777)
    assert resolve_model("preset:tiny").is_file()


def test_two_processes_may_want_the_same_preset(tmp_path: Path) -> None:
    code = "from slmprof.models.resolve import resolve_model; print(resolve_model('preset:tiny'))"
    environment = {**os.environ, "SLMPROF_CACHE_DIR": str(tmp_path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outputs = [process.communicate()[0].strip() for process in processes]
    assert outputs[0] == outputs[1]
    assert list(tmp_path.iterdir()) == [Path(outputs[0])]


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match="SLMPROF_CACHE_DIR"):
        resolve_model("preset:tiny")

"""Which llama.cpps slmprof is tried with, and how the result is told."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "third_party" / "llama.cpp"
if not FOLDER.is_dir():
    pytest.skip("needs the source tree", allow_module_level=True)

ANCHORS = """
[[hook]]
file = "loop.c"
anchor = "compute();"
before = "BEGIN();"

[[hook]]
feature = "tiles"
file = "tiles.c"
anchor = "tile();"
before = "TILE();"

[[hook]]
when = "GGML_CUDA"
file = "gpu.c"
anchor = "launch();"
before = "LAUNCH();"
"""
CMAKE = "set(GGML_VERSION_MAJOR 1)\nset(GGML_VERSION_MINOR 2)\nset(GGML_VERSION_PATCH 3)\n"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of the folder, which finds the others beside it."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module(name)


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("matrix", monkeypatch)


@pytest.fixture
def smoke(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("smoke", monkeypatch)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A llama.cpp that has the loop, and neither tiles nor a GPU."""
    folder = tmp_path / "llama.cpp"
    (folder / "ggml").mkdir(parents=True)
    (folder / "ggml" / "CMakeLists.txt").write_text(CMAKE)
    (folder / "CMakeLists.txt").write_text("project(llama.cpp)\n")
    (folder / "loop.c").write_text("compute();\n")
    return folder


@pytest.fixture
def alone(
    matrix: ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """The matrix with anchors of its own, and with that source whatever is asked for."""
    (tmp_path / "anchors.toml").write_text(ANCHORS)
    for name in ("pin.toml", "matrix.toml"):
        (tmp_path / name).write_text((FOLDER / name).read_text())
    monkeypatch.setattr(matrix, "HERE", tmp_path)
    monkeypatch.setattr(matrix.resolve, "resolve_pinned", lambda *_, **__: source)
    return matrix


def version_of(matrix: ModuleType, *without: str) -> Any:
    pin = matrix.resolve.read_pin(FOLDER / "pin.toml")
    return matrix.Version(pin, without)


def listed(matrix: ModuleType) -> list[Any]:
    pin = matrix.resolve.read_pin(FOLDER / "pin.toml")
    versions: list[Any] = matrix.read_versions(FOLDER / "matrix.toml", pin)
    return versions


def test_the_list_is_in_order_and_has_the_pin(matrix: ModuleType) -> None:
    pins = [version.pin for version in listed(matrix)]
    assert matrix.resolve.read_pin(FOLDER / "pin.toml") in pins
    names = [pin.version for pin in pins]
    assert names[0] == "0.3.20"
    assert len(set(names)) == len(names) >= 7
    for package in {pin.package for pin in pins}:
        mine = [pin.version for pin in pins if pin.package == package]
        assert mine == sorted(mine, key=lambda name: [int(part) for part in name.split(".")])
    for pin in pins:
        assert re.fullmatch("[0-9a-f]{64}", pin.sha256)
        assert pin.root.startswith(f"{pin.package.replace('-', '_')}-{pin.version}/")
        assert pin.folders == pins[-1].folders


def test_the_documentation_has_a_line_for_each(matrix: ModuleType) -> None:
    text = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| \d+\.\d", line)]
    assert [row[0].lstrip("| ") for row in rows] == [v.pin.version for v in listed(matrix)]
    assert f"| {' | '.join(matrix.COLUMNS)} |" in text


def test_versions_are_chosen_by_number_or_place(matrix: ModuleType) -> None:
    versions = listed(matrix)
    assert matrix.choose(versions, []) == versions
    chosen = matrix.choose(versions, ["pin", "oldest", "0.3.30", "newest"])
    assert chosen[0] == version_of(matrix)
    assert chosen[1:] == [versions[0], matrix.choose(versions, ["0.3.30"])[0], versions[-1]]
    with pytest.raises(SystemExit, match=r"no version 9\.9; there are 0\.3\.20"):
        matrix.choose(versions, ["9.9"])


def test_anchors_are_looked_for_with_each_option(alone: ModuleType) -> None:
    row = alone.examine(version_of(alone, "GGML_CUDA"), None)
    assert row.problems == []
    assert (row.llama_cpp, row.ggml) == ("unknown", "1.2.3")
    assert row.anchors == ("CPU", "BLAS") and row.left_out == ("tiles",)
    assert (row.build, row.smoke) == ("-", "-")


def test_an_anchor_that_is_missing_is_a_problem(alone: ModuleType, source: Path) -> None:
    row = alone.examine(version_of(alone), None)
    (problem,) = row.problems
    assert problem.startswith("hooks for CUDA: gpu.c: no such file")
    (source / "gpu.c").write_text("launch();\n")
    (source / "tiles.c").write_text("tile();\n")
    row = alone.examine(version_of(alone), None)
    assert row.problems == [] and row.left_out == ()
    assert row.anchors == ("CPU", "BLAS", "CUDA")
    (source / "loop.c").write_text("compute();\ncompute();\n")
    assert len(alone.examine(version_of(alone), None).problems) == 3


def test_nothing_is_built_where_an_anchor_is_missing(
    alone: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> Path:
        raise AssertionError("built")

    monkeypatch.setattr(alone, "build", build)
    assert alone.examine(version_of(alone), tmp_path).build == "-"


@pytest.mark.parametrize(
    ("found", "expected"), [([], ("ok", "ok")), (["memory: 1, 2"], ("ok", "FAILED"))]
)
def test_the_smoke_test_decides(
    alone: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    found: list[str], expected: tuple[str, str],
) -> None:  # fmt: skip
    monkeypatch.setattr(alone, "build", lambda *_: tmp_path)
    monkeypatch.setattr(alone, "smoke_test", lambda *_: found)
    row = alone.examine(version_of(alone, "GGML_CUDA"), tmp_path)
    assert (row.build, row.smoke) == expected
    assert row.problems == found


def test_a_step_that_fails_is_told_with_the_compilers_errors(
    alone: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> Path:
        program = "print('[1/2] cc a.c'); print('a.c:1: error: no such name'); raise SystemExit(3)"
        alone.step([alone.sys.executable, "-c", program], "building")
        return tmp_path

    monkeypatch.setattr(alone, "build", build)
    row = alone.examine(version_of(alone, "GGML_CUDA"), tmp_path)
    assert (row.build, row.smoke) == ("FAILED", "-")
    assert row.problems == ["building: status 3:\n    a.c:1: error: no such name"]


def test_a_source_that_cannot_be_had_is_a_problem(
    alone: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve_pinned(*_: object, **__: object) -> Path:
        raise alone.resolve.SourceError("no route to host")

    monkeypatch.setattr(alone.resolve, "resolve_pinned", resolve_pinned)
    row = alone.examine(version_of(alone), None)
    assert row.problems == ["no route to host"] and row.cells()[1:] == ("-",) * 6


def test_the_table_fits_and_the_status_tells(
    alone: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    features = tuple(f"a_feature_with_a_long_name_{i}" for i in range(5))

    def examine(version: Any, folder: Path | None, *_: object) -> Any:
        assert folder is None
        row = alone.Row(version.pin.version, "0.5.0", "0.25.0", ("CPU", "BLAS"), features)
        if version.pin.version == "0.3.25":
            row.problems.append("memory: 1 planned, 2 allocated")
        return row

    monkeypatch.setattr(alone, "examine", examine)
    for names, status in ((["0.3.25", "0.3.30"], 1), (["0.3.30"], 0)):
        asked = [word for name in names for word in ("--only", name)]
        monkeypatch.setattr("sys.argv", ["matrix.py", "--anchors", *asked])
        assert alone.main() == status
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        titles = [name for name in alone.COLUMNS if name != "without"]
        assert lines[0].split() == " ".join(titles).split()
        assert sum(line.count("a_feature_with") for line in lines) == 5 * len(names)
        assert ("0.3.25: memory: 1 planned, 2 allocated" in lines) == bool(status)
    monkeypatch.setattr("sys.argv", ["matrix.py", "--anchors", "--markdown", "--only", "pin"])
    assert alone.main() == 0
    head, rule, row = capsys.readouterr().out.splitlines()
    assert head.count("|") == rule.count("|") == row.count("|") == len(alone.COLUMNS) + 1
    assert "a_feature_with_a_long_name_4" in row


def test_what_the_smoke_test_holds_against_a_run(smoke: ModuleType) -> None:
    ops = {"prefill": 2.0, "decode": 3.0}
    assert list(smoke.check_sums("blocks", ops, ops)) == []
    off = dict(ops, decode=3.001)
    assert list(smoke.check_sums("blocks", off, ops)) == [
        "conservation: blocks of decode take 3.001 ms, its ops 3.0 ms"
    ]
    assert len(list(smoke.check_sums("blocks", {}, {}))) == 2
    assert list(smoke.check_steps(smoke.PHASES)) == []
    assert len(list(smoke.check_steps({"prefill": 1}))) == 1


def rows(**sizes: int) -> Iterator[dict[str, Any]]:
    for kind, size in sizes.items():
        yield {"device": "CPU", "buffer_type": "CPU", "kind": kind, "size_bytes": size}


def test_planned_buffers_are_those_that_were_allocated(smoke: ModuleType) -> None:
    real = smoke.buffers_of(rows(weights=8, compute=4, work=1))
    assert (
        list(smoke.check_buffers("a run", smoke.buffers_of(rows(weights=8, compute=4)), real)) == []
    )
    found = list(smoke.check_buffers("a run", smoke.buffers_of(rows(weights=8, compute=5)), real))
    assert found == ["memory: CPU/CPU/compute of a run: 5 bytes planned, 4 allocated"]
    assert len(list(smoke.check_buffers("a run", {}, real))) == 2
    assert list(smoke.check_buffers("a run", {}, {})) == ["memory: no buffers are known"]


def test_a_command_that_fails_is_told(smoke: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke.sys, "executable", "/bin/false")
    with pytest.raises(smoke.CommandError, match="slmprof breakdown: status 1: nothing said"):
        smoke.run("breakdown", "preset:tiny")

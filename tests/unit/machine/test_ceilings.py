"""Ceilings as data and as a file, and where they are kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ceilings_builder import FINGERPRINT, KIB, MIB, example_ceilings, example_instructions

from slmprof.errors import ProfileFormatError, UsageError
from slmprof.machine import ceilings as capture
from slmprof.profiles.records.ceilings import Ceilings, read_ceilings, write_ceilings

# The file.


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    ceilings = example_ceilings(
        warnings=("other processes took 9% …",), instructions=example_instructions()
    )
    write_ceilings(ceilings, path)
    assert read_ceilings(path) == ceilings
    document = json.loads(path.read_text())
    assert (document["format"], document["format_version"]) == ("slmprof-ceilings", 2)
    assert document["caches"][2] == {"level": "L3", "size_bytes": 8 * MIB, "n_sharing": 4}
    assert document["arithmetic"][0] == {
        "type": "f32", "n_columns": 1, "impl": "plain", "gflops": 20.0,
    }  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


def test_a_file_of_version_1_has_no_instructions(tmp_path: Path) -> None:
    document = {**example_ceilings().to_json(), "format_version": 1}
    del document["instructions"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document))
    assert read_ceilings(path) == example_ceilings()


def test_the_fastest_instruction_is_one_that_the_build_uses() -> None:
    ceilings = example_ceilings(instructions=example_instructions())
    best = ceilings.best_instruction(["int8"])
    assert best is not None and best.isa == "avx2"
    of_machine = ceilings.best_instruction(["int8"], is_built=False)
    assert of_machine is not None and of_machine.isa == "avx512_vnni"
    # A processor that lacks FP16 computes f16 as f32.
    both = ceilings.best_instruction(["f16", "f32"], is_built=False)
    assert both is not None and both.isa == "fma"
    assert ceilings.best_instruction(["f16"], is_built=False) is None
    assert example_ceilings().best_instruction(["int8"]) is None


def test_unknown_keys_are_dropped() -> None:
    document = {**example_ceilings().to_json(), "later": [1]}
    document["caches"][0]["later"] = 1
    assert Ceilings.from_json(document) == example_ceilings()


INSTRUCTION = {"name": "x", "isa": "y", "type": "f32", "gflops": 1.0, "is_built": True}


def _changed(**changes: Any) -> str:
    return json.dumps({**example_ceilings().to_json(), **changes})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "\ud800".encode("utf-8", "surrogatepass"),
        b"\xff\xfe\x00",
        "[" * 100_000,
        '{"format": "slmprof-profile", "format_version": 1}',
        _changed(format_version=3),
        _changed(format_version="1"),
        _changed(format_version=True),
        _changed(n_threads=0),
        _changed(n_threads=2.5),
        _changed(n_threads=10**400),
        _changed(seconds=-1),
        _changed(seconds=10**400),
        _changed(op_ns=None),
        _changed(op_ns=float("nan")),
        _changed(op_ns=float("inf")),
        _changed(measured_at=5),
        _changed(measured_at="x" * 10_000),
        _changed(fingerprint=None),
        _changed(fingerprint={"cpu": {"deep": 1}}),
        _changed(caches=None),
        _changed(caches=[7]),
        _changed(caches=[{"level": "L1", "size_bytes": 0, "n_sharing": 1}]),
        _changed(caches=[{"level": "L1", "size_bytes": 1}]),
        _changed(bandwidth=[{}] * 5000),
        _changed(bandwidth={"a": 1}),
        _changed(arithmetic=[{"type": "f32", "n_columns": 1, "impl": "plain", "gflops": 0}]),
        _changed(arithmetic=[{"type": "f32", "n_columns": 1, "impl": "plain", "gflops": True}]),
        _changed(instructions=[{"name": "x", "isa": "y", "type": "f32", "gflops": 1.0}]),
        _changed(instructions=[{**INSTRUCTION, "gflops": 0}]),
        _changed(instructions=[{**INSTRUCTION, "is_built": 1}]),
        _changed(instructions={}),
        _changed(warnings=[1]),
        _changed(warnings="text"),
        _changed(padding="x" * 2**21),
    ],
)
def test_a_file_that_is_none_is_a_clear_error(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ProfileFormatError, match="cannot read ceilings") as caught:
        read_ceilings(path)
    assert len(str(caught.value)) < 400 + len(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.json", "", "no\0name"])
def test_a_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_ceilings(f"{tmp_path}/{name}")


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_ceilings(example_ceilings(), tmp_path / "none" / "c.json")
    with pytest.raises(UsageError, match="no plain file"):
        write_ceilings(example_ceilings(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_capacities() -> None:
    ceilings = example_ceilings()
    assert ceilings.capacity_bytes("L1") == 64 * KIB  # two threads, a cache each
    assert ceilings.capacity_bytes("L3") == 8 * MIB  # one for all four cores
    assert ceilings.capacity_bytes("L4") == 0
    assert ceilings.level_holding(64 * KIB) == "L1"
    assert ceilings.level_holding(9 * MIB) == "memory"
    assert example_ceilings(caches=()).level_holding(1) == "memory"


# The cache folder, and files of other machines.


def test_measured_once_and_then_found(machine: Callable[..., list[int]], tmp_path: Path) -> None:
    made = machine()
    assert capture.ceilings(2, measure=False) is None
    first = capture.ceilings(2)
    assert capture.ceilings(2) == first == capture.ceilings(2, measure=False)
    assert made == [2]
    assert capture.ceilings(1) is not None and made == [2, 1]
    assert capture.ceilings(2, refresh=True) is not None and made == [2, 1, 2]
    names = sorted(file.name for file in (tmp_path / "cache").iterdir())
    assert [name.rpartition("-")[2] for name in names] == ["t1.json", "t2.json"]
    assert all(name.startswith("ceilings-") for name in names)


def test_another_machine_with_the_same_cache_folder_measures(
    machine: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine()
    capture.ceilings(2)
    monkeypatch.setattr(capture, "fingerprint", lambda: FINGERPRINT.replace(n_cores=8))
    assert capture.ceilings(2, measure=False) is None
    assert made == [2]


@pytest.mark.parametrize("content", ["", "{}", "half a fi"])
def test_a_damaged_cache_is_replaced(machine: Callable[..., list[int]], content: str) -> None:
    made = machine()
    capture.ceilings(2)
    path = capture.cache_path(2, FINGERPRINT)
    path.write_text(content)
    assert capture.ceilings(2, measure=False) is None
    assert capture.ceilings(2) == read_ceilings(path)
    assert made == [2, 2]


def test_a_cache_folder_that_cannot_be_made(
    machine: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert capture.ceilings(2) is not None
    assert capture.keep_ceilings(example_ceilings()) is None


def test_a_cache_folder_of_nobody(
    machine: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    monkeypatch.setenv("SLMPROF_CACHE_DIR", "~no-such-user/cache")
    assert capture.find_ceilings(2) is None
    assert capture.ceilings(2) is not None
    assert capture.keep_ceilings(example_ceilings()) is None


def test_disturbed_ceilings_are_measured_again_some_time_later(
    machine: Callable[..., list[int]],
) -> None:
    now = datetime.now(timezone.utc)
    fresh = now.isoformat(timespec="seconds")
    machine(example_ceilings(is_disturbed=True, measured_at=fresh))
    capture.ceilings(2)
    made = machine()
    # A load that was there a moment ago is still there.
    assert capture.ceilings(2) is not None
    assert made == []
    for old in ((now - timedelta(hours=1)).isoformat(timespec="seconds"), "some day"):
        capture.keep_ceilings(example_ceilings(is_disturbed=True, measured_at=old))
        found = capture.ceilings(2, measure=False)
        assert found is not None and found.is_disturbed
        found = capture.ceilings(2)
        assert found is not None and not found.is_disturbed
    assert made == [2, 2]


def test_a_run_says_that_ceilings_cannot_be_kept(
    machine: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine()
    (tmp_path / "file").write_text("")
    assert capture.ceilings_of_run("auto", 2)[1] == []
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "file" / "cache"))
    found, doubts = capture.ceilings_of_run("auto", 2)
    assert found is not None
    assert len(doubts) == 1 and "every run measures them anew" in doubts[0]


def test_more_threads_than_cores_have_none(machine: Callable[..., list[int]]) -> None:
    made = machine()
    assert capture.ceilings(5) is None
    assert made == []


@pytest.mark.parametrize("n_threads", [0, -1, 513, True, 1.5, 5])
def test_impossible_threads(machine: Callable[..., list[int]], n_threads: Any) -> None:
    machine()
    with pytest.raises(UsageError):
        capture.check_threads(n_threads)


def test_a_file_of_another_machine_is_refused(
    machine: Callable[..., list[int]], tmp_path: Path
) -> None:
    made = machine()
    other = FINGERPRINT.replace(
        cpu="Other CPU \x1b[31m" + "x" * 100, n_cores=64, caches=("L1",), native=False
    )
    path = tmp_path / "other.json"
    write_ceilings(example_ceilings(fingerprint=other), path)
    with pytest.raises(UsageError, match="another machine or build") as caught:
        capture.ceilings(2, path=path)
    message = str(caught.value)
    assert "cpu is 'Other CPU ?[31mxxx" in message and "'Example CPU' here" in message
    assert "n_cores is '64' there and '4' here" in message
    assert "and 1 more" in message
    assert made == []


def test_a_file_of_other_threads_is_refused(
    machine: Callable[..., list[int]], tmp_path: Path
) -> None:
    machine()
    path = tmp_path / "c.json"
    write_ceilings(example_ceilings(), path)
    assert capture.ceilings(2, path=str(path)) == example_ceilings()
    with pytest.raises(UsageError, match="2 threads, not of 3"):
        capture.ceilings(3, path=path)

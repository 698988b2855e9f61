"""Ceilings as data and as a file, where they are kept, and how they are printed."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ceilings_builder import FINGERPRINT, KIB, MIB, example_ceilings

from slmprof.commands.main import main
from slmprof.errors import EngineError, ProfileFormatError, UsageError
from slmprof.machine import caches as caches_module
from slmprof.machine import ceilings as capture
from slmprof.machine.caches import data_caches, spread_cores, working_sets
from slmprof.profiles.ceilings import Cache, Ceilings, read_ceilings, write_ceilings


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[int]]:
    """The machine of the example, with an empty cache folder; returns the measurements made."""
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(capture, "usable_cores", lambda: 4)
    monkeypatch.setattr("slmprof.cores.usable_cores", lambda: 4)
    monkeypatch.setattr(capture, "fingerprint", lambda: dict(FINGERPRINT))

    def install(result: Any = None) -> list[int]:
        made: list[int] = []

        def measure(n_threads: int, on_progress: object = None) -> Ceilings:  # noqa: ARG001
            made.append(n_threads)
            if isinstance(result, BaseException):
                raise result
            return result or example_ceilings(n_threads=n_threads)

        monkeypatch.setattr(capture, "measure_ceilings", measure)
        return made

    return install


# The file.


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    ceilings = example_ceilings(warnings=("other processes took 9% …",))
    write_ceilings(ceilings, path)
    assert read_ceilings(path) == ceilings
    document = json.loads(path.read_text())
    assert (document["format"], document["format_version"]) == ("slmprof-ceilings", 1)
    assert document["caches"][2] == {"level": "L3", "size_bytes": 8 * MIB, "n_sharing": 4}
    assert document["arithmetic"][0] == {
        "type": "f32", "n_columns": 1, "impl": "plain", "gflops": 20.0,
    }  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


def test_unknown_keys_are_dropped() -> None:
    document = {**example_ceilings().to_json(), "later": [1]}
    document["caches"][0]["later"] = 1
    assert Ceilings.from_json(document) == example_ceilings()


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
        _changed(format_version=2),
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
    assert ceilings.last_cache_bytes == 8 * MIB
    assert ceilings.capacity_bytes("L4") == 0
    assert ceilings.level_holding(64 * KIB) == "L1"
    assert ceilings.level_holding(9 * MIB) == "memory"
    assert example_ceilings(caches=()).level_holding(1) == "memory"


# The caches of the processor.


def _describe(folder: Path, *entries: tuple[str, str, str, str]) -> Path:
    for number, (level, kind, size, sharing) in enumerate(entries):
        index = folder / "cpu0" / "cache" / f"index{number}"
        index.mkdir(parents=True)
        texts = {"level": level, "type": kind, "size": size, "shared_cpu_list": sharing}
        for name, text in texts.items():
            (index / name).write_text(f"{text}\n")
    return folder


def test_caches_as_linux_tells_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(caches_module, "_usable", lambda: {0, 1, 2, 3})
    folder = _describe(
        tmp_path,
        ("1", "Data", "48K", "0,4"),
        ("1", "Instruction", "32K", "0,4"),
        ("2", "Unified", "1024K", "0-1"),
        ("3", "Unified", "32M", "0-7"),
        ("4", "Unified", "", ""),
        ("?", "Unified", "12K", "0"),
    )
    assert data_caches(folder) == (
        Cache("L1", 48 * KIB, 1),
        Cache("L2", MIB, 2),
        Cache("L3", 32 * MIB, 4),  # four of its eight cores are ours
    )


def test_caches_where_linux_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sizes = {"SC_LEVEL1_DCACHE_SIZE": 32768, "SC_LEVEL2_CACHE_SIZE": 0}

    def sysconf(name: str) -> int:
        if name not in sizes:
            raise ValueError(name)
        return sizes[name]

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert data_caches(tmp_path) == (Cache("L1", 32768, 1),)


def test_threads_go_to_cores_of_their_own_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(caches_module, "_usable", lambda: {0, 1, 2, 3})
    for core, siblings in enumerate(("0-1", "0-1", "2,3", "2,3")):
        (tmp_path / f"cpu{core}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{core}" / "topology" / "thread_siblings_list").write_text(siblings)
    assert spread_cores(2, tmp_path) == [0, 2]
    assert spread_cores(3, tmp_path) == [0, 2, 1]
    assert spread_cores(4, tmp_path / "none") == [0, 1, 2, 3]


def test_working_sets() -> None:
    caches = example_ceilings().caches
    free = 1024 * MIB
    assert working_sets(caches, 2, 4, free) == [
        ("L1", 32 * KIB),
        ("L2", MIB),
        ("L3", 4 * MIB),
        ("memory", 64 * MIB),
    ]
    # Memory takes a quarter of what is free at most, and something where no cache is known.
    assert working_sets(caches, 2, 4, 100 * MIB)[-1] == ("memory", 25 * MIB)
    assert working_sets((), 2, 4, 8 * 2**30) == [("memory", 512 * MIB)]
    assert working_sets((Cache("L3", 2**30, 1),), 2, 2, 2**40)[-1] == ("memory", 2**30)


def test_a_level_hardly_larger_than_the_one_before() -> None:
    nearly = (Cache("L2", 4 * MIB, 1), Cache("L3", 6 * MIB, 1))
    assert working_sets(nearly, 1, 1, 2**40)[1] == ("L3", int(4.5 * MIB))
    smaller = (Cache("L2", 4 * MIB, 1), Cache("L3", 5 * MIB, 1))
    assert [level for level, _ in working_sets(smaller, 1, 1, 2**40)] == ["L2", "memory"]


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
    monkeypatch.setattr(capture, "fingerprint", lambda: {**FINGERPRINT, "n_cores": 8})
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
    other = {
        **FINGERPRINT,
        "cpu": "Other CPU \x1b[31m" + "x" * 100,
        "n_cores": 64,
        "caches": ["L1"],
        "native": False,
    }
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


# The command.


def test_the_command_prints_and_remembers(
    machine: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    made = machine()
    assert main(["roofline", "--threads", "2"]) == 0
    first = capsys.readouterr()
    assert "measured now" in first.out and "Example CPU" in first.out and first.err == ""
    assert max(map(len, first.out.splitlines())) <= 80
    (row,) = [line.split() for line in first.out.splitlines() if line.startswith("q4_K")]
    assert row == ["q4_K", "40.0", "plain", "4.0", "200.0", "repack", "20.0"]
    (row,) = [line.split() for line in first.out.splitlines() if line.startswith("memory")]
    assert row == ["memory", "-", "-", "1", "MiB", "10.0", "5.0", "7.5"]
    assert "500 ns" in first.out
    assert main(["roofline", "--threads", "2"]) == 0
    assert "from the cache" in capsys.readouterr().out
    assert main(["roofline", "--threads", "2", "--refresh"]) == 0
    assert "measured now" in capsys.readouterr().out
    assert made == [2, 2]


def test_all_cores_are_the_default(
    machine: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    made = machine()
    assert main(["roofline", "--format", "json"]) == 0
    assert made == [4]
    document = json.loads(capsys.readouterr().out)
    assert document["n_threads"] == 4
    assert document["source"] == "measured now"
    assert document["products"][2]["gemm_impl"] == "repack"
    # What the command prints as JSON can be given to it again.
    assert Ceilings.from_json(document) == example_ceilings(n_threads=4)


def test_csv_has_a_line_for_each_figure(
    machine: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    machine(example_ceilings(warnings=("one, with a comma", "two")))
    assert main(["roofline", "--threads", "2", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["kind"] for row in rows] == ["bandwidth"] * 12 + ["arithmetic"] * 8 + ["op"]
    assert rows[0]["value"] == "400.0" and rows[0]["unit"] == "GB/s"
    assert rows[-1] == {
        **dict.fromkeys(rows[-1], ""),
        "kind": "op",
        "value": "500.0",
        "unit": "ns",
        "n_threads": "2",
        "cpu": "Example CPU",
        "measured_at": "2030-01-02T03:04:05+00:00",
        "warnings": "one, with a comma; two",
    }


def test_markdown_and_warnings(
    machine: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    machine(example_ceilings(warnings=("other processes took 9%",)))
    assert main(["roofline", "--threads", "2", "--format", "markdown"]) == 0
    text = capsys.readouterr().out
    assert "| q4\\_K | 40.0 | plain | 4.0 | 200.0 | repack | 20.0 |" in text
    assert "- warning: other processes took 9%" in text
    # The next one shows it too: the file says how it was made.
    assert main(["roofline", "--threads", "2"]) == 0
    text = capsys.readouterr().out
    assert "warning: other processes took 9%" in text and "--refresh" in text


def test_ascii_where_nothing_else_can_be_shown() -> None:
    from slmprof.reporters.documents.ceilings import render_table

    assert render_table(example_ceilings(), "here", ascii_only=True).isascii()


def test_a_file_for_others(
    machine: Callable[..., list[int]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = machine()
    path = str(tmp_path / "c.json")
    assert main(["roofline", "--threads", "2", "-o", path]) == 0
    assert path in capsys.readouterr().err
    assert main(["roofline", "--threads", "2", "--ceilings", path]) == 0
    assert f"from {path}" in capsys.readouterr().out
    assert made == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "5"], "take turns"),
        (["--threads", "0"], "too small"),
        (["--refresh", "--ceilings", "x"], "one only"),
        (["--ceilings", "missing.json"], "cannot read"),
        (["-o", "no/such/folder/c.json"], "cannot write"),
    ],
)
def test_wrong_usage(
    machine: Callable[..., list[int]],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    made = machine()
    assert main(["roofline", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
    assert made == []


def test_a_failed_measurement(
    machine: Callable[..., list[int]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    machine(EngineError("it died", log_lines=("last words",)))
    assert main(["roofline", "--threads", "2", "-o", str(tmp_path / "c.json")]) == 1
    assert capsys.readouterr().err == "slmprof: error: it died\n  last words\n"
    assert list(tmp_path.iterdir()) == []


def test_a_cache_folder_that_cannot_be_written_is_noted(
    machine: Callable[..., list[int]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    machine()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert main(["roofline", "--threads", "2"]) == 0
    captured = capsys.readouterr()
    assert "measured now" in captured.out and "SLMPROF_CACHE_DIR" in captured.err

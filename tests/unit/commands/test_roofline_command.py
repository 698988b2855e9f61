"""What `slmprof roofline` prints, keeps and refuses."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ceilings_builder import example_ceilings, example_instructions
from reports import shown

from slmprof.commands.main import main
from slmprof.errors import EngineError
from slmprof.profiles.records.ceilings import Ceilings


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


def test_the_measurement_has_the_time_of_the_option(
    machine: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    asked = []

    def measure(n_threads: int, *_: object, timeout: float | None) -> Ceilings:
        asked.append(timeout)
        return example_ceilings(n_threads=n_threads)

    monkeypatch.setattr("slmprof.machine.ceilings.measure_ceilings", measure)
    assert main(["roofline", "--refresh"]) == 0
    assert main(["roofline", "--refresh", "--timeout", "7"]) == 0
    assert asked == [None, 7.0]


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


def test_instructions_and_what_their_sets_would_change(
    machine: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    machine(example_ceilings(instructions=example_instructions()))
    command = ["roofline", "--threads", "2"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    rows = [line.split() for line in text.partition("\nInstructions\n")[2].splitlines()]
    assert ["int8", "vpdpbusd", "zmm", "avx512_vnni", "800.0", "no"] in rows
    assert ["f32", "vfmadd", "ymm", "fma", "120.0", "yes"] in rows
    assert main([*command, "--isa"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80 and "modelled" in text
    said = {tuple(line.split()[:2]): line for line in text.splitlines() if line.strip()}
    shown = said["int8", "avx512_vnni"].split()[2:8]
    assert shown == ["has", "it", "does", "not", "800.0", "400.0"]
    assert "2.00x with it" in said["int8", "avx512_vnni"]
    assert "none without it" in said["int8", "avx2"]
    assert "0.25x without it" in said["f32", "fma"]
    assert "the same without it" in said["f32", "sse2"]
    assert "lacks it" in said["f16", "avx512_fp16"]
    assert "120.0  not measurable here" in said["f16", "avx512_fp16"]
    assert main([*command, "--isa", "--format", "json"]) == 0
    sets = json.loads(capsys.readouterr().out)["instruction_sets"]
    assert sets[1]["roof_with_gflops"] == 800.0 and sets[1]["is_modelled"] is True
    assert sets[4]["gflops"] is None and sets[4]["roof_with_gflops"] is None
    assert main([*command, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert sum(row["kind"] == "instruction" for row in rows) == 4


def test_one_thread_beside_several(
    machine: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    made = machine()
    command = ["roofline", "--threads", "2", "--scaling"]
    assert main(command) == 0
    assert made == [2, 1]
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    rows = [line.split() for line in text.splitlines()]
    assert ["bandwidth", "memory", "-", "10.0", "10.0", "1.00"] in rows
    assert ["product", "q4_K", "256", "200.0", "200.0", "1.00"] in rows
    assert main([*command, "--format", "json"]) == 0
    scaling = json.loads(capsys.readouterr().out)["scaling"]
    assert {row["kind"] for row in scaling} == {"bandwidth", "product"}
    assert made == [2, 1]
    assert main(["roofline", "--threads", "1", "--scaling"]) == 2
    assert "--threads 2" in capsys.readouterr().err
    assert made == [2, 1]  # nothing is measured for a command that cannot be meant


def test_ceilings_without_instructions_say_so(
    machine: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    machine()
    assert main(["roofline", "--threads", "2", "--isa"]) == 0
    assert "measured no instructions" in capsys.readouterr().out


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
    from slmprof.reporters.documents.ceilings import ceilings_document

    assert shown(ceilings_document(example_ceilings(), "here"), encoding="ascii").isascii()


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
        (["--threads", "5"], "oversubscribe"),
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

"""What `slmprof roofline --device` prints and refuses."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from device_ceilings_builder import example_device_ceilings, example_fingerprint

from slmprof.commands.main import main
from slmprof.errors import UsageError
from slmprof.machine import device_ceilings as capture
from slmprof.profiles.records.device_ceilings import DeviceCeilings

CEILINGS = example_device_ceilings(75, lacks=("mma.bf16", "mma.tf32"))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A machine with a Turing card and an empty cache folder; the measurements made."""
    made: list[str] = []

    def measure(device: str, *_: object, **__: object) -> DeviceCeilings:
        made.append(device)
        return CEILINGS

    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(capture, "fingerprint", lambda device: example_fingerprint(75))  # noqa: ARG005
    monkeypatch.setattr(capture, "measure_device_ceilings", measure)
    return made


def test_the_command_prints_and_remembers(
    card: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["roofline", "--device", "cuda:0"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "measured now" in text and "CUDA0 Example Card" in text
    assert "compute capability 7.5" in text and "1000 ns" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["memory", "-", "256", "MiB", "500.0", "400.0"] in rows
    assert ["host", "to", "device", "64", "MiB", "25.0"] in rows
    (row,) = [line for line in text.splitlines() if line.startswith("mma.s8.s32")]
    assert "tensor cores" in row and row.split()[-1] == "640.0"
    (row,) = [line for line in text.splitlines() if line.startswith("mma.bf16.f32")]
    assert "not offered by this device" in row
    assert main(command) == 0
    assert "from the cache" in capsys.readouterr().out
    assert main([*command, "--refresh"]) == 0
    assert card == ["cuda:0", "cuda:0"]


def test_json_is_the_file_and_the_rows_of_the_tables(
    card: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "d.json"
    command = ["roofline", "--device", "cuda:0", "--format", "json"]
    assert main([*command, "-o", str(path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert DeviceCeilings.from_json(document) == CEILINGS
    assert document["levels"][1]["read_gbps"] == 500.0
    assert document["instructions"][5] == {
        "name": "mma.bf16.f32", "unit": "tensor", "gflops": None, "ridge": None,
    }  # fmt: skip
    assert main([*command, "--ceilings", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["source"] == f"from {path}"
    assert card == ["cuda:0"]


@pytest.mark.usefixtures("card")
def test_csv_has_a_line_for_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["roofline", "--device", "cuda", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    kinds = [row["kind"] for row in rows]
    assert kinds == ["bandwidth"] * 4 + ["peak"] * 6 + ["transfer"] * 2 + ["op"]
    assert {row["device"] for row in rows} == {"CUDA0"}


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("more", [["--threads", "2"], ["--scaling"], ["--isa"]])
def test_options_of_the_cpu_are_refused(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["roofline", "--device", "cuda:0", *more]) == 2
    assert "is of the CPU" in capsys.readouterr().err


def test_a_device_without_ceilings_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(device: str) -> None:
        raise UsageError(f"{device} has no ceilings here: this build has no CUDA")

    monkeypatch.setattr(capture, "fingerprint", refuse)
    assert main(["roofline", "--device", "cuda:0"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1
    assert "this build has no CUDA" in printed.err


def test_the_cpu_by_name_is_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []

    def check(n_threads: int) -> None:
        asked.append(n_threads)
        raise UsageError("no further")

    monkeypatch.setattr("slmprof.machine.ceilings.check_threads", check)
    assert main(["roofline", "--device", "cpu", "--threads", "1"]) == 2
    assert asked == [1] and "no further" in capsys.readouterr().err

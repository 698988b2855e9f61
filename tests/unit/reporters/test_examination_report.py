"""The report of an examination."""

from __future__ import annotations

import csv
import io

import pytest
from reports import data, shown

from slmprof.machine.doctor.records import Examination, Finding
from slmprof.profiles.records.meta import LlamaCpp, Program
from slmprof.reporters.documents.examination import examination_document

LONG = "/a/very/long/path/" + "x" * 90
FINDINGS = (
    Finding("module", "build", "ok", LONG),
    Finding("devices", "build", "ok", "CPU"),
    Finding("rapl", "counters", "unavailable", "no counter", "measure on the machine itself"),
    Finding("nvml", "counters", "unavailable", "no NVIDIA GPU"),
    Finding("load", "surroundings", "unfavourable", "others\x1b[2J used 50 %", "end them"),
    Finding("models", "storage", "broken", "damaged: a.gguf", "`rm a.gguf`"),
)
EXAMINATION = Examination(
    Program("0.1", LlamaCpp("1.2", "there"), {"rpc": True}), "Example CPU", FINDINGS
)
DOCUMENT = examination_document(EXAMINATION)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_to_do_stands_first_and_the_worst_first_of_it(encoding: str) -> None:
    text = shown(DOCUMENT, encoding=encoding)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(part in lines[0] for part in ("slmprof 0.1", "llama.cpp 1.2", "Example CPU"))
    assert "1 broken" in lines[1] and lines[1].endswith("2 ok")
    sentences = [line for line in lines if line.startswith("- ")]
    assert sentences == [
        "- models (broken): `rm a.gguf`",
        "- load (unfavourable): end them",
        "- rapl (unavailable): measure on the machine itself",
    ]
    titles = ["What to do", "Build", "Counters", "Surroundings", "Storage"]
    places = [next(i for i, line in enumerate(lines) if line.startswith(t)) for t in titles]
    assert places == sorted(places)
    # A group without findings has no table, a long path is whole, and nothing steers the terminal.
    assert not any(line.startswith("Machine") for line in lines)
    assert "x" * 90 in text.replace("\n", "").replace(" ", "") and "\x1b" not in text


def test_where_nothing_is_amiss_there_is_nothing_to_do() -> None:
    document = examination_document(Examination(Program("0.1"), "Example CPU", FINDINGS[:2]))
    text = shown(document)
    assert text.splitlines()[:2] == ["slmprof 0.1 · Example CPU", "2 ok"]
    assert "What to do" not in text


def test_json_and_csv_hold_every_finding() -> None:
    values = data(DOCUMENT)
    assert values == EXAMINATION.to_json()
    assert values["is_broken"] is True and len(values["findings"]) == len(FINDINGS)
    assert values["findings"][3]["remedy"] is None
    rows = list(csv.DictReader(io.StringIO(shown(DOCUMENT, "csv"))))
    assert list(rows[0]) == ["name", "group", "state", "found", "remedy"]
    assert [row["state"] for row in rows] == [finding.state for finding in FINDINGS]
    assert rows[3]["remedy"] == ""


def test_markdown_has_the_tables() -> None:
    text = shown(DOCUMENT, "markdown")
    assert "| Storage | state | found |" in text and "- models (broken)" in text

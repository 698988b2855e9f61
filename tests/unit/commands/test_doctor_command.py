"""What `slmprof doctor` prints, and its exit codes."""

from __future__ import annotations

import json

import pytest

from slmprof.commands.main import COMMANDS, main
from slmprof.machine.doctor import examination as room
from slmprof.machine.doctor.records import Examination, Finding, State
from slmprof.profiles.records.meta import Program


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """An examination that finds one thing of each state but `broken`; the timeouts it was given."""
    given: list[float] = []

    def doctor(*, timeout: float) -> Examination:
        given.append(timeout)
        return examination("ok", "unavailable", "unfavourable")

    monkeypatch.setattr(room, "doctor", doctor)
    return given


def examination(*states: State) -> Examination:
    findings = tuple(
        Finding(f"thing{i}", "machine", state, "it is so", None if state == "ok" else "mend it")
        for i, state in enumerate(states)
    )
    return Examination(Program("0.1"), "Example CPU", findings)


def test_what_is_merely_unfavourable_is_no_failure(
    found: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and "- thing2 (unfavourable): mend it" in printed.out
    assert max(map(len, printed.out.splitlines())) <= 80
    assert main(["doctor", "--timeout", "3"]) == 0
    assert found == [room.TIMEOUT_SECONDS, 3.0]


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown"])
def test_what_is_broken_is_told_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    monkeypatch.setattr(room, "doctor", lambda **_: examination("ok", "broken"))
    assert main(["doctor", "--format", form]) == 1
    printed = capsys.readouterr()
    assert printed.err == "" and "mend it" in printed.out
    if form == "json":
        values = json.loads(printed.out)
        assert values["is_broken"] is True
        assert [one["state"] for one in values["findings"]] == ["ok", "broken"]


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("timeout", ["0", "soon"])
def test_a_timeout_that_is_none_is_wrong_usage(
    timeout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--timeout", timeout]) == 2
    assert "--timeout" in capsys.readouterr().err


def test_it_is_the_last_of_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS[-1] == "doctor"
    assert main(["--help"]) == 0
    assert "what would spoil a measurement" in " ".join(capsys.readouterr().out.split())

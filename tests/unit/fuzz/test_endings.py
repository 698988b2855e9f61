"""What counts as a defect in the way that a command ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from endings import MOST_BYTES, MOST_SECONDS, Ending, complaints, outcome

SHOWN = Ending(0, b"| a |\n", b"slmprof: note: one\n")
REFUSED = Ending(2, b"", b"slmprof: error: no such model file: x\n")
DIED = Ending(
    1, b"", b"slmprof: error: the process that plans memory died of SIGABRT while starting\n  log\n"
)


@pytest.mark.parametrize("ending", [SHOWN, REFUSED, DIED])
def test_good_endings(ending: Ending) -> None:
    assert complaints(ending) == []


def test_a_grid_may_have_an_error_for_each_of_its_points() -> None:
    ending = Ending(1, b"| a |\n", b"slmprof: error: one\nslmprof: error: two\n")
    assert complaints(ending, ("memory",)) == []
    assert complaints(ending, ("show",)) == ["2 lines of errors"]


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        (replace(REFUSED, status=70), "exit status 70"),
        (replace(REFUSED, status=-11), "exit status -11"),
        (replace(REFUSED, stopped="time"), "killed"),
        (replace(SHOWN, cpu_seconds=MOST_SECONDS + 1), "11.0 s of processor time"),
        (replace(SHOWN, peak_bytes=MOST_BYTES + 2**20), "1025 MiB"),
        (replace(SHOWN, left=("tmp/slmprof-1",)), "left behind: tmp/slmprof-1"),
        (replace(SHOWN, out=b"\x1b[2J\n"), "steer"),
        (replace(REFUSED, err=REFUSED.err + "\u202e".encode()), "steer"),
        (replace(SHOWN, out=b"\xff\n"), "no UTF-8"),
        (replace(REFUSED, err=b"Traceback (most recent call last):\n"), "a traceback"),
        (replace(REFUSED, err=b""), "0 lines of errors"),
        (replace(REFUSED, err=REFUSED.err * 2), "2 lines of errors"),
        (replace(REFUSED, err=b"free(): invalid pointer\n" + REFUSED.err), "more than errors"),
        (replace(REFUSED, err=b"slmprof: error: " + b"x" * 5000), "5016 characters"),
        (
            replace(REFUSED, err=b"slmprof: error: unexpected KeyError: 'a' (--debug shows where)"),
            "nobody foresaw",
        ),
        (replace(SHOWN, status=0, err=REFUSED.err), "an error, and exit status 0"),
        (replace(SHOWN, out=b""), "nothing is shown"),
    ],
)
def test_bad_endings(ending: Ending, says: str) -> None:
    assert any(says in complaint for complaint in complaints(ending))


def test_json_must_be_json() -> None:
    assert complaints(replace(SHOWN, out=b"{}\n"), ("show", "--format", "json")) == []
    (complaint,) = complaints(SHOWN, ("show", "--format", "json"))
    assert "JSON cannot be read" in complaint


def test_outcomes() -> None:
    assert outcome(SHOWN) == "0"
    assert outcome(REFUSED) == "2"
    assert outcome(DIED) == "1, worker died of SIGABRT"
    assert outcome(replace(REFUSED, stopped="memory")) == "killed: memory"

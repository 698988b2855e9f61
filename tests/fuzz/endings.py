"""How a command may end, whatever it was given: what counts as an outcome, and what as a defect."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_SECONDS = 10.0
MOST_BYTES = 2**30
# Longer than any sentence that a person reads, with two paths in it.
_LONGEST_LINE = 1500
_ERROR, _NOTE = "slmprof: error: ", "slmprof: note: "
# What llama.cpp said last stands below an error, by two spaces.
_BEGINNINGS = (_ERROR, _NOTE, "  ")
_TOLD = re.compile(r"\d+ kernels joined again, \d+ of them not as in the recording$")
_DIED = re.compile(r"died of (SIG\w+|\d+)|ended with status (\d+)|no longer answers")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\)|^  File \"", re.MULTILINE)
# Of `memory`, a point of a grid that cannot be is told by itself, and the others are shown.
_SEVERAL_ERRORS = 40
# How `main` and the worker processes tell of an exception that is none of slmprof's own.
_UNFORESEEN = re.compile(r"unexpected \w+(Error|Exception|Warning|Interrupt|Exit)?: ")


@dataclass(frozen=True)
class Ending:
    """What a command left.

    Attributes:
        status: its exit code, or less than 0: the signal that it died of.
        cpu_seconds: of all of its processes. Wall time would also tell of what else a machine does.
        peak_bytes: resident memory of the largest of its processes; 0 where it is not known.
        stopped: why it was killed, or empty.
        left: files and processes that were there afterwards and should not have been.
    """

    status: int
    out: bytes
    err: bytes
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    stopped: str = ""
    left: tuple[str, ...] = ()


def outcome(ending: Ending) -> str:
    """In which line of a table of outcomes an ending counts."""
    if ending.stopped:
        return f"killed: {ending.stopped}"
    if ending.status == 1:
        if died := _DIED.search(_text(ending.err)):
            return f"1, worker {died[0]}"
        return "1, refused by llama.cpp" if b"\n  " in ending.err else "1"
    return str(ending.status)


def complaints(ending: Ending, arguments: Sequence[str] = ()) -> list[str]:
    """What is wrong with an ending; empty for a good one.

    Args:
        arguments: of the command, which say what its output should be.
    """
    found = []
    if ending.stopped:
        found.append(f"it was killed: {ending.stopped}")
    elif ending.status not in (0, 1, 2):
        found.append(f"exit status {ending.status}")
    if ending.cpu_seconds > MOST_SECONDS:
        found.append(f"it took {ending.cpu_seconds:.1f} s of processor time")
    if ending.peak_bytes > MOST_BYTES:
        found.append(f"it took {ending.peak_bytes / 2**20:.0f} MiB")
    if not ending.stopped:
        found += [f"left behind: {name}" for name in ending.left]
    for name, data in (("stdout", ending.out), ("stderr", ending.err)):
        found += [f"{name}: {complaint}" for complaint in _of_text(data)]
    if not ending.stopped:
        found += _of_lines(ending, arguments)
    return found


def _of_text(data: bytes) -> list[str]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return [f"no UTF-8: {error}"]
    found = []
    if odd := sorted({c for c in text if not c.isprintable() and c != "\n"}):
        found.append(f"characters that steer: {odd}")
    if _TRACEBACK.search(text):
        found.append("a traceback")
    return found


def _of_lines(ending: Ending, arguments: Sequence[str]) -> list[str]:
    lines = _text(ending.err).splitlines()
    errors = [line for line in lines if line.startswith(_ERROR)]
    others = [line for line in lines if not line.startswith(_BEGINNINGS) and not _TOLD.match(line)]
    found = []
    several = _SEVERAL_ERRORS if "memory" in arguments[:1] else 1
    if ending.status == 0 and errors:
        found.append("an error, and exit status 0")
    if ending.status and not 1 <= len(errors) <= several:
        found.append(f"{len(errors)} lines of errors")
    if others:
        found.append(f"stderr has more than errors and notes: {others[0][:200]!r}")
    for line in errors:
        if len(line) > _LONGEST_LINE:
            found.append(f"an error of {len(line)} characters: {line[:80]!r}...")
        if _UNFORESEEN.search(line):
            found.append(f"an error that nobody foresaw: {line[:300]}")
    if ending.status == 0 and not ending.out:
        found.append("exit status 0, and nothing is shown")
    if ending.status == 0 and "json" in arguments:
        try:
            json.loads(ending.out)
        except ValueError as error:
            found.append(f"its JSON cannot be read: {error}")
    return found


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")

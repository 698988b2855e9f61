"""Conditions on a comparison: the expressions of `--fail-if` (docs/comparison.md)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...errors import UsageError
from ...profiles.vocabulary import MEMORY_KINDS, PHASES
from ..graphs.weight_roles import PARTS
from .intervals import Interval
from .memory import NAMES as MEMORY_NAMES
from .memory import RSS_PEAK, peak_slack, size_row
from .places import BLOCK, KERNEL, LATENCY, LAYER, MEMORY, PART
from .rows import ONLY_A, ONLY_B, Row

FAILED, HELD, UNDECIDED = "failed", "held", "undecided"

_TIME_UNITS = {"ms": 1.0, "us": 1e-3, "µs": 1e-3, "s": 1e3}
_SIZE_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_PERCENT = "%"
_UNITS = (_PERCENT, *_TIME_UNITS, *_SIZE_UNITS)
_EXPRESSION = re.compile(r"\s*(?P<what>[^<>=]*[^<>=\s])\s*(?P<sign>[<>]=?)(?P<value>[^<>=]*)")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_LAYER = re.compile(r"layer \d+")
_FORM = (
    "a condition is WHAT[.PHASE] > VALUE, as in 'decode > 3%', 'ffn.decode > 0.5ms', 'kv_cache > 0'"
)


@dataclass(frozen=True)
class Condition:
    """A condition on the difference of b from a.

    Attributes:
        text: as it was written.
        what, name, phase: of the rows that are meant; `what` is None where the name may be that of
            a kernel, of its code or of a part, which only the profiles tell. Without a phase,
            every phase.
        is_above: whether more than `value` is meant, or less.
        is_or_equal: whether `value` itself is meant as well.
        value: milliseconds or bytes; where `is_relative`, a share of `a`. Zero is zero of either.
    """

    text: str
    what: str | None
    name: str
    phase: str | None
    is_above: bool
    is_or_equal: bool
    value: float
    is_relative: bool

    @classmethod
    def parse(cls, text: str) -> Condition:
        """What an expression means.

        Raises:
            UsageError: it is no condition, has no number or an unknown unit, or one that its thing
                is not measured in.
        """
        found = _EXPRESSION.fullmatch(text)
        if not found:
            raise UsageError(f"{text!r} is no condition; {_FORM}")
        name, dot, phase = (
            found["what"].rpartition(".") if "." in found["what"] else (found["what"], "", "")
        )
        if dot and phase not in PHASES:
            raise UsageError(f"{text!r}: {phase!r} is no phase; there are {' and '.join(PHASES)}")
        value, unit = _value(found["value"].strip(), text)
        what = _kind_of(name, unit)
        if dot and what in (LATENCY, MEMORY):
            raise UsageError(f"{text!r}: {name} has no phases")
        is_memory = what == MEMORY
        if not unit and value:
            units = ", ".join(_SIZE_UNITS) if is_memory else "ms or us"
            raise UsageError(f"{text!r}: {value:g} of what? Write % or {units} behind it")
        if unit not in ("", _PERCENT) and (unit in _SIZE_UNITS) != is_memory:
            measured = "bytes" if is_memory else "milliseconds"
            raise UsageError(f"{text!r}: {name} is measured in {measured}, or in %")
        factor = 0.01 if unit == _PERCENT else {**_TIME_UNITS, **_SIZE_UNITS}.get(unit, 1)
        return cls(
            text=text.strip(),
            what=what,
            name=name,
            phase=name if what == LATENCY else phase or None,
            is_above=found["sign"][0] == ">",
            is_or_equal=len(found["sign"]) > 1,
            value=value * factor,
            is_relative=unit in ("", _PERCENT),
        )

    def rows(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that it is about; a kind of memory that neither side has is nothing on both.

        Raises:
            UsageError: there is none.
        """
        known = list(rows)
        found = [row for row in known if self._means(row, self.what)]
        # One name may be that of several things: of a kernel first, or of a block.
        if not found and self.what is None:
            found = [row for row in known if self._means(row, PART)]
        if not found and self._may_be_memory():
            found = [row for row in known if self._means(row, MEMORY)]
            if not found and self.name in MEMORY_KINDS:
                return [size_row(self.name, 0, 0)]
        if not found:
            where = f" in {self.phase}" if self.phase and self.what != LATENCY else ""
            raise UsageError(
                f"{self.text!r} names nothing that was compared: there is no {self.name!r}{where}"
            )
        return found

    def _may_be_memory(self) -> bool:
        return self.name in MEMORY_NAMES and (
            self.what == MEMORY or (self.phase is None and self.is_relative)
        )

    def _means(self, row: Row, what: str | None) -> bool:
        if self.phase is not None and row.phase != self.phase:
            return False
        if what is None:
            return _is_of_kernel(row, self.name)
        if what == PART:
            return row.what == PART and self.name in (row.name, row.part)
        # Kinds of memory have rows of their buffers as well, which no condition is about.
        return (row.what, row.name, row.buffer_type) == (what, self.name, None)

    def state(self, row: Row) -> str:
        """`failed` where it is sure that the condition is met, `held` where it is sure that it is
        not, else `undecided`: by the corrected interval, or by exact sizes."""
        interval = self._interval(row)
        if interval is None:
            return UNDECIDED
        low, high = interval
        if not self.is_above:
            low, high = -high, -low
        value = self.value if self.is_above else -self.value
        if low > value or (self.is_or_equal and low >= value):
            return FAILED
        if high < value or (not self.is_or_equal and high <= value):
            return HELD
        return UNDECIDED

    def _interval(self, row: Row) -> Interval | None:
        """What the difference lies in, in the unit of the value; None where that is not known."""
        if row.note not in ("", ONLY_A, ONLY_B):
            return None
        if (row.what, row.name) == (MEMORY, RSS_PEAK):
            slack = peak_slack(row.a or 0.0)
            base = (row.a or 1.0) if self.is_relative else 1.0
            return (row.difference - slack) / base, (row.difference + slack) / base
        # Without one it is not in all processes: then the next ones may not have it either.
        if not self.is_relative or row.intervals.corrected_ci is None:
            return row.intervals.corrected_ci
        if not row.a:
            # What was not there has grown by more than any percentage.
            return (math.inf, math.inf) if row.b else (0.0, 0.0)
        return row.intervals.relative_corrected_ci if row.b else (-1.0, -1.0)


@dataclass(frozen=True)
class Outcome:
    """What became of a condition: its state, and the row that decided it, or that did not.

    Attributes:
        name: of the subject that was compared with the first.
    """

    name: str
    condition: Condition
    state: str
    row: Row


def check(name: str, conditions: Sequence[Condition], rows: Sequence[Row]) -> tuple[Outcome, ...]:
    """Each condition on a subject once for each row that fails it; else once, undecided or held.

    Raises:
        UsageError: a condition names nothing that was compared.
    """
    made: list[Outcome] = []
    for condition in conditions:
        found = [
            Outcome(name, condition, condition.state(row), row) for row in condition.rows(rows)
        ]
        failed = [outcome for outcome in found if outcome.state == FAILED]
        undecided = [outcome for outcome in found if outcome.state == UNDECIDED]
        made += failed or undecided[:1] or found[:1]
    return tuple(made)


def _value(text: str, whole: str) -> tuple[float, str]:
    """Number and unit of a text. Raises UsageError."""
    number = _NUMBER.match(text)
    if not number:
        raise UsageError(f"{whole!r}: {text!r} is no number; {_FORM}")
    value, unit = float(number[0]), text[number.end() :].strip()
    if not math.isfinite(value):
        raise UsageError(f"{whole!r}: {number[0]} is too large")
    if unit and unit not in _UNITS:
        raise UsageError(f"{whole!r}: there is no unit {unit!r}; use one of {', '.join(_UNITS)}")
    return value, unit


def _kind_of(name: str, unit: str) -> str | None:
    """What rows a name is of; None for a kernel, its code, or a part. `other` is a block, and in
    bytes a kind of memory."""
    if name in PHASES:
        return LATENCY
    if _LAYER.fullmatch(name):
        return LAYER
    if name in PARTS and unit not in _SIZE_UNITS:
        return BLOCK
    return MEMORY if name in MEMORY_NAMES else BLOCK if name in PARTS else None


def _is_of_kernel(row: Row, name: str) -> bool:
    """Whether a row is that of a kernel as a whole, or of the code of that name."""
    if row.what != KERNEL:
        return False
    return name == row.impl or (row.name == name and not row.is_of_code)

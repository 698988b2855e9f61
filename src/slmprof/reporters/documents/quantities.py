"""Numbers with their units, as people read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import Any

from .parts import Quantity, Unit

_KIB, _MIB, _GIB = 2**10, 2**20, 2**30
NONE = "-"
_MOST_CHANGE = 10.0  # as a share
_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|[KMG]iB|GB/s)(?!\w))")


def milliseconds(value: float | None) -> str:
    """About four digits: 1234.5, 12.34, 0.123."""
    if value is None:
        return NONE
    size = abs(value)
    return f"{value:.{1 if size >= 100 else 2 if size >= 10 else 3}f}"


def percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"


def change(share: float | None) -> str:
    """A share with its sign; beyond 1000 % how many times as much it is."""
    if share is None:
        return NONE
    return f"x{1 + share:.3g}" if share > _MOST_CHANGE else f"{100 * share:+.1f} %"


def changes(ends: Sequence[float] | None) -> str:
    """A range of changes; beyond 1000 % it says no more than that."""
    if ends is None:
        return NONE
    low, high = ends
    if high <= _MOST_CHANGE:
        return f"{100 * low:+.1f} to {100 * high:+.1f} %"
    beyond = f"> x{_MOST_CHANGE:g}"
    return beyond if low > _MOST_CHANGE else f"{100 * low:+.1f} % to {beyond}"


def times(ends: Sequence[float] | None) -> str:
    """A range of milliseconds."""
    return NONE if ends is None else f"{milliseconds(ends[0])} to {milliseconds(ends[1])}"


def joules(value: float | None) -> str:
    """About four digits, to the millionth: 12.34, 0.0512, 0.000071."""
    if value is None:
        return NONE
    size = abs(value)
    if size >= 1:
        return milliseconds(value)
    n_digits = next((n for n in range(4, 6) if size >= 10.0 ** (3 - n)), 6)
    return f"{value:.{n_digits}f}"


def joules_between(ends: Sequence[float] | None) -> str:
    """A range of joules."""
    return NONE if ends is None else f"{joules(ends[0])} to {joules(ends[1])}"


def rate(value: float | None) -> str:
    """At least two digits: 12346, 123.4, 1.2, 0.04."""
    if value is None:
        return NONE
    size = abs(value)
    return f"{value:.{0 if size >= 1000 else 1 if size >= 1 else 2}f}"


def ratio(value: float | None) -> str:
    """Three digits or more: 0.026, 1.24, 12.5."""
    if value is None:
        return NONE
    size = abs(value)
    return f"{value:.{1 if size >= 10 else 2 if size >= 0.1 else 3}f}"


def bytes_text(value: float | None) -> str:
    """In KiB, MiB or GiB."""
    if value is None:
        return NONE
    if abs(value) < _MIB:
        return f"{value / _KIB:.2f} KiB"
    return f"{value / _GIB:.2f} GiB" if abs(value) >= 10 * _GIB else f"{value / _MIB:.2f} MiB"


def size_text(value: float) -> str:
    """The size of a cache or a working set: 32 KiB, 1.5 MiB."""
    for unit, factor in (("GiB", _GIB), ("MiB", _MIB)):
        if value >= factor:
            return f"{value / factor:.4g} {unit}"
    return f"{value / _KIB:.4g} KiB"


def mebibytes(value: float | None) -> str:
    """In MiB, without the unit; of less than a tenth the first digits."""
    if value is None:
        return NONE
    size = value / _MIB
    return f"{size:.{2 if abs(size) >= 0.1 or not value else 4}f}"


def count_text(value: float | None) -> str:
    """In thousands, millions (`M`) or thousand millions (`B`)."""
    if value is None:
        return NONE
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:g}"


def calls_text(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}" if value == round(value) else f"{value:.2f}"


def shape_text(shape: Sequence[int] | None) -> str:
    return NONE if shape is None else "x".join(map(str, shape))


def whole_percent(share: float) -> str:
    """In whole percent, where one is not too coarse: 74 %, 0.4 %."""
    value = 100 * share
    return f"{value:.1f} %" if 0 < abs(value) < 1 or 99 < value < 100 else f"{value:.0f} %"


def wrapped(text: str, width: int, first: str = "", then: str = "") -> list[str]:
    """The lines of a sentence, with no break between a number and its unit."""
    kept = _UNIT.sub("\u00a0", text)
    lines = wrap(kept, width, initial_indent=first, subsequent_indent=then)
    return [line.replace("\u00a0", " ") for line in lines]


_TEXTS: dict[Unit, Callable[[Any], str]] = {
    "ms": milliseconds,
    "ms_change": lambda value: f"{'+' if value > 0 else ''}{milliseconds(value)}",
    "share": percent,
    "change": change,
    "range": changes,
    "ms_range": times,
    "joules": joules,
    "joules_range": joules_between,
    "rate": rate,
    "ratio": ratio,
    "bytes": bytes_text,
    "size": size_text,
    "mib": mebibytes,
    "mib_change": lambda value: f"{'+' if value > 0 else ''}{mebibytes(value)}",
    "bits": lambda value: f"{value:.2f}",
    "count": calls_text,
    "shape": shape_text,
}


def value_text(value: Any, unit: Unit) -> str:
    """A value of a unit as a short text; what is already one stays as it is."""
    if isinstance(value, Quantity):
        return value_text(value.value, value.unit)
    if isinstance(value, str):
        return value
    return NONE if value is None else _TEXTS.get(unit, str)(value)

"""Numbers with their units, as people read them."""

from __future__ import annotations

from dataclasses import dataclass

_KIB, _MIB, _GIB = 2**10, 2**20, 2**30
NONE = "-"


@dataclass(frozen=True)
class Glyphs:
    """Signs that not every terminal can show."""

    plus_minus: str
    dot: str
    ellipsis: str
    bar: str
    shades: str


UNICODE = Glyphs(plus_minus="±", dot=" · ", ellipsis="…", bar="█", shades="░▒▓█")
ASCII = Glyphs(plus_minus="+-", dot=", ", ellipsis="~", bar="#", shades=".:+#")


def milliseconds(value: float | None) -> str:
    """About four digits: 1234.5, 12.34, 0.123."""
    if value is None:
        return NONE
    size = abs(value)
    return f"{value:.{1 if size >= 100 else 2 if size >= 10 else 3}f}"


def percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"


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


def mebibytes(value: float) -> str:
    """In MiB, without the unit; of less than a tenth the first digits."""
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


def shortened(text: str, width: int, glyphs: Glyphs) -> str:
    """Cut in the middle, where names of tensors and kernels differ least."""
    if len(text) <= width:
        return text
    keep = width - len(glyphs.ellipsis)
    tail = keep // 2
    return text[: keep - tail] + glyphs.ellipsis + text[len(text) - tail :]


def printable(text: str, glyphs: Glyphs) -> str:
    """Without control characters, which could steer a terminal; ASCII only with ASCII glyphs."""
    ascii_only = glyphs is ASCII
    return "".join(c if c.isprintable() and (c.isascii() or not ascii_only) else "?" for c in text)

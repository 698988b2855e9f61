"""What a setting's value may be: read from a command line, and checked wherever it comes from.

`read` makes a value of an option's text; `check` returns a value as it is kept. Both raise
ValueError, whose message goes on after the name of the setting or of the option.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from typing import Any

from .patterns import MOST_CHARACTERS, check_pattern

# Of one run: a profile with more is not read.
MOST_DEPTHS, MOST_PROCESSES = 100, 1000
MOST = 2**31 - 1  # what 32-bit counters of llama.cpp can hold
_LONGEST_PATTERN = 1 << 16  # one that names every weight of a deep model has some ten thousand


class Kind:
    """A kind of values; `metavar` stands for one in a command's help."""

    metavar = ""

    def read(self, text: str) -> Any:
        return text

    def check(self, value: Any) -> Any:
        raise NotImplementedError


class Whole(Kind):
    """A whole number within limits."""

    metavar = "N"

    def __init__(self, least: int = 1, most: int = MOST) -> None:
        self.least, self.most = least, most

    def read(self, text: str) -> Any:
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None

    def check(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{value!r} is not a whole number")
        if value < self.least:
            raise ValueError(f"{value} is too small; at least {self.least} is needed")
        if value > self.most:
            raise ValueError(f"{value} is too large; at most {self.most} is possible")
        return value


class WholeOr(Whole):
    """A whole number, or a word that stands for one."""

    def __init__(self, word: str, least: int = 1) -> None:
        super().__init__(least)
        self.word = word

    def read(self, text: str) -> Any:
        return text if text == self.word else super().read(text)

    def check(self, value: Any) -> Any:
        return value if value == self.word else super().check(value)


class Word(Kind):
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.metavar = "|".join(words)

    def check(self, value: Any) -> Any:
        if value not in self.words:
            raise ValueError(f"{value!r} is not one of {', '.join(self.words)}")
        return value


class Switch(Kind):
    """True or false; on or off on a command line."""

    metavar = "on|off"

    def read(self, text: str) -> Any:
        return {"on": True, "off": False}[Word("on", "off").check(text)]

    def check(self, value: Any) -> Any:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is not true or false")
        return value


class Text(Kind):
    """Any text but the empty one; paths become texts."""

    def __init__(self, metavar: str, what: str) -> None:
        self.metavar, self.what = metavar, what

    def check(self, value: Any) -> Any:
        text = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(text, str) or not text:
            raise ValueError(f"{value!r} is not {self.what}")
        return text


class Number(Kind):
    """A positive number.

    Args:
        what: it is called, behind "a" and "a positive".
    """

    def __init__(self, metavar: str, what: str = "number") -> None:
        self.metavar, self.what = metavar, what

    def read(self, text: str) -> Any:
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a {self.what}") from None

    def check(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{value!r} is not a {self.what}")
        if not 0 < value < math.inf:
            raise ValueError(f"{value:g} is not a positive {self.what}")
        return value


class Seconds(Number):
    """A positive number of seconds."""

    metavar = "SECONDS"

    def __init__(self) -> None:
        super().__init__(self.metavar, "number of seconds")


_BYTE_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
}  # fmt: skip


class Bytes(Whole):
    """An amount of memory in bytes; on a command line 8GiB, 4GB, 1.5g or plain bytes."""

    metavar = "BYTES"

    def __init__(self) -> None:
        super().__init__(1, 2**63 - 1)

    def read(self, text: str) -> Any:
        found = re.fullmatch(r"\s*(\d{1,30}(?:\.\d{1,30})?)\s*([a-zA-Z]*)\s*", text, re.ASCII)
        unit = _BYTE_UNITS.get(found[2].lower()) if found else None
        if found is None or unit is None:
            raise ValueError(
                f"{text!r} is not an amount of memory; write 8GiB, 500MB or plain bytes"
            )
        whole, _, fraction = found[1].partition(".")
        # In whole numbers: a float would lose bytes of large amounts.
        return int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)


class Pattern(Text):
    """A regular expression that finds names of tensors, of Python's grammar."""

    def __init__(self) -> None:
        super().__init__("PATTERN", "a regular expression")

    def check(self, value: Any) -> Any:
        text = super().check(value)
        check_pattern(text, most_characters=_LONGEST_PATTERN, has_posix_classes=False)
        return text


class Override(Text):
    """PATTERN=BUFFER: weights whose name the pattern finds, and the buffer type they go to.

    Args:
        what: stands behind the equals sign.
        most_characters: of the pattern; None where nothing is going to be matched with it.
    """

    def __init__(self, what: str = "BUFFER", most_characters: int | None = MOST_CHARACTERS) -> None:
        super().__init__(f"PATTERN={what}", f"PATTERN={what}")
        self.most_characters = most_characters

    def check(self, value: Any) -> Any:
        pattern, given = self.split(super().check(value))
        if not (pattern and given):
            raise ValueError(f"{value!r} is not {self.what}")
        if self.most_characters is not None:
            check_pattern(pattern, most_characters=self.most_characters)
        return value

    @staticmethod
    def split(text: str) -> tuple[str, str]:
        """Pattern, and what it is given."""
        pattern, _, given = text.rpartition("=")
        return pattern, given


class Several(Kind):
    """Values of one kind, each once; by commas on a command line.

    Args:
        alone: a single value is kept as it is, not as a tuple of one.
        least, most: how many there must be, and may.
    """

    def __init__(self, one: Kind, *, least: int = 1, most: int = MOST, alone: bool = False) -> None:
        self.one, self.least, self.most, self.alone = one, least, most, alone
        self.metavar = f"{one.metavar},..."

    def read(self, text: str) -> Any:
        parts = [part.strip() for part in text.split(",")]
        if not all(parts):
            raise ValueError(f"{text!r} has an empty item in its list")
        return tuple(self.one.read(part) for part in parts)

    def check(self, value: Any) -> Any:
        is_one = isinstance(value, (str, bytes)) or not isinstance(value, Iterable)
        values = tuple(dict.fromkeys(map(self.one.check, (value,) if is_one else value)))
        if len(values) < self.least:
            raise ValueError("there is no value; name at least one")
        if len(values) > self.most:
            raise ValueError(f"{len(values)} values are too many; at most {self.most} are possible")
        return values[0] if self.alone and len(values) == 1 else values

"""What a setting's value may be: read from a command line, and checked wherever it comes from.

`read` makes a value of an option's text; `check` returns a value as it is kept. Both raise
ValueError, whose message goes on after the name of the setting or of the option.
"""

from __future__ import annotations

import itertools
import math
import operator
import os
import re
from collections.abc import Iterable
from typing import Any

# Of one run: a profile with more is not read.
MOST_DEPTHS, MOST_PROCESSES = 100, 1000
MOST = 2**31 - 1  # what 32-bit counters of llama.cpp can hold
MAX_SEED = 2**64 - 1  # of random weights
_MOST_VALUES = 10_000  # of one setting
_MOST_SHOWN = 80  # characters of a value in a message


def shown(value: object) -> str:
    """A value as a message quotes it: on one line, and not long."""
    try:
        text = " ".join(repr(value).splitlines())
    except Exception:
        # A number may have too many digits to be written; of others' objects anything is possible.
        text = f"this {type(value).__name__}"
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


class Kind:
    """A kind of values; `metavar` stands for one in a command's help."""

    metavar = ""

    def read(self, text: str) -> Any:
        return text

    def check(self, value: Any) -> Any:
        raise NotImplementedError

    def check_together(self, values: tuple[Any, ...]) -> None:
        """Raises ValueError where several values, each of which is right, are wrong together."""


class Whole(Kind):
    """A whole number within limits.

    Args:
        why: there is an upper limit, for the message.
    """

    metavar = "N"

    def __init__(self, least: int = 1, most: int = MOST, why: str = "") -> None:
        self.least, self.most, self.why = least, most, why

    def read(self, text: str) -> Any:
        # Python reads more than people mean by a number: 1_000, and the digits of any script.
        if re.fullmatch(r"\s*[-+]?\d{1,1000}\s*", text, re.ASCII) is None:
            raise ValueError(f"{shown(text)} is not a whole number")
        return int(text)

    def check(self, value: Any) -> Any:
        try:
            # Those of numpy are numbers, too, but JSON and the native library do not know them.
            number = operator.index(value)
        except TypeError:
            number = None
        if number is None or isinstance(value, bool):
            raise ValueError(f"{shown(value)} is not a whole number")
        if number < self.least:
            raise ValueError(f"{shown(number)} is too small; at least {self.least} is needed")
        if number > self.most:
            why = f" ({self.why})" if self.why else ""
            raise ValueError(f"{shown(number)} is too large; at most {self.most} is possible{why}")
        return number


class WholeOr(Whole):
    """A whole number, or a word that stands for one."""

    def __init__(self, word: str, least: int = 1) -> None:
        super().__init__(least)
        self.word = word

    def read(self, text: str) -> Any:
        return text if text == self.word else super().read(text)

    def check(self, value: Any) -> Any:
        if isinstance(value, str) and value != self.word:
            raise ValueError(f"{shown(value)} is not a whole number, and not {self.word}")
        return value if isinstance(value, str) else super().check(value)


class Word(Kind):
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.metavar = "|".join(words)

    def check(self, value: Any) -> Any:
        if not isinstance(value, str) or value not in self.words:
            raise ValueError(f"{shown(value)} is not one of {', '.join(self.words)}")
        return value


class Switch(Kind):
    """True or false; on or off on a command line."""

    metavar = "on|off"

    def read(self, text: str) -> Any:
        return {"on": True, "off": False}[Word("on", "off").check(text)]

    def check(self, value: Any) -> Any:
        if not isinstance(value, bool):
            raise ValueError(f"{shown(value)} is not true or false")
        return value


class Text(Kind):
    """Any text but the empty one."""

    def __init__(self, metavar: str, what: str) -> None:
        self.metavar, self.what = metavar, what

    def check(self, value: Any) -> Any:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{shown(value)} is not {self.what}")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            # The native library has no other.
            raise ValueError(f"{shown(value)} is not {self.what}: it is not UTF-8") from None
        return value


class File(Text):
    """The path of a file or folder, as text or as a `pathlib.Path`; it becomes text.

    Its text may hold what is not UTF-8, which Python keeps of the system's names.
    """

    def __init__(self, metavar: str = "FILE", what: str = "a file") -> None:
        super().__init__(metavar, what)

    def check(self, value: Any) -> Any:
        text = path_text(value)
        if text is None:
            raise ValueError(
                f"{shown(value)} is not {self.what}; give its path as text or pathlib.Path"
            )
        if not text or not can_be_path(text):
            raise ValueError(f"{shown(text)} is not {self.what}")
        return text


def path_text(value: Any) -> str | None:
    """A path as text; None where it is none. Paths in bytes are not taken anywhere."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    return text if isinstance(text, str) else None


def can_be_path(text: str) -> bool:
    """Whether the system's names can hold all of its characters."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def read_number(text: str) -> float:
    """A number as people write it. Raises ValueError."""
    if not text.isascii() or "_" in text:
        raise ValueError(text)
    return float(text)


def is_real(value: Any) -> bool:
    """Whether it is a number, with or without a fraction."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_float(value: int | float) -> float:
    """A number as a float, infinite where it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


class Number(Kind):
    """A positive number.

    Args:
        what: it is called, behind "a" and "a positive".
    """

    def __init__(self, metavar: str, what: str = "number") -> None:
        self.metavar, self.what = metavar, what

    def read(self, text: str) -> Any:
        try:
            return read_number(text)
        except ValueError:
            raise ValueError(f"{shown(text)} is not a {self.what}") from None

    def check(self, value: Any) -> Any:
        if not is_real(value):
            raise ValueError(f"{shown(value)} is not a {self.what}")
        if not 0 < as_float(value) < math.inf:
            raise ValueError(f"{shown(value)} is not a positive {self.what}")
        return value


class Seconds(Number):
    """A positive number of seconds."""

    metavar = "SECONDS"

    def __init__(self) -> None:
        super().__init__(self.metavar, "number of seconds")


class Share(Kind):
    """A part of one: from 0 to below 1."""

    metavar = "SHARE"

    def check(self, value: Any) -> Any:
        if not is_real(value) or not 0 <= value < 1:
            raise ValueError(f"{shown(value)} is not a share; give a number from 0 to below 1")
        return value


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
                f"{shown(text)} is not an amount of memory; write 8GiB, 500MB or plain bytes"
            )
        whole, _, fraction = found[1].partition(".")
        # In whole numbers: a float would lose bytes of large amounts.
        return int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)


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
            raise ValueError(f"{shown(text)} has an empty item in its list")
        return tuple(self.one.read(part) for part in parts)

    def check(self, value: Any) -> Any:
        is_one = isinstance(value, (str, bytes)) or not isinstance(value, Iterable)
        # An iterable need not have an end.
        first = tuple(itertools.islice((value,) if is_one else value, _MOST_VALUES + 1))
        if len(first) > _MOST_VALUES:
            raise ValueError(f"there are more than {_MOST_VALUES} values")
        values = tuple(dict.fromkeys(map(self.one.check, first)))
        self.one.check_together(values)
        if len(values) < self.least:
            raise ValueError("there is no value; name at least one")
        if len(values) > self.most:
            raise ValueError(f"{len(values)} values are too many; at most {self.most} are possible")
        return values[0] if self.alone and len(values) == 1 else values


class Instance(Kind):
    """An object of a class.

    Args:
        what: it is called, with an article, and how to get one.
    """

    def __init__(self, of: type[Any], what: str) -> None:
        self.of, self.what = of, what

    def check(self, value: Any) -> Any:
        if not isinstance(value, self.of):
            raise ValueError(f"{shown(value)} is not {self.what}")
        return value


class Callback(Kind):
    """A function that is called as the work goes on.

    Args:
        gets: what it is called with.
    """

    def __init__(self, gets: str = "a Progress") -> None:
        self.gets = gets

    def check(self, value: Any) -> Any:
        if not callable(value):
            raise ValueError(f"{shown(value)} is not a function; give one that takes {self.gets}")
        return value


class Pairs(Kind):
    """Pairs of texts.

    Args:
        what: the two are.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def check(self, value: Any) -> Any:
        pairs = value if isinstance(value, (list, tuple)) else (value,)
        for pair in pairs:
            is_pair = isinstance(pair, (list, tuple)) and len(pair) == 2
            if not is_pair or not all(isinstance(text, str) for text in pair):
                raise ValueError(f"{shown(pair)} is not {self.what}")
        return tuple((first, second) for first, second in pairs)

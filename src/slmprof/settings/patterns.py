"""Regular expressions that find names of tensors: those whose matching could take for ever are not
taken.

llama.cpp matches with std::regex, slmprof's schemes with Python's `re`. Both go back and try again
wherever a pattern has another way to match, and there may be more ways than anybody can wait for:
`(.*)*x` has 2^n in a name of n characters. So the ways are counted before anything is matched, from
above, by what a pattern consists of. All that a pattern of tensors needs has few.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_CHARACTERS = 4096
_LONGEST_NAME = 63  # ggml's GGML_MAX_NAME, with a zero at the end
_MOST_ENDLESS = 3
# Of the matcher in the longest name; the slowest patterns that have so many take 0.15 s there,
# and 0.03 s in a name of 27 characters (std::regex).
_MOST_STEPS = 5_000_000
# Of all patterns of a setting, each of which is looked for in every name: ten of three repetitions.
_MOST_STEPS_TOGETHER = 8_000_000
_MOST_SIZE = 100_000
_DEEPEST = 16
_SHOWN = 60

_PLAIN = re.compile(r"\w+(?![*+?{])", re.ASCII)
_COUNTS = re.compile(r"\{(\d{1,9})(,(\d{0,9}))?\}", re.ASCII)
_GROUP = re.compile(r"\?(?:[:=!>]|<[=!]|P?<\w{1,100}>|[a-zA-Z-]{1,20}[:)])", re.ASCII)
_POSIX_CLASS = re.compile(r"\[:\w{1,20}:\]", re.ASCII)
_ASSERTIONS = ("^", "$", r"\b", r"\B")
_ONE_AT_A_TIME = "repeat a single character or class, as in .* or [0-9]+"


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises ValueError where to match one of several, or all of them, could take long."""
    n_steps = n_patterns = 0
    for pattern in patterns:
        n_steps += check_pattern(pattern)
        n_patterns += 1
    if n_steps > _MOST_STEPS_TOGETHER:
        raise ValueError(
            f"{n_patterns} patterns can together match one name in too many ways: give fewer, or "
            "with fewer repetitions without an end (* or +); those at its ends can be left out, "
            "as a pattern is looked for anywhere in a name"
        )


def check_pattern(
    pattern: str, *, most_characters: int = MOST_CHARACTERS, has_posix_classes: bool = True
) -> int:
    """Raises ValueError, which names the pattern, where to match it could take long.

    What is no regular expression at all is for the engine to say, as far as it is not seen here.

    Args:
        has_posix_classes: whether `[[:alpha:]]` is a class, as in C++ and not in Python.

    Returns:
        The most steps that a matcher could take in the longest name.
    """
    if len(pattern) > most_characters:
        raise _error(
            pattern,
            f"has {len(pattern)} characters, and {most_characters} are possible; write several "
            "patterns",
        )
    part = _Reader(pattern, has_posix_classes).whole()
    if part.endless > _MOST_ENDLESS:
        raise _error(
            pattern,
            f"has {part.endless} repetitions without an end (* or +), and {_MOST_ENDLESS} are "
            "possible; it is looked for anywhere in a name: leave out those at its ends",
        )
    # Places of the repetitions' ends in a name, and of the pattern's beginning.
    n_steps = part.ways * math.comb(_LONGEST_NAME + part.endless + 1, part.endless + 1)
    if n_steps > _MOST_STEPS:
        raise _error(
            pattern,
            "can match one name in too many ways; write several patterns with fewer choices and "
            "repetitions",
        )
    return n_steps


@dataclass(frozen=True)
class _Part:
    """A part of a pattern.

    Attributes:
        ways: in which it can match at one place, each repetition without an end counted once.
        endless: such repetitions, one behind the other.
        size: how many characters and classes it takes when all counts are written out.
        text: the only text that it matches, in lower case; None where there are others.
    """

    ways: int = 1
    endless: int = 0
    size: int = 1
    text: str | None = None


_ANYTHING = _Part()
_NOTHING = _Part(size=0, text="")


class _Reader:
    """Reads a pattern once, from left to right."""

    def __init__(self, pattern: str, has_posix_classes: bool) -> None:
        self._pattern, self._has_posix_classes = pattern, has_posix_classes
        self._at = 0

    def whole(self) -> _Part:
        part = self._alternatives(0)
        if self._at < len(self._pattern):
            raise self._no_expression("a parenthesis is closed that was not opened")
        return part

    def _alternatives(self, depth: int) -> _Part:
        branches = [self._sequence(depth)]
        while self._take("|"):
            branches.append(self._sequence(depth))
        return _one_of(branches)

    def _sequence(self, depth: int) -> _Part:
        part = _NOTHING
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            if plain := _PLAIN.match(self._pattern, self._at):
                self._at = plain.end()
                term = _Part(size=len(plain[0]), text=plain[0].lower())
            else:
                term = self._term(depth)
            part = _joined(part, term)
            if part.size > _MOST_SIZE:
                raise _error(
                    self._pattern, f"has too high counts; names have {_LONGEST_NAME} characters"
                )
        return part

    def _term(self, depth: int) -> _Part:
        begin = self._at
        # std::regex would speak of parentheses.
        self._refuse_counts()
        part = self._atom(depth)
        if self._pattern[begin : self._at] in _ASSERTIONS:
            self._refuse_counts()
        while (counts := self._counts()) is not None:
            part = self._repeated(part, *counts)
            self._take("?")  # the shortest first: the ways are the same
        return part

    def _counts(self) -> tuple[int, int | None] | None:
        """How often what stands before is repeated; None where it is not."""
        for sign, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return counts
        found = _COUNTS.match(self._pattern, self._at)
        if found is None:
            return None
        self._at = found.end()
        least = int(found[1])
        if found[2] is None:
            return least, least
        return least, int(found[3]) if found[3] else None

    def _refuse_counts(self) -> None:
        """Raises ValueError for a repetition here, where there is nothing to repeat."""
        begin = self._at
        if self._counts() is not None:
            sign = self._pattern[begin : self._at]
            raise self._no_expression(f"nothing that could be repeated stands before its {sign}")

    def _repeated(self, part: _Part, least: int, most: int | None) -> _Part:
        if part.endless and most != 1:
            raise _error(self._pattern, f"repeats a repetition; {_ONE_AT_A_TIME}")
        size = part.size * max(least, most or 0, 1)
        if most is None:
            if part.ways > 1:
                raise _error(self._pattern, f"repeats a choice without an end; {_ONE_AT_A_TIME}")
            return _Part(endless=1, size=size)
        ways, of_count = 0, 1
        # More often than a name has characters nothing is found.
        for count in range(min(most, _LONGEST_NAME) + 1):
            ways += of_count if count >= min(least, _LONGEST_NAME) else 0
            of_count = min(of_count * part.ways, _MOST_STEPS + 1)
        return _Part(min(ways, _MOST_STEPS + 1), part.endless, size)

    def _atom(self, depth: int) -> _Part:
        sign = self._pattern[self._at]
        self._at += 1
        if sign == "(":
            return self._group(depth + 1)
        if sign == "[":
            self._class()
            return _ANYTHING
        if sign == "\\":
            return self._escaped()
        if sign in "^$":
            return _Part(size=1, text="")
        return _ANYTHING if sign == "." else _Part(text=sign.lower())

    def _group(self, depth: int) -> _Part:
        if depth > _DEEPEST:
            raise _error(self._pattern, f"has more than {_DEEPEST} parentheses in one another")
        if self._pattern.startswith("?", self._at):
            kind = _GROUP.match(self._pattern, self._at)
            if kind is None:
                raise _error(self._pattern, "has a kind of group that is not known; write (?:...)")
            self._at = kind.end()
            if kind[0].endswith(")"):  # flags alone
                return _NOTHING
        part = self._alternatives(depth)
        if not self._take(")"):
            raise self._no_expression("a parenthesis is not closed")
        return part

    def _class(self) -> None:
        """Goes behind the bracket that closes a class."""
        self._take("^")
        if not self._has_posix_classes:
            self._take("]")  # in Python the first one is a character
        while not self._take("]"):
            known = _POSIX_CLASS.match(self._pattern, self._at)
            if known is not None and self._has_posix_classes:
                self._at = known.end()
            else:
                self._at += 2 if self._pattern.startswith("\\", self._at) else 1
            if self._at >= len(self._pattern):
                raise self._no_expression("a bracket is not closed")

    def _escaped(self) -> _Part:
        if self._at >= len(self._pattern):
            raise self._no_expression("nothing stands behind its last \\")
        sign = self._pattern[self._at]
        self._at += 1
        if sign in "123456789":
            raise _error(
                self._pattern, f"refers back to a group (\\{sign}); write out what it stands for"
            )
        return _ANYTHING if sign.isalnum() else _Part(text=sign)

    def _take(self, sign: str) -> bool:
        is_there = self._pattern.startswith(sign, self._at)
        self._at += is_there
        return is_there

    def _no_expression(self, why: str) -> ValueError:
        return _error(self._pattern, f"is no regular expression: {why}")


def _joined(first: _Part, second: _Part) -> _Part:
    both = first.text is not None and second.text is not None
    return _Part(
        min(first.ways * second.ways, _MOST_STEPS + 1),
        first.endless + second.endless,
        first.size + second.size,
        f"{first.text}{second.text}" if both else None,
    )


def _one_of(branches: Sequence[_Part]) -> _Part:
    if len(branches) == 1:
        return branches[0]
    # Of texts only those match at one place that begin each other: of 1, 10 and 20 two.
    most, chain = 0, list[str]()
    for text in sorted(part.text for part in branches if part.text is not None):
        while chain and not text.startswith(chain[-1]):
            chain.pop()
        chain.append(text)
        most = max(most, len(chain))
    ways = most + sum(part.ways for part in branches if part.text is None)
    return _Part(
        min(ways, _MOST_STEPS + 1),
        max(part.endless for part in branches),
        sum(part.size for part in branches),
    )


def _error(pattern: str, why: str) -> ValueError:
    shown = pattern if len(pattern) <= _SHOWN else f"{pattern[: _SHOWN - 3]}..."
    return ValueError(f"{shown!r} {why}")

"""Numbers and texts that programs trip over, drawn with a generator of random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

# What steers a terminal, turns the direction of writing, ends lines, and is no UTF-8.
HOSTILE_TEXTS = (
    b"",
    b"\0",
    b"a\0b",
    b"\x1b[2J\x1b]0;title\x07",
    b"\x1b]52;c;cm0gLXJm\x07",
    b"\xc2\x9b31m",
    "\u202egnp.exe\u2066".encode(),
    "\u2028\u2029\x85".encode(),
    b"line\r\nline\nslmprof: error: not mine",
    b"\t\x08\x7f",
    b"\xff\xfe\x80",
    b"\xed\xa0\x80",
    b"%s%n%x {0} {name} $HOME `id` ; rm",
    b"../../etc/passwd",
    b"[bold red]markup[/]",
    b"|a|b|\n|--|--|",
    b"=1+1",
    "\U0001f600".encode() * 20,
    b"n/a",
    b" ",
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-5, 1e-38, 1e-45, 1e38, math.nan, math.inf, -math.inf, 0.5, 2.0)
_LIMITS = (7, 8, 15, 16, 31, 32, 53, 63, 64)

_Item = TypeVar("_Item")


def odd_text(rng: Random) -> bytes:
    """A hostile text, several, or a long one."""
    text = rng.choice(HOSTILE_TEXTS)
    way = rng.random()
    if way < 0.1:
        return (text or b"x") * rng.choice((64, 300, 5000))
    if way < 0.3:
        return b"blk.0." + text
    return text + (rng.choice(HOSTILE_TEXTS) if way < 0.5 else b"")


def odd_whole(rng: Random, near: int = 0) -> int:
    """A whole number: small, at a limit of some width, or near another one."""
    way = rng.random()
    if way < 0.35:
        return rng.choice((0, 1, 2, 3, 5, 7, 16, 31, 33, 100, 255, 256, 1000))
    if way < 0.6:
        return near + rng.choice((-1, 1, 2, -2, 7))
    if way < 0.75:
        return rng.choice((near * 2, near // 2, -near, near * 3, near << 8))
    bits = rng.choice(_LIMITS)
    return rng.choice((1, 1, -1)) * ((1 << bits) + rng.choice((-1, 0, 1)))


def odd_float(rng: Random, near: float = 1.0) -> float:
    """A float: special, huge, tiny, or near another one."""
    if rng.random() < 0.3 and math.isfinite(near):
        return near * rng.choice((0.5, -1.0, 2.0, 1000.0))
    return rng.choice(FLOATS)


def flip_bytes(data: bytes, rng: Random) -> bytes:
    """Bytes with some flipped, left out, doubled, or overwritten by an odd number."""
    if not data:
        return odd_text(rng)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) + 1)
        way = rng.randrange(5)
        if way == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            width = rng.choice((1, 2, 4, 8))
            number = odd_whole(rng) % (1 << 8 * width)
            changed[at : at + width] = number.to_bytes(width, "little")
        elif way == 2:
            del changed[at : at + rng.choice((1, 2, 4, 8, 100))]
        elif way == 3:
            changed[at:at] = changed[at : at + rng.choice((1, 4, 8, 64))]
        else:
            changed[at:at] = odd_text(rng)
    return bytes(changed)


def cut(data: bytes, rng: Random) -> bytes:
    """The beginning of a file, of whatever length."""
    return data[: rng.randrange(len(data) + 1)]


def mutate_with(
    value: Any, rng: Random, mutations: Sequence[Callable[[Any, Random], None]]
) -> list[str]:
    """Applies one to four mutations to a value in place, mostly one; returns their names."""
    names = []
    for _ in range(rng.choice((1, 1, 1, 1, 1, 2, 2, 3, 4))):
        mutation = rng.choice(mutations)
        mutation(value, rng)
        names.append(mutation.__name__)
    return names


def pick(items: Sequence[_Item], rng: Random) -> _Item | None:
    """One of the items; None where there is none."""
    return rng.choice(items) if items else None

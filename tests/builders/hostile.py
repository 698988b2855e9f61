"""Texts that would steer what shows them, and profiles that hold such texts wherever they can."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from slmprof.errors import ProfileFormatError
from slmprof.profiles.records.meta import Meta
from slmprof.views import Profile

# Title, clear, clipboard (OSC 52) and colour, with ESC and as one character; the ends of lines.
SEQUENCES = "\x1b]0;title\x07\x1b[2J\x1b]52;c;cm0gLXJm\x07\x9b31m\x9d0;t\x9c\0\x7f\x08\r\n\t\x0b"
# Overrides, embeddings, isolates and marks of direction; separators of lines and paragraphs.
DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029"
HOSTILE = SEQUENCES + DIRECTIONS


def steering(text: str) -> set[str]:
    """The characters of an output that are no text and no end of a line."""
    return {c for c in text if not c.isprintable() and c != "\n"}


def hostile_profile(profile: Profile) -> Profile:
    """The profile with hostile text in every text that may be any, but for operators."""
    kept = set(profile.tensors.op.tolist())
    strings = tuple(
        text if i in kept else f"{text}{HOSTILE}" for i, text in enumerate(profile.strings)
    )
    meta = profile.meta.to_json()
    for change in list(_changes(meta)):
        changed = copy.deepcopy(meta)
        change(changed)
        try:
            Meta.from_json(changed)
        except ProfileFormatError:
            continue  # one of a few words, of which this is none
        change(meta)
    return replace(profile, strings=strings, meta=Meta.from_json(meta))


def _changes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[Callable[[Any], None]]:
    """For each text in a JSON value what puts hostile text behind it."""
    if isinstance(value, str):
        yield lambda whole: _append(whole, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _changes(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _changes(item, (*path, number))


def _append(whole: Any, path: tuple[Any, ...]) -> None:
    for key in path[:-1]:
        whole = whole[key]
    whole[path[-1]] += HOSTILE

"""A titled table of text cells, or sentences under a title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A column's title; numbers stand right; `wide` ones only where there is room."""

    title: str
    number: bool = False
    wide: bool = False


class Shaded(str):
    """A cell that a terminal may colour; `level` counts from 0, the coolest, to 3."""

    level: int

    def __new__(cls, text: str, level: int) -> Shaded:
        cell = super().__new__(cls, text)
        cell.level = level
        return cell


@dataclass(frozen=True)
class Section:
    """A titled table. A total row stands last, apart from the others.

    `prose` are sentences below table and notes, or in their place where there are no columns.
    """

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, ...]]
    total: tuple[str, ...] | None = None
    notes: tuple[str, ...] = field(default=())
    prose: tuple[str, ...] = field(default=())

"""Weights that got another type than was asked for, because their rows do not divide by a block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .decoding import Record, Whole

# Less of a file is not worth a word.
_SLIGHT = 0.005


class StoredWeight(NamedTuple):
    """A weight: the type that was asked for, the one that came out, and what it takes in both."""

    asked: str
    got: str
    row: int
    size_bytes: int
    asked_bytes: int


class Fallback(Record, frozen=True):
    """Weights that were asked for in one type and came out in another.

    Attributes:
        rows: the lengths of their rows, in elements.
        size_bytes, asked_bytes: what they take, and what they would take in the type asked for.
    """

    asked: str
    got: str
    n_tensors: Whole
    rows: tuple[Whole, ...]
    size_bytes: Whole
    asked_bytes: Whole


class Fallbacks(Record, frozen=True):
    """All of them in a file.

    Attributes:
        file_type: as it was asked for.
        n_tensors, n_params, size_bytes: of the whole file.
        groups: those that take the most first.
    """

    file_type: str
    n_tensors: Whole
    n_params: Whole
    size_bytes: Whole
    groups: tuple[Fallback, ...]

    @property
    def n_fallen(self) -> int:
        """Tensors that are not in the type asked for."""
        return sum(group.n_tensors for group in self.groups)

    @property
    def rows(self) -> tuple[int, ...]:
        """Lengths of their rows."""
        return tuple(sorted({row for group in self.groups for row in group.rows}))

    @property
    def asked_bytes(self) -> int:
        """What the file would take if no type had been exchanged."""
        return self.size_bytes - sum(group.size_bytes - group.asked_bytes for group in self.groups)

    @property
    def bits_per_weight(self) -> float | None:
        """Bits of one weight on average."""
        return 8 * self.size_bytes / self.n_params if self.n_params else None


def find_fallbacks(
    weights: Iterable[StoredWeight], file_type: str, n_tensors: int, n_params: int, size_bytes: int
) -> Fallbacks | None:
    """Those of the weights whose types differ; None where they hardly count."""
    groups: dict[tuple[str, str], list[StoredWeight]] = {}
    for weight in weights:
        if weight.asked != weight.got:
            groups.setdefault((weight.asked, weight.got), []).append(weight)
    found = [
        Fallback(
            asked=asked,
            got=got,
            n_tensors=len(own),
            rows=tuple(sorted({weight.row for weight in own})),
            size_bytes=sum(weight.size_bytes for weight in own),
            asked_bytes=sum(weight.asked_bytes for weight in own),
        )
        for (asked, got), own in groups.items()
    ]
    found.sort(key=lambda group: -group.size_bytes)
    if sum(group.size_bytes for group in found) < _SLIGHT * size_bytes or not found:
        return None
    return Fallbacks(file_type, n_tensors, n_params, size_bytes, tuple(found))

"""Texts and rows of a part of a profile, counted as the whole profile counts them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..errors import ProfileFormatError
from .schema import Int32, TableT


class Texts:
    """The texts of all parts, each once."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self.numbers(texts)

    def numbers(self, texts: Iterable[str]) -> Int32:
        """The numbers in the whole profile of a part's texts, and -1 (no text) at the end."""
        return np.array([*(self._number(text) for text in texts), -1], dtype=np.int32)

    def _number(self, text: str) -> int:
        number = self._numbers.setdefault(text, len(self.texts))
        if number == len(self.texts):
            self.texts.append(text)
        return number


def renumbered(table: TableT, texts: Int32, rows: Mapping[str, int | Int32]) -> TableT:
    """A part's table with texts and rows counted over the whole profile.

    Args:
        texts: the new number of each text, and -1 at the end.
        rows: by table that is referred to, what is added to the numbers of its rows, or their new
            numbers; rows of a table that is not there keep theirs.

    Raises:
        ProfileFormatError: a column refers to a text that is not there.
    """
    changed: dict[str, Int32] = {}
    for name, column in table.schema().items():
        values = table.columns()[name]
        if column.is_text:
            if np.any(values < -1) or np.any(values >= len(texts) - 1):
                raise ProfileFormatError(
                    f"column {table.NAME}.{name} of a chunk refers to a text that it does not have"
                )
            changed[name] = texts[values]
        elif column.row_of in rows:
            moved = rows[column.row_of]
            there = values + np.int32(moved) if isinstance(moved, int) else moved[values]
            # A row that is none stays none.
            changed[name] = np.where(values < 0, values, there).astype(np.int32)
    return table.replace(**changed)

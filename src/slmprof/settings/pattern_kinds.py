"""Kinds of settings that are regular expressions."""

from __future__ import annotations

from typing import Any

from .kinds import Text, shown
from .patterns import MOST_CHARACTERS, check_pattern, check_patterns

_LONGEST_PATTERN = 1 << 16  # one that names every weight of a deep model has some ten thousand


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
        most_together: characters of several patterns.
    """

    def __init__(
        self,
        what: str = "BUFFER",
        most_characters: int | None = MOST_CHARACTERS,
        most_together: int | None = None,
    ) -> None:
        super().__init__(f"PATTERN={what}", f"PATTERN={what}")
        self.most_characters, self.most_together = most_characters, most_together

    def check(self, value: Any) -> Any:
        pattern, given = self.split(super().check(value))
        if not (pattern and given):
            raise ValueError(f"{shown(value)} is not {self.what}")
        if self.most_characters is not None:
            check_pattern(pattern, most_characters=self.most_characters)
        return value

    def check_together(self, values: tuple[Any, ...]) -> None:
        if self.most_characters is None:
            return
        patterns = [self.split(value)[0] for value in values]
        check_patterns(patterns)
        most = self.most_together
        if most is not None and sum(map(len, patterns)) > most:
            raise ValueError(
                f"{len(patterns)} patterns have more than {most} characters together; give fewer"
            )

    @staticmethod
    def split(text: str) -> tuple[str, str]:
        """Pattern, and what it is given."""
        pattern, _, given = text.rpartition("=")
        return pattern, given

"""What a child process and its parent say to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a child is: `done` of `total` steps, and what it does now.

    What is not `is_timed` takes nothing from the time that the whole may take.
    """

    stage: str
    done: int
    total: int
    is_timed: bool = True


OnProgress = Callable[[Progress], None]

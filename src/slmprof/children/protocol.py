"""What the worker process and its parent say to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# The worker said itself what went wrong; any other status is a crash.
EXIT_REPORTED = 3
# How the stage begins in which the machine is measured, and not the model.
CEILINGS_STAGE = "measuring what this machine can do"


@dataclass(frozen=True)
class Progress:
    """How far a capture is: `done` of `total` passes, and what it does now."""

    stage: str
    done: int
    total: int


OnProgress = Callable[[Progress], None]

"""What a diagnosis consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LIMIT, MOST, CEILINGS = "limit", "most", "ceilings"
READ, TYPES = "read", "types"
WAITING, HOST, GAIN = "waiting", "host", "gain"
TOPICS = (LIMIT, MOST, CEILINGS, READ, TYPES, WAITING, HOST, GAIN)


@dataclass(frozen=True)
class Finding:
    """One thing worth saying, and the figures that it rests on.

    Attributes:
        phase: `prefill` or `decode`; None where it is true of the model or of both.
        topic: of `TOPICS`.
        figures: plain values; each topic's are listed at the function that makes it.
    """

    phase: str | None
    topic: str
    figures: dict[str, Any]

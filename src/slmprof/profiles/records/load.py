"""What others took of the processors."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .decoding import Record


class Load(Record, frozen=True):
    """What others took of all cores' time, `core_seconds`, while the passes of a run were measured.

    `others_share` went to other processes, `stolen_share` to the hypervisor.
    """

    core_seconds: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    others_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    stolen_share: Annotated[float, Meta(ge=0, le=1)] = 0.0

    def joined(self, other: Load) -> Load:
        """That of both times together."""
        seconds = self.core_seconds + other.core_seconds
        if seconds <= 0:
            return self
        shares = {
            name: (
                getattr(self, name) * self.core_seconds + getattr(other, name) * other.core_seconds
            )
            / seconds
            for name in ("others_share", "stolen_share")
        }
        return Load(core_seconds=seconds, **shares)

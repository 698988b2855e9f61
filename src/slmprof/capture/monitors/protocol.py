"""What a monitor has: it is told how far the run is, and adds to the run's description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from ... import _core
    from ...profiles.meta import Meta

# The points of a run in their order, none within a measured pass: the engine is there (which has
# looked itself before it loaded the model and after that), the two phases of the first pass in the
# deepest context, the warm-up is over, a repeat is complete, all are.
Point = Literal["context", "prefill", "decode", "warm-up", "repeat", "end"]


class Monitor(Protocol):
    """Begins and ends at points of its own choice."""

    def reach(self, point: Point, engine: _core.Engine) -> None:
        """The run has come to a point; of two visits to one the last one counts."""

    def describe(self, meta: Meta) -> Meta:
        """The run's description with what was seen so far."""

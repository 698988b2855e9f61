"""What a monitor is: it is told how far the run is, and adds to the run's description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ... import _core
    from ...profiles.records.meta import Meta

# The points of a run in their order, none within a measured pass: the two phases of the first pass
# in the deepest context, the warm-up is over, it is this process's turn again, a repeat is
# complete, all are.
Point = Literal["prefill", "decode", "warm-up", "turn", "repeat", "end"]


class Monitor:
    """What watches a run; each overrides what it needs.

    Attributes:
        leaves_caches_cold: whether the processor's caches hold something else after `reach`.
    """

    leaves_caches_cold = False

    def begin(self, engine: _core.Engine) -> None:
        """The engine is there, which has looked itself before and after it loaded the model."""

    def reach(self, point: Point, engine: _core.Engine) -> None:
        """The run has come to a point; of two visits to one the last one counts."""

    def describe(self, meta: Meta) -> Meta:
        """The run's description with what was seen so far."""
        return meta

    def end(self) -> None:
        """The session closes: called once after `begin`, whether that or the run failed or not."""

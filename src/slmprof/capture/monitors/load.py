"""What others took of the processor while the passes were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...machine.load import LoadMeter
from .protocol import Monitor, Point

if TYPE_CHECKING:
    from ... import _core
    from ...profiles.meta import Meta


class LoadMonitor(Monitor):
    """Measures from the end of the warm-up on."""

    def __init__(self) -> None:
        self._meter: LoadMeter | None = None
        self._warnings: list[str] = []

    def reach(self, point: Point, _: _core.Engine) -> None:
        """Begins after the warm-up, and looks again after each repeat."""
        if point == "warm-up":
            self._meter = LoadMeter()
        elif point == "repeat" and self._meter is not None:
            self._warnings = self._meter.warnings()

    def describe(self, meta: Meta) -> Meta:
        """Adds to `environment.warnings`."""
        return meta.with_warnings(self._warnings)

"""What others took of the processor while the passes were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...machine.load import LoadMeter, load_warnings
from .protocol import Monitor, Point

if TYPE_CHECKING:
    from ... import _core
    from ...profiles.records.meta import Load, Meta


class LoadMonitor(Monitor):
    """Measures from the end of the warm-up on."""

    def __init__(self) -> None:
        self._meter: LoadMeter | None = None
        self._load: Load | None = None

    def reach(self, point: Point, _: _core.Engine) -> None:
        """Begins after the warm-up, and looks again after each repeat."""
        if point == "warm-up":
            self._meter = LoadMeter()
        elif point == "repeat" and self._meter is not None:
            self._load = self._meter.load()

    def describe(self, meta: Meta) -> Meta:
        """Sets `environment.load`, and adds to `environment.warnings`."""
        if self._load is None:
            return meta
        environment = meta.environment.replace(load=self._load)
        return meta.replace(environment=environment).with_warnings(load_warnings(self._load))

"""What others took of the processor while the passes were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...machine.load import LoadMeter, add_loads, load_warnings
from .protocol import Monitor, Point

if TYPE_CHECKING:
    from ... import _core
    from ...profiles.records.load import Load
    from ...profiles.records.meta import Meta


class LoadMonitor(Monitor):
    """Measures from the end of the warm-up on, but for the time in which others have their turn."""

    def __init__(self) -> None:
        self._meter: LoadMeter | None = None
        self._before: Load | None = None
        self._load: Load | None = None

    def reach(self, point: Point, _: _core.Engine) -> None:
        """Begins after the warm-up and with each turn, and looks again after each repeat."""
        if point in ("warm-up", "turn"):
            self._before, self._meter = self._load, LoadMeter()
        elif point == "repeat" and self._meter is not None:
            self._load = add_loads(self._before, self._meter.load())

    def describe(self, meta: Meta) -> Meta:
        """Sets `environment.load`, and adds to `environment.warnings`."""
        if self._load is None:
            return meta
        environment = meta.environment.replace(load=self._load)
        return meta.replace(environment=environment).with_warnings(load_warnings(self._load))

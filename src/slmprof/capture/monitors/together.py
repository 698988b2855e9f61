"""The monitors of one run: all are told how far it is, and each that was begun ends once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .protocol import Monitor, Point

if TYPE_CHECKING:
    from ... import _core
    from ...profiles.records.meta import Meta


class Monitors:
    """None at first."""

    def __init__(self) -> None:
        self._begun: list[Monitor] = []
        self._ends = contextlib.ExitStack()

    @property
    def leave_caches_cold(self) -> bool:
        """Whether `reach` may leave something else in the processor's caches."""
        return any(monitor.leaves_caches_cold for monitor in self._begun)

    def begin(self, monitor: Monitor, engine: _core.Engine) -> None:
        """Adds one, which ends also where its beginning fails."""
        self._begun.append(monitor)
        self._ends.callback(monitor.end)
        monitor.begin(engine)

    def reach(self, point: Point, engine: _core.Engine) -> None:
        """The run has come to a point."""
        for monitor in self._begun:
            monitor.reach(point, engine)

    def describe(self, meta: Meta) -> Meta:
        """The run's description with what all of them saw."""
        for monitor in self._begun:
            meta = monitor.describe(meta)
        return meta

    def end(self) -> None:
        """Ends them, the last one first, each though another fails."""
        self._ends.close()

    def forget(self) -> None:
        """They are another process's, and none will be ended by this one."""
        self._ends.pop_all()

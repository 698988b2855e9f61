"""The memory of the process and of its buffers, at fixed points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...children.memory import rss_peak_bytes
from ...profiles.records.decoding import decode
from ...profiles.records.meta import Buffer, Memory, Meta, Observation
from ...profiles.records.resident import Resident
from .protocol import Monitor, Point

if TYPE_CHECKING:
    from ... import _core


class MemoryMonitor(Monitor):
    """What is planned for an engine, and what is seen of it.

    Args:
        predicted: buffers by device, type and kind, as llama.cpp's planner has them.
        resident: what is expected to be resident, or None.
    """

    def __init__(
        self, predicted: Sequence[Mapping[str, Any]], resident: Resident | None = None
    ) -> None:
        self._resident = resident
        self._predicted = decode(tuple[Buffer, ...], predicted)
        self._buffers: tuple[Buffer, ...] = ()
        self._observations: dict[str, Observation] = {}

    def begin(self, engine: _core.Engine) -> None:
        """Takes what the engine has seen itself."""
        self._look(engine, engine.observations())

    def reach(self, point: Point, engine: _core.Engine) -> None:
        """Looks at the buffers, and but for the ends of repeats at what is resident."""
        is_looked_at = point in ("prefill", "decode", "end")
        self._look(engine, [engine.observe(point)] if is_looked_at else [])

    def _look(self, engine: _core.Engine, seen: Sequence[Mapping[str, Any]]) -> None:
        self._buffers = decode(tuple[Buffer, ...], engine.buffers())
        for observation in decode(list[Observation], seen):
            # The order is that of time.
            self._observations.pop(observation.point, None)
            self._observations[observation.point] = observation

    def describe(self, meta: Meta) -> Meta:
        """Fills `memory`."""
        memory = Memory(
            buffers=self._buffers,
            predicted=self._predicted,
            observations=tuple(self._observations.values()),
            rss_peak_bytes=rss_peak_bytes(),
            resident_expected=self._resident,
        )
        return meta.replace(memory=memory)

"""The bandwidth of memory between the passes: what an op's bytes could have come at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import SlmprofError
from ...machine.bandwidth import memory_bandwidth
from ...profiles.records.bandwidth import MOST_SPREAD, BandwidthSample, RunBandwidth
from ...profiles.records.decoding import decode
from .protocol import Monitor, Point

if TYPE_CHECKING:
    from ... import _core
    from ...profiles.records.meta import Meta

_MOST_TRIES = 3


class BandwidthMonitor(Monitor):
    """Measures after the warm-up and after each repeat, in a process of its own.

    Args:
        n_threads: of the run.
        usual_gbps: what reading was measured to reach at another time, where it is known: a sample
            that is far from it is looked at again.
    """

    leaves_caches_cold = True

    def __init__(self, n_threads: int, usual_gbps: float | None = None) -> None:
        self._n_threads = n_threads
        self._most_gbps = usual_gbps or 0.0
        self._samples: list[BandwidthSample] = []
        self._working_set_bytes = 0
        self._warnings: tuple[str, ...] = ()

    def reach(self, point: Point, _: _core.Engine) -> None:
        """Measures, unless that has failed before."""
        if point not in ("warm-up", "repeat") or self._warnings:
            return
        try:
            found = self._measure()
        except SlmprofError as error:
            self._warnings = (
                f"the bandwidth of memory could not be measured beside the passes: {error}",
            )
            return
        self._working_set_bytes = found["working_set_bytes"]
        self._samples.append(decode(BandwidthSample, {"point": point, **found}))

    def _measure(self) -> dict[str, Any]:
        """The best of some tries: one alone may fall into another process's time, but memory that
        has become slower stays so."""
        found = memory_bandwidth(self._n_threads)
        for _ in range(_MOST_TRIES - 1):
            if found["read_gbps"] >= (1 - MOST_SPREAD) * self._most_gbps:
                break
            again = memory_bandwidth(self._n_threads)
            found = {name: max(value, again[name]) for name, value in found.items()}
        self._most_gbps = max(self._most_gbps, found["read_gbps"])
        return found

    def describe(self, meta: Meta) -> Meta:
        """Fills `bandwidth`."""
        meta = meta.with_warnings(self._warnings)
        if not self._samples:
            return meta
        samples = tuple(self._samples)
        return meta.replace(
            bandwidth=RunBandwidth(self._n_threads, self._working_set_bytes, samples)
        )

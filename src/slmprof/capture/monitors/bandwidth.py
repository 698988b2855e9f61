"""The bandwidth of memory between the passes: what an op's bytes could have come at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import SlmprofError
from ...machine.bandwidth import memory_bandwidth
from ...profiles.bandwidth import BandwidthSample, RunBandwidth
from ...profiles.decoding import decode
from .protocol import Monitor, Point

if TYPE_CHECKING:
    from ... import _core
    from ...profiles.meta import Meta


class BandwidthMonitor(Monitor):
    """Measures after the warm-up and after each repeat, in a process of its own.

    Args:
        n_threads: of the run.
    """

    leaves_caches_cold = True

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads
        self._samples: list[BandwidthSample] = []
        self._working_set_bytes = 0
        self._warnings: tuple[str, ...] = ()

    def reach(self, point: Point, _: _core.Engine) -> None:
        """Measures, unless that has failed before."""
        if point not in ("warm-up", "repeat") or self._warnings:
            return
        try:
            found = memory_bandwidth(self._n_threads)
        except SlmprofError as error:
            self._warnings = (
                f"the bandwidth of memory could not be measured beside the passes: {error}",
            )
            return
        self._working_set_bytes = found["working_set_bytes"]
        self._samples.append(decode(BandwidthSample, {"point": point, **found}))

    def describe(self, meta: Meta) -> Meta:
        """Fills `bandwidth`."""
        meta = meta.with_warnings(self._warnings)
        if not self._samples:
            return meta
        samples = tuple(self._samples)
        return meta.replace(
            bandwidth=RunBandwidth(self._n_threads, self._working_set_bytes, samples)
        )

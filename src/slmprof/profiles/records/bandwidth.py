"""Bandwidth of memory as it was beside the passes of one run (docs/roofline.md)."""

from __future__ import annotations

import statistics
from typing import Annotated

from msgspec import Meta

from .decoding import Count, Json, Record

# A run whose bandwidth moved by more has no single memory roof.
MOST_SPREAD = 0.15
# Of so many samples one may be far off, because for a moment another tenant of the host took much
# of the bandwidth or none, without a doubt on the others.
_ENOUGH_FOR_AN_OUTLIER = 4

_Rate = Annotated[float, Meta(ge=1e-9, le=1e15)]


class BandwidthSample(Record, frozen=True):
    """10^9 bytes per second of all threads together, at one point of a run."""

    point: Annotated[str, Meta(max_length=1000)]
    read_gbps: _Rate
    copy_gbps: _Rate


class RunBandwidth(Record, frozen=True):
    """What was measured between the passes of a run, in the order of time."""

    n_threads: Count
    working_set_bytes: Count
    samples: Annotated[tuple[BandwidthSample, ...], Meta(min_length=1, max_length=10_000)]

    def gbps(self, operation: str = "read") -> float:
        """The median of an operation, `read` or `copy`."""
        return statistics.median(self._rates(operation))

    def range_gbps(self, operation: str = "read") -> tuple[float, float]:
        """The lowest and the highest figure of an operation; of four samples and more, without the
        one that is farthest from the median."""
        rates = sorted(self._rates(operation))
        if len(rates) >= _ENOUGH_FOR_AN_OUTLIER:
            middle = statistics.median(rates)
            rates.remove(max(rates[0], rates[-1], key=lambda rate: abs(rate - middle)))
        return rates[0], rates[-1]

    @property
    def spread(self) -> float:
        """How far the reading moved: highest less lowest, over the median."""
        low, high = self.range_gbps()
        return (high - low) / self.gbps()

    @property
    def is_steady(self) -> bool:
        """Whether it moved so little that the median stands for all of the run."""
        return self.spread <= MOST_SPREAD

    def figures(self) -> Json:
        """The samples and what follows from them, as JSON has them."""
        return {
            **self.to_json(),
            "read_gbps": self.gbps(),
            "read_range_gbps": list(self.range_gbps()),
            "copy_gbps": self.gbps("copy"),
            "is_steady": self.is_steady,
        }

    def _rates(self, operation: str) -> list[float]:
        copies = operation == "copy"
        return [one.copy_gbps if copies else one.read_gbps for one in self.samples]

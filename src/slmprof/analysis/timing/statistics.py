"""Statistics of raw samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .medians import medians_between

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

N_RESAMPLES = 2000
SEED = 20240229
# Numbers that one resampling holds at a time.
_MOST_AT_ONCE = 1 << 22
# Of more samples so many stand for all; and where all resamples together would have more numbers
# than this, there are fewer. The interval of a median needs no more.
_MOST_SAMPLES = 1 << 14
_MOST_DRAWN = 1 << 23
_LEAST_RESAMPLES = 500
# So few processes and repeats are drawn one process after the other; of more all at once.
_FEW_PROCESSES, _FEW_REPEATS = 8, 1000


@dataclass(frozen=True)
class Summary:
    """Statistics of samples, in the unit of the samples."""

    median: float
    mad: float
    mean: float
    p90: float
    p99: float
    min: float
    max: float


@dataclass(frozen=True)
class Overhead:
    """Ratio of two medians, and its bootstrap 95 % interval (None with fewer than two repeats)."""

    ratio: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class Between:
    """How processes differ: the number of them, the extremes and the coefficient of variation
    (standard deviation over mean) of their medians."""

    n: int
    min_ms: float
    max_ms: float
    cv: float


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one thing, each with the repeat and the process that it is of.

    Attributes:
        values: in any one unit.
        repeat: numbers of repeats, which are distinct over all processes.
        process: numbers of processes.
    """

    values: Floats
    repeat: Ints
    process: Ints

    @classmethod
    def of(
        cls, values: npt.ArrayLike, repeat: npt.ArrayLike, process: npt.ArrayLike | None = None
    ) -> Samples:
        """Of one process where none is named."""
        values, repeat = np.asarray(values, np.float64), np.asarray(repeat, np.int64)
        of = np.zeros(len(values), np.int64) if process is None else np.asarray(process, np.int64)
        return cls(values, repeat, of)

    def take(self, rows: npt.NDArray[np.bool_]) -> Samples:
        """The chosen samples."""
        return Samples(self.values[rows], self.repeat[rows], self.process[rows])

    def thinned(self) -> Samples:
        """At most `_MOST_SAMPLES` of them, evenly spread over the values."""
        n = len(self.values)
        if n <= _MOST_SAMPLES:
            return self
        order = np.argsort(self.values, kind="stable")
        kept = np.zeros(n, bool)
        kept[order[np.linspace(0, n - 1, _MOST_SAMPLES).astype(np.int64)]] = True
        return self.take(kept)

    def repeats(self) -> dict[int, int]:
        """The process of each repeat, in the order of their numbers."""
        numbers, first = np.unique(self.repeat, return_index=True)
        return dict(zip(numbers.tolist(), self.process[first].tolist(), strict=True))


def summarize(samples: npt.ArrayLike) -> Summary | None:
    """Median, MAD (median absolute deviation, not scaled), mean, percentiles, extremes.

    Percentiles interpolate linearly between samples. None where there is no sample.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0:
        return None
    median = float(np.median(values))
    return Summary(
        median=median,
        mad=float(np.median(np.abs(values - median))),
        mean=float(values.mean()),
        p90=float(np.percentile(values, 90)),
        p99=float(np.percentile(values, 99)),
        min=float(values.min()),
        max=float(values.max()),
    )


def between_processes(samples: Samples) -> Between | None:
    """How the medians of the processes differ; None with fewer than two."""
    numbers = np.unique(samples.process)
    if len(numbers) < 2:
        return None
    order = np.argsort(samples.process, kind="stable")
    starts = np.searchsorted(samples.process[order], numbers)
    ends = np.append(starts[1:], len(order))
    medians = medians_between(samples.values[order], starts, ends)
    mean = float(medians.mean())
    return Between(
        n=len(numbers),
        min_ms=float(medians.min()),
        max_ms=float(medians.max()),
        cv=float(medians.std(ddof=1)) / mean if mean > 0 else 0.0,
    )


def median_interval(
    samples: Samples, *, n_resamples: int = N_RESAMPLES, seed: int = SEED
) -> tuple[float, float] | None:
    """95 % interval of the median of all samples (percentile bootstrap).

    Of several processes, processes are drawn with replacement and within each its repeats; of one,
    its repeats. Samples of a repeat are not independent: they are drawn together.

    Returns:
        None with fewer than two repeats.
    """
    samples = samples.thinned()
    repeats = samples.repeats()
    if len(repeats) < 2:
        return None
    parts = _draws(repeats, len(samples.values), n_resamples, seed)
    return _percentiles(np.concatenate([_medians(samples, repeats, part) for part in parts]))


def overhead(
    timing: Samples, observed: Samples, *, n_resamples: int = N_RESAMPLES, seed: int = SEED
) -> Overhead | None:
    """median(observed) / median(timing), with an interval as `median_interval` makes it.

    The passes of one repeat stand next to each other in time, so a repeat is drawn for both sides
    at once.

    Args:
        timing, observed: latencies of steps, in any one unit.

    Returns:
        None where a side has no sample or the timing median is zero.
    """
    if len(timing.values) == 0 or len(observed.values) == 0 or np.median(timing.values) <= 0:
        return None
    ratio = float(np.median(observed.values) / np.median(timing.values))
    timing, observed = timing.thinned(), observed.thinned()
    of_observed = observed.repeats()
    repeats = {n: process for n, process in timing.repeats().items() if n in of_observed}
    if len(repeats) < 2:
        return Overhead(ratio, None)
    size = len(timing.values) + len(observed.values)
    ratios: list[Floats] = []
    for part in _draws(repeats, size, n_resamples, seed):
        below = _medians(timing, repeats, part)
        above = _medians(observed, repeats, part)
        ratios.append(above[below > 0] / below[below > 0])
    found = np.concatenate(ratios)
    return Overhead(ratio, _percentiles(found) if len(found) else None)


def _draws(repeats: dict[int, int], n_samples: int, n_resamples: int, seed: int) -> Iterator[Ints]:
    """int64[n, len(repeats)], several times: how often each repeat is drawn in each resample."""
    rng = np.random.default_rng(seed)
    process = np.array(list(repeats.values()))
    members = [np.flatnonzero(process == number) for number in np.unique(process)]
    sizes = np.array([len(of_process) for of_process in members])
    fewer = max(_LEAST_RESAMPLES, _MOST_DRAWN // max(n_samples, 1))
    n_resamples = min(n_resamples, fewer)
    at_once = max(1, _MOST_AT_ONCE // max(n_samples, 1))
    for begin in range(0, n_resamples, at_once):
        n = min(at_once, n_resamples - begin)
        counts = np.zeros((n, len(repeats)), np.int64)
        picked = np.zeros((n, len(members)), np.int64)
        if len(members) > 1:
            picked = rng.integers(0, len(members), picked.shape)
        if len(members) > _FEW_PROCESSES or len(repeats) > _FEW_REPEATS:
            owner = np.repeat(picked.ravel(), sizes[picked.ravel()])
            resample = np.repeat(np.repeat(np.arange(n), len(members)), sizes[picked.ravel()])
            drawn = (rng.random(len(owner)) * sizes[owner]).astype(np.int64)
            repeat = np.concatenate(members)[(np.cumsum(sizes) - sizes)[owner] + drawn]
            number = resample * len(repeats) + repeat
            yield np.bincount(number, minlength=counts.size).reshape(counts.shape)
            continue
        for place in range(len(members)):
            for number, of_process in enumerate(members):
                rows = np.flatnonzero(picked[:, place] == number)
                drawn = rng.integers(0, len(of_process), (len(rows), len(of_process)))
                np.add.at(counts, (rows[:, None], of_process[drawn]), 1)
        yield counts


def _medians(samples: Samples, repeats: dict[int, int], counts: Ints) -> Floats:
    """float64[n]: the median of each resample, in which a repeat counts as often as it is drawn."""
    numbers = np.array(list(repeats))
    kept = np.isin(samples.repeat, numbers)
    values, place = samples.values[kept], np.searchsorted(numbers, samples.repeat[kept])
    order = np.argsort(values, kind="stable")
    values = values[order]
    # How many drawn samples are no larger; the median is the mean of the middle two.
    up_to = np.cumsum(counts[:, place[order]], axis=1)
    total = up_to[:, -1:]
    low = np.argmax(up_to > (total - 1) // 2, axis=1)
    high = np.argmax(up_to > total // 2, axis=1)
    made: Floats = (values[low] + values[high]) / 2
    return made


def _percentiles(values: Floats) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)

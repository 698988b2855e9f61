"""Statistics of raw samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

N_RESAMPLES = 2000
SEED = 20240229


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


def overhead(
    timing: npt.ArrayLike,
    timing_repeat: npt.ArrayLike,
    observed: npt.ArrayLike,
    observed_repeat: npt.ArrayLike,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = SEED,
) -> Overhead | None:
    """median(observed) / median(timing), with an interval from resampled repeats.

    The passes of one repeat stand next to each other in time, so repeats are drawn whole, with
    replacement, for both sides at once (percentile bootstrap).

    Args:
        timing, observed: latencies of steps, in any one unit.
        timing_repeat, observed_repeat: the repeat that each step belongs to.

    Returns:
        None where a side has no sample or the timing median is zero.
    """
    base, base_repeat = np.asarray(timing, np.float64), np.asarray(timing_repeat)
    other, other_repeat = np.asarray(observed, np.float64), np.asarray(observed_repeat)
    if base.size == 0 or other.size == 0 or np.median(base) <= 0:
        return None
    ratio = float(np.median(other) / np.median(base))
    repeats = np.intersect1d(base_repeat, other_repeat)
    if repeats.size < 2:
        return Overhead(ratio, None)
    base_groups = [base[base_repeat == repeat] for repeat in repeats]
    other_groups = [other[other_repeat == repeat] for repeat in repeats]
    rng = np.random.default_rng(seed)
    ratios = []
    for picks in rng.integers(0, repeats.size, (n_resamples, repeats.size)):
        below = float(np.median(np.concatenate([base_groups[i] for i in picks])))
        if below > 0:
            ratios.append(
                float(np.median(np.concatenate([other_groups[i] for i in picks]))) / below
            )
    if not ratios:
        return Overhead(ratio, None)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Overhead(ratio, (float(low), float(high)))

"""How far two things lie apart, with an interval over processes (docs/comparison.md).

A process keeps the speed that its memory gave it, so that processes are what is counted, not steps.
Times are compared by their ratios: what disturbs a time multiplies it. With so few processes a
bootstrap interval would be much too narrow; Student's is not. A process that was slow as a whole
must not decide: means are trimmed, and their errors are those of trimmed means (Yuen 1974).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..timing.student import critical_value

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

# The level of a quoted interval, and of all verdicts of a comparison together: of a thousand
# comparisons of a model with itself, two may show a difference anywhere.
QUOTED_ALPHA = 0.05
TOTAL_ALPHA = 0.002
# With fewer, a coincidence of processes that have two speeds is too likely.
MIN_PROCESSES = 5
DEFAULT_MARGIN = 0.03
# Of at least so many values, one of each so many is left out at either end.
_MIN_TRIMMED, _ONE_OF = 10, 8

# Of a ratio; more would be no number any more, once it is multiplied by a time.
_MOST_LOG = 600.0

FASTER, SLOWER, SMALLER, LARGER = "faster", "slower", "smaller", "larger"
SAME, UNCLEAR = "same", "unclear"
VERDICTS: tuple[str, ...] = (FASTER, SLOWER, SMALLER, LARGER, SAME, UNCLEAR)


@dataclass(frozen=True)
class Estimate:
    """A mean with what its intervals are made of: its standard error and degrees of freedom."""

    mean: float
    error: float
    df: int

    def interval(self, alpha: float) -> Interval:
        """Both ends of the interval that misses the truth with probability `alpha`."""
        half = self.error * critical_value(alpha, self.df) if self.error else 0.0
        return self.mean - half, self.mean + half


def log_ratio(
    a: npt.ArrayLike, b: npt.ArrayLike, *, is_paired: bool, least_error: float = 0.0
) -> Estimate | None:
    """The logarithm of b / a, from positive values of each process and repeat.

    Args:
        a, b: [n_processes] or [n_processes, n_repeats], NaN where there is no value; of a process
            the median repeat counts. With `is_paired`, process i of both ran in the same round, and
            its repeats in turns: what slowed the machine down for a while cancels out in the ratio
            of two repeats, of which the median counts then.
        is_paired: else the processes of both sides are independent (Welch, degrees of freedom
            rounded down).
        least_error: what the standard error is at least: processes cannot be known to agree better
            than the steps within them do.

    Returns:
        None with fewer than two processes on a side, with one that has no value, or a value that is
        not positive.
    """
    first, second = _logs(a), _logs(b)
    if first is None or second is None:
        return None
    if is_paired:
        in_turns = first.shape == second.shape
        ratios = medians(second - first if in_turns else medians(second) - medians(first))
        if not np.all(np.isfinite(ratios)):
            return None
        found = _trimmed(ratios)
    else:
        of_a, of_b = _trimmed(medians(first)), _trimmed(medians(second))
        error = math.hypot(of_a.error, of_b.error)
        shares = of_a.error**4 / of_a.df + of_b.error**4 / of_b.df
        df = max(1, int(error**4 / shares)) if shares else min(of_a.df, of_b.df)
        found = Estimate(of_b.mean - of_a.mean, error, df)
    return Estimate(found.mean, max(found.error, least_error), found.df)


def medians(values: Floats) -> Floats:
    """Of each process the median repeat; NaN where it has none. One value each stays as it is."""
    if values.ndim == 1:
        return values
    unknown = np.isnan(values)
    # Almost always every repeat is there, and nanmedian takes ten times as long as median.
    if values.size and not unknown.any():
        return np.asarray(np.median(values, axis=1), np.float64)
    found: Floats = np.full(len(values), np.nan)
    known = ~unknown.all(axis=1)
    found[known] = np.nanmedian(values[known], axis=1)
    return found


def _logs(values: npt.ArrayLike) -> Floats | None:
    """Logarithms; None with fewer than two processes, or one without a positive value."""
    of = np.asarray(values, np.float64)
    if len(of) < 2 or np.any(of <= 0) or np.any(np.isnan(medians(of))):
        return None
    return np.log(of)


def mean(values: npt.ArrayLike) -> Estimate | None:
    """The trimmed mean of one value for each process; None with fewer than two, or where one is
    missing."""
    of = np.asarray(values, np.float64)
    return _trimmed(of) if of.size >= 2 and np.all(np.isfinite(of)) else None


def _trimmed(values: Floats) -> Estimate:
    n = values.size
    n_out = n // _ONE_OF if n >= _MIN_TRIMMED else 0
    kept = np.sort(values)[n_out : n - n_out]
    # The error follows from all values, those left out brought to the nearest that is kept.
    error = math.sqrt((n - 1) / (kept.size * (kept.size - 1))) * float(
        np.std(np.clip(values, kept[0], kept[-1]), ddof=1)
    )
    return Estimate(float(kept.mean()), error, kept.size - 1)


def as_change(interval: Interval) -> Interval:
    """Logarithms of ratios as relative differences: 0.03 for three percent more."""
    low, high = (math.expm1(min(end, _MOST_LOG)) for end in interval)
    return low, high


def time_verdict(interval: Interval, margin: float, *, is_interleaved: bool) -> str:
    """What can be said of a time, by the corrected interval of its relative difference.

    `same` where the whole interval is within the margin, which includes differences that are
    certain and too small to matter. `faster` or `slower` where it is not and excludes zero; of
    runs that were not interleaved, where it lies beyond the margin as a whole, because what
    changed on the machine between the two runs is in no interval. All else is `unclear`.
    """
    low, high = interval
    # A ratio and its inverse are equally far from one.
    least, most = 1 / (1 + margin) - 1, margin
    if low >= least and high <= most:
        return SAME
    below, above = (0.0, 0.0) if is_interleaved else (least, most)
    if low > above:
        return SLOWER
    return FASTER if high < below else UNCLEAR


def size_verdict(a: float, b: float, slack: float = 0.0) -> str:
    """What can be said of bytes; up to `slack` of them do not count."""
    if abs(b - a) <= slack:
        return SAME
    return LARGER if b > a else SMALLER

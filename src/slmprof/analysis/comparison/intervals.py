"""How far two things lie apart, with an interval over processes (docs/comparison.md).

A process keeps the speed that its memory gave it, so that processes are what is counted, not steps.
Times are compared by their ratios: what disturbs a time multiplies it. With so few processes a
bootstrap interval would be much too narrow; Student's is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .student import critical_value

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

# The level of a quoted interval, and of all verdicts of a comparison together: of a thousand
# comparisons of a model with itself, two may show a difference anywhere.
QUOTED_ALPHA = 0.05
TOTAL_ALPHA = 0.002
# With fewer, a coincidence of processes that have two speeds is too likely.
MIN_PROCESSES = 5
DEFAULT_MARGIN = 0.03

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
    """The logarithm of b / a, from one positive value for each process.

    Args:
        a, b: of the processes; with `is_paired`, process i of both ran in the same round, and
            what slowed the machine down in a round cancels out.
        is_paired: else the processes of both sides are independent (Welch, degrees of freedom
            rounded down).
        least_error: what the standard error is at least: processes cannot be known to agree better
            than the steps within them do.

    Returns:
        None with fewer than two processes on a side, or a value that is not positive.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    n_a, n_b = first.size, second.size
    if min(n_a, n_b) < 2 or not (np.all(first > 0) and np.all(second > 0)):
        return None
    first, second = np.log(first), np.log(second)
    mean = float(second.mean() - first.mean())
    if is_paired:
        error, df = float(np.std(second - first, ddof=1)) / math.sqrt(n_a), n_a - 1
    else:
        of_a, of_b = float(first.var(ddof=1)) / n_a, float(second.var(ddof=1)) / n_b
        error = math.sqrt(of_a + of_b)
        shares = of_a**2 / (n_a - 1) + of_b**2 / (n_b - 1)
        df = max(1, int((of_a + of_b) ** 2 / shares)) if shares else min(n_a, n_b) - 1
    return Estimate(mean, max(error, least_error), df)


def mean(values: npt.ArrayLike) -> Estimate | None:
    """The mean of one value for each process; None with fewer than two, or where one is missing."""
    of = np.asarray(values, np.float64)
    if of.size < 2 or not np.all(np.isfinite(of)):
        return None
    return Estimate(float(of.mean()), float(of.std(ddof=1)) / math.sqrt(of.size), of.size - 1)


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

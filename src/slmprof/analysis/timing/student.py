"""Quantiles of Student's t distribution, which intervals over a few samples need."""

from __future__ import annotations

import functools
import math

_BISECTIONS = 200


def two_sided_tail(t: float, df: int) -> float:
    """Probability that |T| exceeds t >= 0, for whole degrees of freedom.

    The finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4, which are exact.
    """
    angle = math.atan(t / math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = total = cosine if df % 2 else 1.0
    for k in range(3 if df % 2 else 2, df - 1, 2):
        term *= cosine * cosine * ((k - 1) / k)
        total += term
    if df % 2 == 0:
        return 1.0 - sine * total
    return 1.0 - 2.0 / math.pi * (angle + (sine * total if df > 1 else 0.0))


@functools.lru_cache(maxsize=1024)
def critical_value(alpha: float, df: int) -> float:
    """The t that |T| exceeds with probability `alpha`, within (0, 1), for `df` >= 1."""
    low, high = 0.0, 1.0
    while two_sided_tail(high, df) > alpha:
        low, high = high, 2 * high
        if high > 1e12:
            return math.inf
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if two_sided_tail(middle, df) > alpha:
            low = middle
        else:
            high = middle
    return high

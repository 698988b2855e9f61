"""Which of several things is faster, as far as their intervals can tell (docs/comparison.md)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ..timing.samples import LatencySamples
from .intervals import DEFAULT_MARGIN, FASTER, MIN_PROCESSES, as_change, log_ratio, time_verdict

# Of all pairs of a ranking together, or of each where there are few processes.
RANKING_ALPHA = 0.05
# Repeats of one process, or a few processes, say nothing of how much processes differ: by up to a
# tenth, on a machine that is quiet.
FEW_PROCESSES_MARGIN = 0.10

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Rank:
    """Where something stands: at best behind all that are certainly faster, at worst before all
    that are certainly slower. Where the two differ, there is something that it cannot be told
    apart from."""

    best: int
    worst: int


def ranking(samples: Mapping[Name, LatencySamples]) -> dict[Name, Rank]:
    """The rank of each of several, 1 for the fastest; those without samples have none.

    Two can be told apart where the interval of their ratio lies beyond a margin. Of 5 processes or
    more each that is 3 %, and the interval is corrected for the number of pairs; else it is 10 %,
    which allows for more than chance does. They did not run in turns.
    """
    known = [name for name, one in samples.items() if one.per_token_ms]
    # Of two, only the one with the smaller mean logarithm can be the faster one.
    ordered = sorted(known, key=lambda name: _mean_log(samples[name]))
    n_pairs = max(1, len(known) * (len(known) - 1) // 2)
    n_faster = dict.fromkeys(known, 0)
    n_slower = dict.fromkeys(known, 0)
    for i, first in enumerate(ordered):
        for second in ordered[i + 1 :]:
            if _is_faster(samples[first], samples[second], n_pairs):
                n_slower[first] += 1
                n_faster[second] += 1
    return {name: Rank(1 + n_faster[name], len(known) - n_slower[name]) for name in known}


def _mean_log(samples: LatencySamples) -> float:
    values = samples.per_token_ms
    return sum(math.log(value) if value > 0 else -math.inf for value in values) / len(values)


def is_of_few_processes(samples: LatencySamples) -> bool:
    """Whether a difference must be larger to be told."""
    return samples.n_processes < MIN_PROCESSES


def _is_faster(a: LatencySamples, b: LatencySamples, n_pairs: int) -> bool:
    estimate = log_ratio(b.per_token_ms, a.per_token_ms, is_paired=False)
    if estimate is None:
        return False
    few = is_of_few_processes(a) or is_of_few_processes(b)
    margin = FEW_PROCESSES_MARGIN if few else DEFAULT_MARGIN
    change = as_change(estimate.interval(RANKING_ALPHA if few else RANKING_ALPHA / n_pairs))
    return time_verdict(change, margin, is_interleaved=False) == FASTER

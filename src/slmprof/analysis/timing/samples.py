"""What a phase's latency is estimated from: one figure for each process, or for each repeat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...profiles.data import ProfileData
from ...profiles.vocabulary import PASS_TIMING
from .segments import NS_PER_MS


@dataclass(frozen=True)
class LatencySamples:
    """Milliseconds per token, unprofiled: the median step of each process, where there are several,
    else of each repeat."""

    per_token_ms: tuple[float, ...]
    n_processes: int


def latency_samples(profile: ProfileData, phase: int) -> LatencySamples:
    """The samples of a phase (a number), at the one depth of a profile."""
    steps = profile.steps
    chosen = (steps.phase == phase) & (steps.pass_ == PASS_TIMING)
    processes = steps.process[chosen]
    n_processes = len(np.unique(processes))
    unit = processes if n_processes > 1 else steps.repeat[chosen]
    wall_ms = (steps.end_ns - steps.begin_ns)[chosen] / NS_PER_MS
    per_token = wall_ms / np.maximum(steps.n_tokens[chosen], 1)
    medians = [float(np.median(per_token[unit == one])) for one in np.unique(unit)]
    return LatencySamples(tuple(medians), n_processes)

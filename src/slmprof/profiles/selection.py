"""The part of a profile that was measured at one depth of the context."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .data import Profile
from .vocabulary import PASS_WARMUP


def measured_depths(profile: Profile) -> tuple[int, ...]:
    """The depths that timing or op passes were made at, smallest first."""
    steps = profile.steps
    depths: list[int] = np.unique(steps.depth[steps.pass_ != PASS_WARMUP]).tolist()
    return tuple(depths)


def select_depth(profile: Profile, depth: int) -> Profile:
    """The profile as if this depth had been the only one.

    Rows of other depths are left out and the others renumbered; graphs and tensors stay whole, so
    that their numbers mean the same. `meta.config.n_depth` is the depth.

    Raises:
        UsageError: nothing was measured at this depth.
    """
    depths = measured_depths(profile)
    if depth not in depths:
        known = ", ".join(map(str, depths)) or "none"
        raise UsageError(f"nothing was measured at a depth of {depth}; the profile has: {known}")
    if len(depths) == 1:
        return profile
    step_kept = profile.steps.depth == depth
    step_number = _numbers(step_kept)
    run_kept = step_kept[profile.runs.step]
    run_number = _numbers(run_kept)
    segments = profile.segments.take(step_kept[profile.segments.step])
    runs = profile.runs.take(run_kept)
    events = profile.events.take(run_kept[profile.events.run])
    masks = profile.masks.take(run_kept[profile.masks.run])
    return replace(
        profile,
        meta=replace(profile.meta, config={**profile.meta.config, "n_depth": depth}),
        steps=profile.steps.take(step_kept),
        segments=segments.replace(step=step_number[segments.step]),
        runs=runs.replace(step=step_number[runs.step]),
        events=events.replace(run=run_number[events.run]),
        stats=profile.stats.take(profile.stats.depth == depth),
        masks=masks.replace(run=run_number[masks.run]),
    )


def _numbers(kept: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """int32[n]: the new number of each row that is kept; of others, any."""
    return (np.cumsum(kept) - 1).astype(np.int32)

"""What limits ops, from their shares of the roofs: the rule of docs/roofline.md."""

from __future__ import annotations

import math
from dataclasses import dataclass

MEMORY, CACHE, COMPUTE, KERNEL = "memory", "cache", "compute", "kernel"
SYNC, UNEXPLAINED = "sync", "unexplained"

# A roof is a cause from this share of it on, …
NEAR = 0.7
# … to so much, beyond which it was measured wrong, …
BEYOND = 1.2
# … and where no other roof is as near as this part of its share.
DISTINCT = 0.9
# Ops are bound by waiting or by their start from this share of their span on.
SYNC_SHARE = 0.5
# What arithmetic limits gets faster by so much of a thread with each further thread.
LEAST_SCALING = 0.6


@dataclass(frozen=True)
class Shares:
    """Least times by each roof over the measured time; NaN where a roof is not known.

    Attributes:
        memory: the bytes, at the bandwidth of the level where they lie.
        compute: the operations, at the rate of the hardware.
        kernel: the same at the best that the kernel reaches.
    """

    memory: float
    compute: float
    kernel: float

    @property
    def nearest(self) -> float:
        """The largest of those that are known; NaN without any."""
        known = [s for s in (self.memory, self.compute, self.kernel) if not math.isnan(s)]
        return max(known, default=math.nan)


@dataclass(frozen=True)
class Evidence:
    """What else is known of ops that are judged together.

    Attributes:
        is_waiting: waiting, or what any op costs, is the larger part of their time.
        is_in_memory: their bytes come from memory rather than a cache.
        has_own_rate: the kernel's roof is that of this kernel, and not of one like it.
        scales: whether more threads make them faster as arithmetic gets; None where not measured.
    """

    is_waiting: bool
    is_in_memory: bool
    has_own_rate: bool
    scales: bool | None = None


def bound_of(shares: Shares, evidence: Evidence) -> str | None:
    """The word for what limits ops; None where there is no work, or where it is not known."""
    if evidence.is_waiting:
        # Who waits half of the time cannot be at a roof as well: one of the two is measured wrong.
        return UNEXPLAINED if shares.nearest >= NEAR else SYNC
    arithmetic = max(
        (s for s in (shares.compute, shares.kernel) if not math.isnan(s)), default=math.nan
    )
    if math.isnan(shares.memory) or math.isnan(arithmetic) or shares.nearest <= 0:
        return None
    if shares.nearest > BEYOND:
        return UNEXPLAINED
    if shares.memory >= NEAR and arithmetic < DISTINCT * shares.memory:
        return MEMORY if evidence.is_in_memory else CACHE
    if arithmetic < NEAR or shares.memory >= DISTINCT * arithmetic or evidence.scales is False:
        return UNEXPLAINED
    if shares.compute >= DISTINCT * arithmetic:
        return COMPUTE if shares.compute >= NEAR else UNEXPLAINED
    return KERNEL if evidence.has_own_rate else UNEXPLAINED


def scales_like_arithmetic(speedup: float, n_threads: int) -> bool:
    """Whether a speedup from one thread to several is what arithmetic would show."""
    return speedup >= 1.0 + LEAST_SCALING * (n_threads - 1)

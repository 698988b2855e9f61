"""The same run on one thread and on several: what does not get faster is not arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..children.protocol import OnProgress, Progress
from ..errors import UsageError
from ..profiles.records.scaling import KernelTime, Scaling
from ..settings.capture import CaptureConfig
from ..system.cores import MOST_THREADS, usable_cores

if TYPE_CHECKING:
    from ..views import Profile

# It is evidence, not a headline: some repeats do.
_MOST_REPEATS = 3


def compared_threads(n_threads: int) -> int:
    """The threads that a run is compared with: one, or all cores where it has one.

    Raises:
        UsageError: there is one core only.
    """
    other = 1 if n_threads > 1 else min(usable_cores(), MOST_THREADS)
    if other == n_threads:
        raise UsageError("--scaling compares one thread with several: this machine has one core")
    return other


def measure_scaling(
    config: CaptureConfig,
    measure: Callable[[CaptureConfig, OnProgress], Profile],
    on_progress: OnProgress,
) -> Scaling:
    """The op times of a configuration at its smallest depth, on other threads.

    Args:
        measure: runs a configuration in a worker process.

    Raises:
        As `measure`; UsageError as `compared_threads`.
    """
    n_threads = compared_threads(config.n_threads)
    told = f"on {n_threads} thread{'s' if n_threads > 1 else ''}"

    def on_other(progress: Progress) -> None:
        on_progress(replace(progress, stage=f"{told}: {progress.stage}", is_timed=False))

    n_depth = min(config.n_depths)
    other = replace(
        config,
        threads=n_threads,
        n_depth=n_depth,
        # Of the same size as the run's own, whatever depths that has.
        n_ctx=config.n_ctx_made,
        repeats=min(config.repeats, _MOST_REPEATS),
        processes=1,
        ceilings="off",
        scaling=False,
        energy=False,
    )
    rows = measure(other, on_other).kernels().to_dict("records")
    return Scaling(
        n_threads,
        n_depth,
        tuple(KernelTime(r["phase"], r["kernel"], r["impl"], float(r["time_ms"])) for r in rows),
    )

"""What threads that share an op cost each other: load imbalance, barriers, waking up."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...profiles.data import ProfileData
from ...settings.devices import is_host
from ..graphs.kernel_names import OF_NO_OP
from ..timing.phases import op_steps
from .grouping import sum_by

COLUMNS = (
    "phase", "block", "time_ms", "compute_ms", "wait_ms", "wait_share", "slowest_ms", "imbalance",
    "imbalance_ms", "barrier_ms",
)  # fmt: skip
_SUMMED = ["time_ms", "compute_ms", "wait_ms", "slowest_ms"]


def wait_table(ops: pd.DataFrame) -> pd.DataFrame:
    """Op rows added up by block, in `COLUMNS`: milliseconds per step, largest time first.

    compute_ms, wait_ms: mean over the threads. wait_share: wait_ms over time_ms.
    slowest_ms: sum over the ops of their slowest thread's compute; imbalance: that over
    compute_ms. imbalance_ms: slowest_ms - compute_ms, what load imbalance costs. barrier_ms:
    time_ms - slowest_ms, what is left for start, barrier and waking up; so that
    time = compute + imbalance_ms + barrier_ms.

    The last four are null where the profile does not know the slowest thread. Time for which
    no op was recorded is left out.
    """
    return _with_costs(sum_by(_known(ops), ["block"], _SUMMED))


def wait_totals(ops: pd.DataFrame) -> pd.DataFrame:
    """The same for all ops of a phase: what waiting costs the whole step; no column `block`."""
    return _with_costs(sum_by(_known(ops), [], _SUMMED))


def thread_count(profile: ProfileData, phase: int) -> int:
    """The most threads that computed a graph in the op passes of a phase; 0 where none ran."""
    chosen = op_steps(profile, phase)[profile.runs.step]
    return int(profile.runs.n_threads[chosen].max(initial=0))


def _known(ops: pd.DataFrame) -> pd.DataFrame:
    # A device beside the CPU waits for nobody.
    elsewhere = [name for name in ops["device"].dropna().unique() if not is_host(str(name))]
    is_counted = ~ops["device"].isin(elsewhere) & ~ops["kernel"].isin(OF_NO_OP)
    chosen: pd.DataFrame = ops.loc[is_counted, ["phase", "block", *_SUMMED]]
    # A conversion too short for the clock has no compute, and so no slowest thread.
    idle = chosen["slowest_ms"].isna() & (chosen["compute_ms"] == 0)
    unknown = chosen["slowest_ms"].isna() & ~idle
    # A group in which one op's slowest thread is unknown has no sum: infinity marks it.
    slowest = chosen["slowest_ms"].mask(idle, 0.0).mask(unknown, np.inf)
    known: pd.DataFrame = chosen.assign(slowest_ms=slowest)
    return known


def _with_costs(sums: pd.DataFrame) -> pd.DataFrame:
    time, compute = sums["time_ms"], sums["compute_ms"]
    slowest = sums["slowest_ms"].where(np.isfinite(sums["slowest_ms"].astype(float)))
    made = sums.assign(
        wait_share=(sums["wait_ms"] / time).where(time > 0),
        slowest_ms=slowest,
        imbalance=(slowest / compute).where(compute > 0),
        imbalance_ms=slowest - compute,
        barrier_ms=time - slowest,
    )
    ordered: pd.DataFrame = made[[name for name in COLUMNS if name in made.columns]]
    return ordered

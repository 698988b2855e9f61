"""Which roofs each op is under, and how near it comes to them; see docs/roofline.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...profiles.records.bandwidth import RunBandwidth
from ...profiles.records.ceilings import MEMORY, Ceilings
from ...profiles.records.device_ceilings import DeviceCeilings
from ..graphs.kernel_names import OF_NO_OP
from ..graphs.nodes import CONVERSIONS
from ..timing.segments import NS_PER_MS
from .bounds import BEYOND, SYNC, SYNC_SHARE, UNEXPLAINED, Evidence, Shares, bound_of
from .least_times import (
    Floats,
    MemoryTimes,
    arithmetic_ms,
    device_arithmetic_ms,
    floats,
    is_product,
    memory_times,
)

SHARES = ("memory_share", "compute_share", "kernel_share", "ceiling_share")
# Ops that agree in these do the same in every layer; one by one they are too short to judge.
_KIND = ("phase", "kernel", "impl", "block", "part", "dtypes")
# Phase, kernel and code.
Scales = Mapping[tuple[str, str, str], bool]


@dataclass(frozen=True)
class _Roofs:
    """Least times of ops by each roof, in milliseconds per step, NaN where one is not known.

    Attributes:
        memories: by their bytes, with each bandwidth that memory had; the usual one first.
        kernel_ms, compute_ms: by their operations: their kernel's best rate, and the hardware's.
        least_ms: by the nearest roof; NaN where one is missing without which none is the nearest.
        has_own_rate: whether the kernel's best was measured of this kernel, and not of one like it.
        op_ns: what a call costs that has nothing to do.
    """

    memories: tuple[MemoryTimes, ...]
    kernel_ms: Floats
    compute_ms: Floats
    least_ms: Floats
    has_own_rate: npt.NDArray[np.bool_]
    op_ns: float


def add_bounds(
    ops: pd.DataFrame,
    ceilings: Ceilings | None,
    *,
    n_threads: int,
    step_bytes: Mapping[str, float],
    bandwidth: RunBandwidth | None = None,
    scales: Scales | None = None,
) -> pd.DataFrame:
    """The ops with their shares of the roofs and `bound` filled in, as docs/roofline.md says.

    Args:
        ops: rows of the ops table; times, calls, flops and bytes are per step.
        ceilings: those of the machine that the ops ran on, or None.
        n_threads: of the run; ceilings of another number say nothing about it.
        step_bytes: for each phase, the bytes of weights and of context that one step reads. A
            phase that is absent is one of which this is not known.
        bandwidth: of memory, as it was beside the passes; the ceilings' own where there is none.
        scales: whether the ops of a phase, kernel and code get faster with more threads as
            arithmetic does; what is absent was not measured.

    Returns:
        A new table. The shares are modelled: least times over the measured time, not cut at 1;
        `ceiling_share` is the largest of the three. They are null where the work of an op or a
        ceiling that it needs is not known, and where an op, or all of its kind together, exceed a
        roof by more than a fifth: that roof's share, and the largest. Bounds are those of all
        layers' ops of a kind together.
    """
    if ceilings is None or ceilings.n_threads != n_threads or not len(ops):
        return without_bounds(ops)
    if bandwidth is not None and bandwidth.n_threads != n_threads:
        bandwidth = None
    memories = tuple(memory_times(ops, one, step_bytes) for one in _in_run(ceilings, bandwidth))
    kernel_ms, compute_ms = arithmetic_ms(ops, ceilings)
    # Of what is known in part only, no roof is the nearest. Only the hardware's may be absent.
    least_ms = np.maximum(memories[0].least_ms, kernel_ms)
    least_ms = np.where(np.isnan(least_ms), np.nan, np.fmax(least_ms, compute_ms))
    measured = {row.type for row in ceilings.arithmetic}
    sources = ops["dtypes"].str.partition(",")[0]
    has_own_rate = is_product(ops) & sources.isin(measured).to_numpy(dtype=np.bool_)
    roofs = _Roofs(memories, kernel_ms, compute_ms, least_ms, has_own_rate, ceilings.op_ns)
    return _under(roofs, ops, scales or {})


def add_device_bounds(
    ops: pd.DataFrame, ceilings: DeviceCeilings, *, step_bytes: Mapping[str, float]
) -> pd.DataFrame:
    """The same for ops that ran on a device of these ceilings.

    What ggml's kernels reach there at best was not measured: `kernel_share` is null, and no op is
    bound by its kernel.
    """
    if not len(ops):
        return without_bounds(ops)
    memory = memory_times(ops, ceilings, step_bytes)
    compute_ms = device_arithmetic_ms(ops, ceilings)
    nothing = np.full(len(ops), np.nan)
    least_ms = np.maximum(memory.least_ms, compute_ms)
    has_own_rate = np.zeros(len(ops), dtype=np.bool_)
    roofs = _Roofs((memory,), nothing, compute_ms, least_ms, has_own_rate, ceilings.op_ns)
    return _under(roofs, ops, {})


def without_bounds(ops: pd.DataFrame) -> pd.DataFrame:
    """The ops with shares and bounds that are all null."""
    result: pd.DataFrame = ops.copy()
    for name in SHARES:
        result[name] = np.full(len(ops), np.nan)
    result["bound"] = pd.Series([None] * len(ops), index=ops.index, dtype="object")
    return result


def _under(roofs: _Roofs, ops: pd.DataFrame, scales: Scales) -> pd.DataFrame:
    """The ops with their shares of some roofs, and their bounds."""
    result = without_bounds(ops)
    time_ms = floats(ops, "time_ms")
    # Nothing to do is under no roof.
    known = (roofs.least_ms > 0) & (time_ms > 0)
    for name, roof_ms in (
        ("memory_share", roofs.memories[0].least_ms),
        ("compute_share", roofs.compute_ms),
        ("kernel_share", roofs.kernel_ms),
        ("ceiling_share", roofs.least_ms),
    ):
        with np.errstate(invalid="ignore", divide="ignore"):
            result[name] = np.where(known, roof_ms / time_ms, np.nan)
    words = _words(ops, roofs, known, scales)
    words[~known & (words != SYNC)] = None
    words[ops["kernel"].isin(OF_NO_OP).to_numpy()] = None
    result["bound"] = pd.Series(words, index=ops.index, dtype="object")
    return _without_exceeded(result)


def exceeds_roof(ops: pd.DataFrame) -> pd.Series[bool]:
    """Which ops have no share of the nearest roof because they exceed it; see `add_bounds`."""
    # Whatever else has no roof has no bound either, but for what only waits.
    judged = ops["bound"].notna() & (ops["bound"] != SYNC)
    exceeded: pd.Series[bool] = judged & ops["ceiling_share"].isna()
    return exceeded


def _without_exceeded(ops: pd.DataFrame) -> pd.DataFrame:
    """The ops without their shares of roofs that were measured lower than what ops reach."""
    kind, time_ms = _kinds(ops), ops["time_ms"]
    is_exceeded = pd.Series(data=False, index=ops.index)
    for name in ("memory_share", "compute_share", "kernel_share"):
        known = ops[name].notna()
        sums = (ops[name] * time_ms).groupby(kind).transform("sum")
        together = sums / time_ms.where(known).groupby(kind).transform("sum")
        beyond = known & ((ops[name] > BEYOND) | (together > BEYOND))
        ops[name] = ops[name].mask(beyond)
        is_exceeded |= beyond
    ops["ceiling_share"] = ops["ceiling_share"].mask(is_exceeded)
    return ops


def _kinds(ops: pd.DataFrame) -> npt.NDArray[np.intp]:
    """For each op the number of its kind."""
    names = [name for name in _KIND if name in ops]
    kinds: npt.NDArray[np.intp] = ops.groupby(names, sort=False, dropna=False).ngroup().to_numpy()
    return kinds


def _words(
    ops: pd.DataFrame, roofs: _Roofs, known: npt.NDArray[np.bool_], scales: Scales
) -> npt.NDArray[np.object_]:
    """For each op the bound of all that are of its kind; `known` are those of known work."""
    time_ms = floats(ops, "time_ms")
    memories = roofs.memories
    usual = memories[0]
    table = pd.DataFrame(
        {
            "time": time_ms,
            "known_time": np.where(known, time_ms, 0.0),
            "waiting": _waiting_ms(ops, roofs.op_ns),
            "compute": np.where(known, roofs.compute_ms, np.nan),
            "kernel": np.where(known, roofs.kernel_ms, np.nan),
            "in_memory": np.where(known & usual.in_memory, usual.least_ms, 0.0),
            **{
                f"memory{i}": np.where(known, one.least_ms, np.nan)
                for i, one in enumerate(memories)
            },
        }
    )
    kind = _kinds(ops)
    sums = table.groupby(kind).sum(min_count=1)
    has_own_rate = roofs.has_own_rate.tolist()
    words: list[str | None] = []
    for number, first in enumerate(np.unique(kind, return_index=True)[1].tolist()):
        row, place = sums.loc[number], ops.iloc[first]
        evidence = Evidence(
            is_waiting=row["time"] > 0 and row["waiting"] >= SYNC_SHARE * row["time"],
            is_in_memory=2 * row["in_memory"] >= row["memory0"],
            has_own_rate=has_own_rate[first],
            scales=scales.get((place["phase"], place["kernel"], place.get("impl", ""))),
        )
        words.append(_common_bound(row, len(memories), evidence))
    return np.array([words[number] for number in kind.tolist()], dtype=object)


def _in_run(ceilings: Ceilings, bandwidth: RunBandwidth | None) -> list[Ceilings]:
    """The ceilings with memory as it was during the run; where it moved, followed by those with its
    lowest and its highest bandwidth."""
    if bandwidth is None:
        return [ceilings]
    rates = [{name: bandwidth.gbps(name) for name in ("read", "copy")}]
    if not bandwidth.is_steady:
        ranges = {name: bandwidth.range_gbps(name) for name in ("read", "copy")}
        rates += [{name: both[i] for name, both in ranges.items()} for i in (0, 1)]
    return [ceilings.with_gbps(MEMORY, one) for one in rates]


def _common_bound(sums: pd.Series[float], n_memories: int, evidence: Evidence) -> str | None:
    """The bound of ops, if it is the same with each bandwidth that memory had."""
    time = sums["known_time"] or np.nan
    compute, kernel = sums["compute"] / time, sums["kernel"] / time
    words = {
        bound_of(Shares(sums[f"memory{i}"] / time, compute, kernel), evidence)
        for i in range(n_memories)
    }
    return words.pop() if len(words) == 1 else UNEXPLAINED


def _waiting_ms(ops: pd.DataFrame, op_ns: float) -> Floats:
    """What an op waits, or what its calls cost without any work, whichever is more.

    Waiting is the mean over the threads, or what the span is longer than the slowest thread's
    compute, whichever is more: the second is part of the first where both are exact. No call
    costs more than one of the run's cheapest op, whatever was measured at another time.
    """
    time_ms, calls = floats(ops, "time_ms"), floats(ops, "calls")
    barrier_ms = time_ms - floats(ops, "slowest_ms")
    # A conversion is a part of an op: it starts no threads.
    is_whole = (calls > 0) & (time_ms > 0) & ~ops["part"].isin(CONVERSIONS).to_numpy()
    cheapest_ms = float(np.min(time_ms[is_whole] / calls[is_whole], initial=np.inf))
    start_ms: Floats = calls * min(op_ns / NS_PER_MS, cheapest_ms)
    return np.fmax(np.fmax(floats(ops, "wait_ms"), barrier_ms), start_ms)

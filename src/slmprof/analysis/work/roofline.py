"""Which ceiling each op is under, and how near it comes; the rule is in docs/roofline.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...profiles.ceilings import MEMORY, Ceilings
from ...profiles.storage.history import GGML_TYPES
from ..timing.phases import NS_PER_MS

Floats = npt.NDArray[np.float64]


# An op is bound by waiting or by its start from this share of its span on.
SYNC_SHARE = 0.5

# Ops that read what the context holds: the KV cache or a recurrent state.
_STATE_KERNELS = frozenset(
    {
        "flash_attn", "ssm_scan", "ssm_conv", "rwkv_wkv6", "rwkv_wkv7", "gated_linear_attn",
        "gated_delta_net",
    }
)  # fmt: skip
# Products with the cache where attention is not one op, and copies of recurrent states.
_STATE_PRODUCTS = frozenset({"scores", "values"})
_STATE_PART = "state"
_DECODE = "decode"


def add_bounds(
    ops: pd.DataFrame, ceilings: Ceilings | None, *, n_threads: int, step_bytes: Mapping[str, float]
) -> pd.DataFrame:
    """The ops with `ceiling_share` and `bound` filled in, as docs/roofline.md says.

    Args:
        ops: rows of the ops table; times, calls, flops and bytes are per step.
        ceilings: those of the machine that the ops ran on, or None.
        n_threads: of the run; ceilings of another number say nothing about it.
        step_bytes: for each phase, the bytes of weights and of context that one step reads. A
            phase that is absent is one of which this is not known.

    Returns:
        A new table. `ceiling_share` is modelled: the least time by the ceilings over the measured
        time; it is not cut at 1. Both columns are null where the work of an op or a ceiling that
        it needs is not known; `bound` can be `sync` also where the work is not known.
    """
    result: pd.DataFrame = ops.copy()
    result["ceiling_share"] = np.full(len(ops), np.nan)
    result["bound"] = pd.Series([None] * len(ops), index=ops.index, dtype="object")
    if ceilings is None or ceilings.n_threads != n_threads or not len(ops):
        return result
    time_ms = _floats(ops, "time_ms")
    stream_ms, stream_in_memory = _stream_ms(ops, ceilings, step_bytes)
    local_ms, local_in_memory = _local_ms(ops, ceilings)
    compute_ms = _compute_ms(ops, ceilings)

    least_ms = np.maximum(np.maximum(stream_ms, local_ms), compute_ms)
    # Nothing to do is under no roof.
    known = (least_ms > 0) & (time_ms > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(known, least_ms / time_ms, np.nan)
        in_memory = np.where(stream_ms >= local_ms, stream_in_memory, local_in_memory)
        roof = np.where(
            np.maximum(stream_ms, local_ms) >= compute_ms,
            np.where(in_memory, "memory", "cache"),
            "compute",
        ).astype(object)
    roof[~known] = None
    roof[_is_sync(ops, ceilings)] = "sync"
    roof[(ops["op"] == "UNRECORDED").to_numpy()] = None
    result["ceiling_share"] = share
    result["bound"] = pd.Series(roof, index=ops.index, dtype="object")
    return result


def stream_bytes(ops: pd.DataFrame) -> dict[str, float]:
    """For each phase what `add_bounds` wants to know: bytes of weights and of context that a step
    reads. Ops of unknown work are left out."""
    amount = pd.Series(_stream_bytes(ops), index=ops.index, dtype="float64")
    sums = amount.groupby(ops["phase"].to_numpy()).sum()
    return {str(phase): float(total) for phase, total in sums.items()}


def _stream_ms(
    ops: pd.DataFrame, ceilings: Ceilings, step_bytes: Mapping[str, float]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Least time for what a step reads once, and whether that comes from memory.

    Before its turn comes again the rest of the step has gone through the caches, so it lies at the
    nearest level that holds all of it.
    """
    rate = np.full(len(ops), np.nan)
    in_memory = np.zeros(len(ops), dtype=np.bool_)
    phases = ops["phase"].to_numpy()
    for phase, size_bytes in step_bytes.items():
        if not np.isfinite(size_bytes):
            continue
        chosen = phases == phase
        level = ceilings.level_holding(size_bytes)
        rate[chosen] = _or_nan(ceilings.gbps(level))
        in_memory[chosen] = level == MEMORY
    amount = _stream_bytes(ops)
    return np.where(amount == 0, 0.0, amount / (rate * NS_PER_MS)), in_memory


def _stream_bytes(ops: pd.DataFrame) -> Floats:
    """Of an op's bytes those that nothing else in the step has touched: weights, and in decode
    the context. What a prompt reads of the context it has mostly written just before."""
    is_state = ops["kernel"].isin(_STATE_KERNELS) | (ops["part"] == _STATE_PART)
    is_state |= ops["part"].isin(_STATE_PRODUCTS) & _is_product(ops)
    is_state &= ops["phase"] == _DECODE
    total, weights = _floats(ops, "bytes"), _floats(ops, "weight_bytes")
    return np.where(is_state | np.isnan(total), total, np.nan_to_num(weights))


def _local_ms(ops: pd.DataFrame, ceilings: Ceilings) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Least time for activations, at the nearest level that holds those of one call."""
    amount = np.maximum(_floats(ops, "bytes") - _stream_bytes(ops), 0.0)
    calls = _floats(ops, "calls")
    with np.errstate(invalid="ignore", divide="ignore"):
        of_call = np.where(calls > 0, amount / calls, amount)
    levels = [cache.level for cache in ceilings.caches if ceilings.gbps(cache.level) is not None]
    limits = np.maximum.accumulate([ceilings.capacity_bytes(level) for level in levels] or [0.0])
    # The first level whose capacity is not below the footprint; behind the last is memory.
    index = np.searchsorted(limits[: len(levels)], np.nan_to_num(of_call), side="left")
    levels.append(MEMORY)
    # A product reads more than it writes; what others read they write again.
    reads = np.array([_or_nan(ceilings.gbps(level, "read")) for level in levels])
    copies = np.array([_or_nan(ceilings.gbps(level, "copy")) for level in levels])
    is_product = _is_product(ops) | (ops["kernel"] == "flash_attn").to_numpy()
    rate = np.where(is_product, reads[index], copies[index])
    return np.where(amount == 0, 0.0, amount / (rate * NS_PER_MS)), index == len(levels) - 1


def _compute_ms(ops: pd.DataFrame, ceilings: Ceilings) -> Floats:
    flops = _floats(ops, "flops")
    peaks: dict[tuple[str, bool], float] = {}
    rates = np.empty(len(ops))
    rows = zip(ops["op"], ops["kernel"], ops["dtypes"], ops["shape"], strict=True)
    for row, (op, kernel, dtypes, shape) in enumerate(rows):
        type_name, many = _arithmetic_of(op, kernel, dtypes, shape)
        if (type_name, many) not in peaks:
            peaks[type_name, many] = _peak_gflops(ceilings, type_name, 2 if many else 1)
        rates[row] = peaks[type_name, many]
    return np.where(flops == 0, 0.0, flops / (rates * NS_PER_MS))


def _peak_gflops(ceilings: Ceilings, type_name: str, n_columns: int) -> float:
    """Of a type that neither ggml nor the measurement knows, as one of a custom scheme, that of the
    fastest type: what follows from it is still a least time."""
    names = {row.type for row in ceilings.arithmetic}
    is_known = type_name in names or type_name in GGML_TYPES
    asked = [type_name] if is_known else names if type_name else ()
    rates = [ceilings.peak_gflops(name, n_columns) for name in asked]
    return max((rate for rate in rates if rate is not None), default=np.nan)


def _arithmetic_of(op: str, kernel: str, dtypes: str, shape: Sequence[int]) -> tuple[str, bool]:
    """The type of the matrix in the product that this op is compared with, and whether that has
    many columns."""
    sources = dtypes.partition("->")[0].split(",")
    if kernel.startswith("mul_mat"):
        # The tokens of a mixture of experts stand above the experts that each was routed to.
        return sources[0], _length(shape, 2 if op == "MUL_MAT_ID" else 1) > 1
    if kernel == "flash_attn":
        # For one token the cache is read as it is stored; for many it is unpacked into f32 tiles.
        many = _length(shape, 2) > 1
        return ("f32" if many else sources[1] if len(sources) > 1 else ""), many
    # Every operand is loaded, used once and forgotten, as in a product with one column.
    return "f32", False


def _length(shape: Sequence[int], dimension: int) -> int:
    """Trailing dimensions of one element are left out of a shape."""
    return shape[dimension] if len(shape) > dimension else 1


def _is_product(ops: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return ops["kernel"].str.startswith("mul_mat").to_numpy(dtype=np.bool_)


def _is_sync(ops: pd.DataFrame, ceilings: Ceilings) -> npt.NDArray[np.bool_]:
    """Whether waiting, or what any op costs, makes up the larger part of the span.

    Waiting is the mean over the threads, or what the span is longer than the slowest thread's
    compute, whichever is more: the second is part of the first where both are exact.
    """
    time_ms = _floats(ops, "time_ms")
    barrier_ms = time_ms - _floats(ops, "slowest_ms")
    waiting_ms = np.fmax(_floats(ops, "wait_ms"), barrier_ms)
    start_ms = _floats(ops, "calls") * ceilings.op_ns / NS_PER_MS
    return (time_ms > 0) & (np.fmax(waiting_ms, start_ms) >= SYNC_SHARE * time_ms)


def _floats(ops: pd.DataFrame, name: str) -> Floats:
    """A column as floats, NaN where it is null or absent."""
    if name not in ops:
        return np.full(len(ops), np.nan)
    return ops[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value

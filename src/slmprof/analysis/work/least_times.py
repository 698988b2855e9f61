"""The least times of ops by each roof: their bytes, and their operations (docs/roofline.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...profiles.records.ceilings import MEMORY, Cache, Ceilings
from ...profiles.records.device_ceilings import DeviceCeilings
from ...profiles.storage.history import GGML_TYPES
from ..timing.segments import NS_PER_MS
from .device_peaks import op_instructions, peak_gflops
from .roofs import FACTORS

Floats = npt.NDArray[np.float64]

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


def stream_bytes(ops: pd.DataFrame) -> dict[str, float]:
    """For each phase what `memory_times` wants to know: bytes of weights and of context that a step
    reads. Ops of unknown work are left out."""
    amount = pd.Series(_stream_bytes(ops), index=ops.index, dtype="float64")
    sums = amount.groupby(ops["phase"].to_numpy()).sum()
    return {str(phase): float(total) for phase, total in sums.items()}


class Levels(Protocol):
    """The bandwidths of a machine or device, as `Ceilings` has them."""

    @property
    def caches(self) -> tuple[Cache, ...]: ...
    def gbps(self, level: str, operation: str = "read") -> float | None: ...
    def capacity_bytes(self, level: str) -> float: ...
    def level_holding(self, size_bytes: float) -> str: ...


@dataclass(frozen=True)
class MemoryTimes:
    """Least times for an op's bytes, and whether they come from memory or from a cache."""

    least_ms: Floats
    in_memory: npt.NDArray[np.bool_]


def memory_times(
    ops: pd.DataFrame, ceilings: Levels, step_bytes: Mapping[str, float]
) -> MemoryTimes:
    """By the larger of two: what is streamed, and what is local."""
    stream_ms, stream_in_memory = _stream_ms(ops, ceilings, step_bytes)
    local_ms, local_in_memory = _local_ms(ops, ceilings)
    in_memory = np.where(stream_ms >= local_ms, stream_in_memory, local_in_memory)
    return MemoryTimes(np.maximum(stream_ms, local_ms), in_memory)


def _stream_ms(
    ops: pd.DataFrame, ceilings: Levels, step_bytes: Mapping[str, float]
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
    is_state |= ops["part"].isin(_STATE_PRODUCTS) & is_product(ops)
    is_state &= ops["phase"] == _DECODE
    total, weights = floats(ops, "bytes"), floats(ops, "weight_bytes")
    return np.where(is_state | np.isnan(total), total, np.nan_to_num(weights))


def _local_ms(ops: pd.DataFrame, ceilings: Levels) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Least time for activations, at the nearest level that holds those of one call."""
    amount = np.maximum(floats(ops, "bytes") - _stream_bytes(ops), 0.0)
    calls = floats(ops, "calls")
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
    mostly_reads = is_product(ops) | (ops["kernel"] == "flash_attn").to_numpy()
    rate = np.where(mostly_reads, reads[index], copies[index])
    return np.where(amount == 0, 0.0, amount / (rate * NS_PER_MS)), index == len(levels) - 1


def arithmetic_ms(ops: pd.DataFrame, ceilings: Ceilings) -> tuple[Floats, Floats]:
    """Least times for an op's operations: at the best rate of its kernel, and at the hardware's."""
    flops = floats(ops, "flops")
    peaks: dict[tuple[str, bool], tuple[float, float]] = {}
    rates = np.empty((2, len(ops)))
    rows = zip(ops["op"], ops["kernel"], ops["dtypes"], ops["shape"], strict=True)
    for row, (op, kernel, dtypes, shape) in enumerate(rows):
        type_name, many = _arithmetic_of(op, kernel, dtypes, shape)
        if (type_name, many) not in peaks:
            own = _peak_gflops(ceilings, type_name, 2 if many else 1)
            peaks[type_name, many] = (own, _hardware_gflops(ceilings, type_name))
        rates[:, row] = peaks[type_name, many]
    kernel_ms, compute_ms = (
        np.where(flops == 0, 0.0, flops / (rate * NS_PER_MS)) for rate in rates
    )
    # Nothing is no share of a roof that nobody knows.
    return kernel_ms, compute_ms if ceilings.instructions else np.full(len(ops), np.nan)


def device_arithmetic_ms(ops: pd.DataFrame, ceilings: DeviceCeilings) -> Floats:
    """Least times for the operations of ops that ran on a device, at the rate of the fastest
    instruction that their kernels may use."""
    flops = floats(ops, "flops")
    rates = np.empty(len(ops))
    codes = ops["impl"] if "impl" in ops else [""] * len(ops)
    rows = zip(ops["op"], ops["kernel"], codes, ops["dtypes"], ops["shape"], strict=True)
    for row, (op, kernel, code, dtypes, shape) in enumerate(rows):
        types = dtypes.partition("->")[0].split(",")
        dimension = 2 if op in ("MUL_MAT_ID", "FLASH_ATTN_EXT") else 1
        n_columns = _length(shape, dimension)
        names = op_instructions(kernel, code or "", types, n_columns, ceilings)
        rates[row] = _or_nan(peak_gflops(ceilings, names))
    return np.where(flops == 0, 0.0, flops / (rates * NS_PER_MS))


def _hardware_gflops(ceilings: Ceilings, type_name: str) -> float:
    """What the processor can do with a type: that of its fastest instruction of those that the
    build uses, or of ggml's own product where that is faster. NaN where none was measured."""
    factors = FACTORS.get(type_name, FACTORS["int8"] if type_name in GGML_TYPES else ())
    best = ceilings.best_instruction(factors or [one.type for one in ceilings.instructions])
    if best is None or best.gflops is None:
        return np.nan
    return float(np.fmax(best.gflops, _peak_gflops(ceilings, type_name, 2)))


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


def is_product(ops: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return ops["kernel"].str.startswith("mul_mat").to_numpy(dtype=np.bool_)


def floats(ops: pd.DataFrame, name: str) -> Floats:
    """A column as floats, NaN where it is null or absent."""
    if name not in ops:
        return np.full(len(ops), np.nan)
    return ops[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value

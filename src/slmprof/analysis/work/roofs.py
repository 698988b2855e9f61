"""The roofs of a machine, for tables: bandwidth by level, products by type, instructions by set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...profiles.records.ceilings import MEMORY, Ceilings, Instruction
from ...profiles.records.device_ceilings import DeviceCeilings

# Factors that a processor multiplies for a type: of what it has no instruction for, it makes f32.
FACTORS = {"int8": ("int8",), "f32": ("f32",), "f16": ("f16", "f32"), "bf16": ("bf16", "f32")}


@dataclass(frozen=True)
class LevelRoof:
    """Bandwidth of one level, in 10^9 bytes per second; `size_bytes` is None for memory."""

    level: str
    size_bytes: int | None
    n_sharing: int | None
    working_set_bytes: int
    read_gbps: float | None
    copy_gbps: float | None
    triad_gbps: float | None


@dataclass(frozen=True)
class ProductRoof:
    """The fastest products with a matrix of one type, in 10^9 operations per second.

    `ridge` is the arithmetic intensity, in operations per byte read from memory, from which on the
    product and not the memory is the lower roof.
    """

    type: str
    gemv_gflops: float | None
    gemv_impl: str | None
    gemv_ridge: float | None
    gemm_gflops: float | None
    gemm_impl: str | None
    gemm_ridge: float | None


def level_roofs(ceilings: Ceilings) -> list[LevelRoof]:
    """One row for each measured level, the nearest first."""
    caches = {cache.level: cache for cache in ceilings.caches}
    sets = {row.level: row.working_set_bytes for row in ceilings.bandwidth}
    return [
        LevelRoof(
            level=level,
            size_bytes=caches[level].size_bytes if level in caches else None,
            n_sharing=caches[level].n_sharing if level in caches else None,
            working_set_bytes=working_set_bytes,
            read_gbps=ceilings.gbps(level, "read"),
            copy_gbps=ceilings.gbps(level, "copy"),
            triad_gbps=ceilings.gbps(level, "triad"),
        )
        for level, working_set_bytes in sets.items()
    ]


def product_roofs(ceilings: Ceilings) -> list[ProductRoof]:
    """One row for each measured type, in the order of the measurement."""
    memory = ceilings.gbps(MEMORY)
    rows = []
    for name in dict.fromkeys(row.type for row in ceilings.arithmetic):
        roof: dict[str, Any] = {}
        for product, n_columns in (("gemv", 1), ("gemm", 2)):
            best = ceilings.best_arithmetic(name, n_columns)
            roof[f"{product}_gflops"] = best.gflops if best else None
            roof[f"{product}_impl"] = best.impl if best else None
            roof[f"{product}_ridge"] = best.gflops / memory if best and memory else None
        rows.append(ProductRoof(name, **roof))
    return rows


@dataclass(frozen=True)
class DeviceLevelRoof:
    """Bandwidth of one level of a device, in 10^9 bytes per second; `size_bytes` is None for
    memory."""

    level: str
    size_bytes: int | None
    working_set_bytes: int
    read_gbps: float | None
    copy_gbps: float | None


@dataclass(frozen=True)
class DevicePeakRoof:
    """The rate of one instruction of a device, in 10^9 operations per second; None where it does
    not offer it. `ridge` as `ProductRoof` has it."""

    name: str
    unit: str
    gflops: float | None
    ridge: float | None


def device_level_roofs(ceilings: DeviceCeilings) -> list[DeviceLevelRoof]:
    """One row for each measured level, the nearest first."""
    sizes = {cache.level: cache.size_bytes for cache in ceilings.caches}
    sets = {row.level: row.working_set_bytes for row in ceilings.bandwidth}
    return [
        DeviceLevelRoof(
            level=level,
            size_bytes=sizes.get(level),
            working_set_bytes=working_set_bytes,
            read_gbps=ceilings.gbps(level, "read"),
            copy_gbps=ceilings.gbps(level, "copy"),
        )
        for level, working_set_bytes in sets.items()
    ]


def device_peak_roofs(ceilings: DeviceCeilings) -> list[DevicePeakRoof]:
    """One row for each instruction, in the order of the measurement."""
    memory = ceilings.gbps(MEMORY)
    return [
        DevicePeakRoof(
            name=peak.name,
            unit=peak.unit,
            gflops=peak.gflops,
            ridge=peak.gflops / memory if peak.gflops is not None and memory else None,
        )
        for peak in ceilings.peaks
    ]


@dataclass(frozen=True)
class InstructionSetRoof:
    """What one instruction set does for the roof of products with factors of one type.

    Rates are 10^9 operations per second of all threads.

    Attributes:
        type: of the factors: `int8` of quantized matrices, `f32`, `f16`, `bf16`.
        instruction: the fastest one of the set; `gflops` is None where the machine lacks it.
        is_built: whether ggml's kernels were compiled for it.
        roof_gflops: of this build, None where none of its sets was measured.
        roof_with_gflops: of a build that is compiled for the set as well; `roof_without_gflops`: of
            one that is compiled for all but this set. Modelled, from measured rates; None where
            they are not known.
    """

    type: str
    isa: str
    instruction: str
    gflops: float | None
    is_built: bool
    roof_gflops: float | None
    roof_with_gflops: float | None
    roof_without_gflops: float | None


def instruction_set_roofs(ceilings: Ceilings) -> list[InstructionSetRoof]:
    """One row for each type and instruction set, in the order of the measurement."""
    rows = []
    for type_name, isa in dict.fromkeys((row.type, row.isa) for row in ceilings.instructions):
        own = [row for row in ceilings.instructions if (row.type, row.isa) == (type_name, isa)]
        best = max(own, key=lambda row: row.gflops or 0.0)
        types = FACTORS.get(type_name, (type_name,))
        built = [row for row in ceilings.instructions if row.type in types and row.is_built]
        rows.append(
            InstructionSetRoof(
                type=type_name,
                isa=isa,
                instruction=best.name,
                gflops=best.gflops,
                is_built=best.is_built,
                roof_gflops=_fastest(built),
                roof_with_gflops=_fastest([*built, *own]) if best.gflops is not None else None,
                roof_without_gflops=_fastest([row for row in built if row.isa != isa]),
            )
        )
    return rows


@dataclass(frozen=True)
class RoofScaling:
    """A ceiling with one thread and with several: bandwidth of a level (`kind` is `bandwidth`, unit
    GB/s), an instruction or a product of a type with `n_columns` (GFLOP/s)."""

    kind: str
    name: str
    n_columns: int | None
    single: float
    value: float
    speedup: float
    n_threads: int


def roof_scaling(ceilings: Ceilings, single: Ceilings) -> list[RoofScaling]:
    """One row for each ceiling that was measured with one thread and with several: reading from
    each level, the fastest instruction for each type of factors, and products."""
    found = [(_roofs(one)) for one in (single, ceilings)]
    return [
        RoofScaling(*key, one, found[1][key], found[1][key] / one, ceilings.n_threads)
        for key, one in found[0].items()
        if key in found[1]
    ]


def _roofs(ceilings: Ceilings) -> dict[tuple[str, str, int | None], float]:
    roofs: dict[tuple[str, str, int | None], float] = {}
    for level in ceilings.bandwidth:
        if level.operation == "read":
            roofs["bandwidth", level.level, None] = level.gbps
    for one in ceilings.instructions:
        key = ("instruction", one.type, None)
        if one.gflops is not None and one.is_built:
            roofs[key] = max(roofs.get(key, 0.0), one.gflops)
    for name in dict.fromkeys(row.type for row in ceilings.arithmetic):
        for n_columns in sorted({row.n_columns for row in ceilings.arithmetic}):
            rate = ceilings.peak_gflops(name, n_columns)
            if rate is not None:
                roofs["product", name, n_columns] = rate
    return roofs


def _fastest(rows: list[Instruction]) -> float | None:
    return max((row.gflops for row in rows if row.gflops is not None), default=None)

"""Ceilings with round figures: two threads on four cores that share the last cache."""

from __future__ import annotations

from typing import Any

from slmprof.profiles.records.ceilings import (
    Arithmetic,
    Bandwidth,
    Cache,
    Ceilings,
    Fingerprint,
    Instruction,
)

KIB, MIB = 2**10, 2**20

FINGERPRINT = Fingerprint(
    cpu="Example CPU",
    n_cores=4,
    caches=("L1", "L2", "L3"),
    native=True,
    llama_cpp_version="1.2",
)


def example_ceilings(**changes: Any) -> Ceilings:
    """L1 32 KiB at 400 GB/s, L2 1 MiB at 200, L3 8 MiB (shared) at 100, memory at 10; copying
    at half of each. f32 at 20 GFLOP/s with one column and 100 with many, q4_K at 40 and 200."""
    levels = {"L1": 400.0, "L2": 200.0, "L3": 100.0, "memory": 10.0}
    factors = {"read": 1.0, "copy": 0.5, "triad": 0.75}
    products = [
        ("f32", 1, "plain", 20.0),
        ("f32", 256, "plain", 100.0),
        ("f16", 1, "plain", 30.0),
        ("f16", 256, "plain", 80.0),
        ("q4_K", 1, "plain", 40.0),
        ("q4_K", 256, "plain", 150.0),
        ("q4_K", 1, "repack", 35.0),
        ("q4_K", 256, "repack", 200.0),
    ]
    values: dict[str, Any] = {
        "fingerprint": FINGERPRINT,
        "measured_at": "2030-01-02T03:04:05+00:00",
        "seconds": 4.5,
        "n_threads": 2,
        "caches": (
            Cache("L1", 32 * KIB, 1),
            Cache("L2", MIB, 1),
            Cache("L3", 8 * MIB, 4),
        ),
        "bandwidth": tuple(
            Bandwidth(level, operation, MIB, gbps * factor)
            for level, gbps in levels.items()
            for operation, factor in factors.items()
        ),
        "arithmetic": tuple(Arithmetic(*row) for row in products),
        "op_ns": 500.0,
        **changes,
    }
    return Ceilings(**values)


def example_instructions() -> tuple[Instruction, ...]:
    """A machine with VNNI of which the build makes no use: int8 at 400 GFLOP/s, with it at 800; f32
    at 120; no FP16."""
    rows = [
        ("vpmaddubsw ymm", "avx2", "int8", 400.0, True),
        ("vpdpbusd zmm", "avx512_vnni", "int8", 800.0, False),
        ("mulps xmm", "sse2", "f32", 30.0, True),
        ("vfmadd ymm", "fma", "f32", 120.0, True),
        ("vfmaddph zmm", "avx512_fp16", "f16", None, False),
    ]
    return tuple(
        Instruction(name=name, isa=isa, type=type_name, gflops=gflops, is_built=is_built)
        for name, isa, type_name, gflops, is_built in rows
    )

"""Ceilings of a device with round figures: an Ampere card with 4 MiB of L2."""

from __future__ import annotations

from typing import Any

from slmprof.profiles.records.ceilings import Bandwidth
from slmprof.profiles.records.device_ceilings import (
    DeviceCeilings,
    DeviceFingerprint,
    Peak,
    Transfer,
)

MIB = 2**20

PEAKS = {
    "fma.f32": 10_000.0,
    "fma.f16x2": 20_000.0,
    "dp4a.s8": 40_000.0,
    "mma.f16.f32": 80_000.0,
    "mma.f16.f16": 160_000.0,
    "mma.bf16.f32": 80_000.0,
    "mma.tf32.f32": 40_000.0,
    "mma.s8.s32": 320_000.0,
}


def example_fingerprint(compute_capability: int = 86) -> DeviceFingerprint:
    """Of the example's card, or of one of another generation."""
    return DeviceFingerprint(
        name="Example Card",
        compute_capability=compute_capability,
        n_multiprocessors=50,
        memory_bytes=8192 * MIB,
        l2_bytes=4 * MIB,
        cuda_driver=13000,
        driver="580.65.06",
        compiled_for="750,860",
        method_version=1,
    )


def example_device_ceilings(
    compute_capability: int = 86, lacks: tuple[str, ...] = (), **changes: Any
) -> DeviceCeilings:
    """L2 at 2000 GB/s, memory at 500, copying at 0.8 of each, and `PEAKS` but for those that begin
    as `lacks` says."""
    values: dict[str, Any] = {
        "device": "CUDA0",
        "fingerprint": example_fingerprint(compute_capability),
        "measured_at": "2030-01-02T03:04:05+00:00",
        "seconds": 2.5,
        "nominal_gbps": 600.0,
        "bandwidth": tuple(
            Bandwidth(level, operation, size_bytes, gbps * factor)
            for level, size_bytes, gbps in (("L2", 2 * MIB, 2000.0), ("memory", 256 * MIB, 500.0))
            for operation, factor in (("read", 1.0), ("copy", 0.8))
        ),
        "peaks": tuple(
            Peak(
                name=name,
                unit="tensor" if name.startswith("mma") else "core",
                gflops=None if name.startswith(lacks or "-") else gflops,
            )
            for name, gflops in PEAKS.items()
        ),
        "transfers": (Transfer("to_device", 64 * MIB, 25.0), Transfer("to_host", 64 * MIB, 26.0)),
        "op_ns": 1000.0,
        **changes,
    }
    return DeviceCeilings(**values)

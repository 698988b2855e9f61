"""What a CUDA device can do at best, and the file that says so (docs/roofline.md)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Annotated

from .ceilings import MEMORY, Bandwidth, Cache, Rate, Rows, Text
from .ceilings_file import check_version, read_file, write_file
from .decoding import Amount, Count, Json, Record, Whole, decode

FORMAT = "slmprof-device-ceilings"
FORMAT_VERSION = 1

L2 = "L2"


class Peak(Record, frozen=True):
    """10^9 operations per second of one kind of instruction, by itself.

    Attributes:
        name: the instruction with the types of its factors and, on tensor cores, of its sums.
        unit: `tensor` for the tensor cores, `core` for the ordinary ones.
        gflops: None where the device, or the code that the build has for it, does not offer the
            instruction. A multiply-add counts as two, of integers too.
    """

    name: Text
    unit: Text
    gflops: Rate | None = None


class Transfer(Record, frozen=True):
    """10^9 bytes per second over the link from or to pinned memory of the host; `direction` is
    `to_device` or `to_host`."""

    direction: Text
    size_bytes: Count
    gbps: Rate


class DeviceFingerprint(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What a device's ceilings hold for: the card, its driver, and the code that measured.

    Attributes:
        compute_capability: 86 for 8.6.
        cuda_driver: the version of CUDA that the driver has: 13000 for 13.0.
        driver: the release of the driver; None where the system does not tell.
        compiled_for: the architectures that the build has code for: `750,860`.
    """

    name: Text
    compute_capability: Count
    n_multiprocessors: Count
    memory_bytes: Count
    l2_bytes: Whole = 0
    cuda_driver: Whole | None = None
    driver: Text | None = None
    compiled_for: Text | None = None
    method_version: Whole | None = None


class DeviceCeilings(Record, frozen=True, kw_only=True):
    """The ceilings of one device, one driver and one build.

    Attributes:
        device: ggml's name of it in this process, `CUDA0`.
        measured_at: UTC, as ISO 8601 writes it.
        seconds: how long the measurement took.
        nominal_gbps: of its memory, by its clock and the width of its bus, as the device tells
            them; never a ceiling. None where it does not.
        op_ns: nanoseconds that a kernel with nothing to do takes, in a CUDA graph of many.
        warnings: what spoiled the measurement, one sentence each.
    """

    device: Text
    fingerprint: DeviceFingerprint
    measured_at: Text
    seconds: Amount
    nominal_gbps: Rate | None = None
    bandwidth: Annotated[tuple[Bandwidth, ...], Rows]
    peaks: Annotated[tuple[Peak, ...], Rows]
    transfers: Annotated[tuple[Transfer, ...], Rows] = ()
    op_ns: Amount
    warnings: Annotated[tuple[Text, ...], Rows] = ()

    @property
    def caches(self) -> tuple[Cache, ...]:
        """The cache that all multiprocessors share; without one where its size is not known."""
        size_bytes = self.fingerprint.l2_bytes
        return (
            (Cache(L2, size_bytes, self.fingerprint.n_multiprocessors),) if size_bytes > 0 else ()
        )

    def gbps(self, level: str, operation: str = "read") -> float | None:
        """Bandwidth of a level, or None where it was not measured."""
        for row in self.bandwidth:
            if (row.level, row.operation) == (level, operation):
                return row.gbps
        return None

    def peak_gflops(self, name: str) -> float | None:
        """The rate of an instruction, or None where the device does not offer it."""
        for row in self.peaks:
            if row.name == name:
                return row.gflops
        return None

    def capacity_bytes(self, level: str) -> float:
        """What a level holds: infinite for `memory`, 0 for a level that is unknown."""
        if level == MEMORY:
            return math.inf
        return float(sum(cache.size_bytes for cache in self.caches if cache.level == level))

    def level_holding(self, size_bytes: float) -> str:
        """The nearest level with a known bandwidth that holds so much, else `memory`."""
        for cache in self.caches:
            if self.gbps(cache.level) is not None and size_bytes <= cache.size_bytes:
                return cache.level
        return MEMORY

    def to_json(self) -> Json:
        """The object that a file holds."""
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **super().to_json()}

    @classmethod
    def from_json(cls, values: object) -> DeviceCeilings:
        """The inverse of `to_json`; unknown keys are dropped.

        Raises:
            ProfileFormatError: the value is no such object, or one of a newer version.
        """
        if isinstance(values, Mapping):
            again = "slmprof roofline --device cuda:0 --refresh"
            check_version(values, FORMAT, FORMAT_VERSION, again)
        return decode(cls, values)


def read_device_ceilings(path: str | os.PathLike[str]) -> DeviceCeilings:
    """Reads a file of a device's ceilings, whatever device it is of; raises as `read_file`."""
    return read_file(path, DeviceCeilings.from_json)


def write_device_ceilings(ceilings: DeviceCeilings, path: str | os.PathLike[str]) -> None:
    """Writes a file of a device's ceilings; raises as `write_file`."""
    write_file(ceilings.to_json(), path)

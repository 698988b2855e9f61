"""What a machine can do at best, and the file that says so (docs/roofline.md)."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from typing import Annotated

from msgspec import Meta

from .ceilings_file import check_version, read_file, write_file
from .decoding import Amount, Count, Json, Record, Whole, decode

FORMAT = "slmprof-ceilings"
FORMAT_VERSION = 2

MEMORY = "memory"

Rate = Annotated[float, Meta(ge=1e-9, le=1e15)]
Rows = Meta(max_length=1000)
Text = Annotated[str, Meta(max_length=1000)]


class Cache(Record, frozen=True):
    """A data cache: `L1`, `L2` …, its size, and how many cores share one."""

    level: Text
    size_bytes: Count
    n_sharing: Count


class Bandwidth(Record, frozen=True):
    """10^9 bytes per second of all threads together, or of a whole device.

    `level` is that of a cache or `memory`; `working_set_bytes` what all threads went over.
    """

    level: Text
    operation: Text
    working_set_bytes: Count
    gbps: Rate


class Arithmetic(Record, frozen=True):
    """10^9 operations per second of all threads together, in products with a matrix of a type.

    `impl` is `plain`, `repack`, or the name of another buffer type of ggml's CPU backend.
    """

    type: Text
    n_columns: Count
    impl: Text
    gflops: Rate


class Instruction(Record, frozen=True, kw_only=True):
    """10^9 operations per second of all threads together, of one instruction by itself.

    Attributes:
        name: the instruction and the width of its registers.
        isa: the instruction set, as the system names it.
        type: of the factors: `int8`, `f32`, `f16`, `bf16`.
        gflops: None where this processor lacks it. A multiply-add counts as two, of integers too.
        is_built: whether ggml's kernels were compiled for this instruction set.
    """

    name: Text
    isa: Text
    type: Text
    gflops: Rate | None = None
    is_built: bool


class Fingerprint(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What ceilings hold for but for the threads: processor, cores, caches and build."""

    cpu: Text | None = None
    n_cores: Count | None = None
    caches: tuple[Text, ...] = ()
    cpu_features: Text | None = None
    llama_cpp_version: Text | None = None
    ggml_version: Text | None = None
    build_type: Text | None = None
    compiler: Text | None = None
    native: bool | None = None
    openmp: bool | None = None
    llamafile: bool | None = None
    repack: bool | None = None
    method_version: Whole | None = None


class Ceilings(Record, frozen=True):
    """The ceilings of one machine, one build and one number of threads.

    Attributes:
        measured_at: UTC, as ISO 8601 writes it.
        seconds: how long the measurement took.
        caches: those that the machine reports, the nearest first.
        op_ns: nanoseconds that an empty op costs.
        is_disturbed: whether another load took part of the cores meanwhile.
        instructions: one for each microkernel of slmprof; none in files of version 1.
        warnings: what spoiled the measurement, one sentence each.
    """

    fingerprint: Fingerprint
    measured_at: Text
    seconds: Amount
    n_threads: Count
    caches: Annotated[tuple[Cache, ...], Rows]
    bandwidth: Annotated[tuple[Bandwidth, ...], Rows]
    arithmetic: Annotated[tuple[Arithmetic, ...], Rows]
    op_ns: Amount
    is_disturbed: bool = False
    warnings: Annotated[tuple[Text, ...], Rows] = ()
    instructions: Annotated[tuple[Instruction, ...], Rows] = ()

    def gbps(self, level: str, operation: str = "read") -> float | None:
        """Bandwidth of a level, or None where it was not measured."""
        for row in self.bandwidth:
            if (row.level, row.operation) == (level, operation):
                return row.gbps
        return None

    def with_gbps(self, level: str, rates: Mapping[str, float]) -> Ceilings:
        """The same with other bandwidths of a level, by operation."""
        rows = (
            row.replace(gbps=rates[row.operation])
            if row.level == level and row.operation in rates
            else row
            for row in self.bandwidth
        )
        return self.replace(bandwidth=tuple(rows))

    def best_arithmetic(self, type_name: str, n_columns: int) -> Arithmetic | None:
        """The fastest implementation for a type, or None where the type was not measured.

        Args:
            n_columns: 1 asks for the product with one column, anything above for the fastest
                product with any number of columns.
        """
        rows = [
            row
            for row in self.arithmetic
            if row.type == type_name and (row.n_columns == 1 or n_columns > 1)
        ]
        return max(rows, key=lambda row: row.gflops, default=None)

    def peak_gflops(self, type_name: str, n_columns: int) -> float | None:
        """The figure of `best_arithmetic`."""
        best = self.best_arithmetic(type_name, n_columns)
        return None if best is None else best.gflops

    def best_instruction(
        self, types: Collection[str], *, is_built: bool = True
    ) -> Instruction | None:
        """The fastest instruction with factors of these types, or None where none was measured.

        Args:
            is_built: only of those that ggml's kernels were compiled for.
        """
        rows = [
            row
            for row in self.instructions
            if row.gflops is not None and row.type in types and (row.is_built or not is_built)
        ]
        return max(rows, key=lambda row: row.gflops or 0.0, default=None)

    def capacity_bytes(self, level: str) -> float:
        """What the caches of a level hold together, as `cache_capacity_bytes` counts them.

        Infinite for `memory`, 0 for a level that is unknown.
        """
        if level == MEMORY:
            return math.inf
        n_cores = self.fingerprint.n_cores or self.n_threads
        for cache in self.caches:
            if cache.level == level:
                return cache_capacity_bytes(cache, self.n_threads, n_cores)
        return 0.0

    def level_holding(self, size_bytes: float) -> str:
        """The nearest level with a known bandwidth whose caches hold so much, else `memory`."""
        for cache in self.caches:
            is_measured = self.gbps(cache.level) is not None
            if is_measured and size_bytes <= self.capacity_bytes(cache.level):
                return cache.level
        return MEMORY

    def to_json(self) -> Json:
        """The object that a file holds."""
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **super().to_json()}

    @classmethod
    def from_json(cls, values: object) -> Ceilings:
        """The inverse of `to_json`; unknown keys are dropped.

        Raises:
            ProfileFormatError: the value is no such object, or one of a newer version.
        """
        if isinstance(values, Mapping):
            check_version(values, FORMAT, FORMAT_VERSION, "slmprof roofline --refresh")
        return decode(cls, values)


def cache_capacity_bytes(cache: Cache, n_threads: int, n_cores: int) -> float:
    """What the caches of one level hold together that so many threads use.

    Threads spread over the cores, so that they share a cache only when every other one of its
    level has a thread already.
    """
    return float(cache.size_bytes * min(n_threads, max(n_cores // cache.n_sharing, 1)))


def read_ceilings(path: str | os.PathLike[str]) -> Ceilings:
    """Reads a file of ceilings, whatever machine it is of; raises as `read_file`."""
    return read_file(path, Ceilings.from_json)


def write_ceilings(ceilings: Ceilings, path: str | os.PathLike[str]) -> None:
    """Writes a file of ceilings; raises as `write_file`."""
    write_file(ceilings.to_json(), path)

"""The process that measures ceilings: `python -m slmprof.machine.ceilings_worker`.

Its question is {"n_threads": …}, its answer the ceilings.
"""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import Any

from ..children.memory import available_bytes
from ..children.protocol import OnProgress, Progress
from ..children.serving import serve
from ..profiles.records.ceilings import (
    MEMORY,
    Arithmetic,
    Bandwidth,
    Cache,
    Ceilings,
    Instruction,
    cache_capacity_bytes,
)
from ..system.cores import usable_cores
from .caches import data_caches, spread_cores, working_sets
from .ceilings import fingerprint
from .environment import find_warnings, memory_bytes
from .instruction_sets import is_built
from .load import LoadMeter

# For each figure. Long enough that some repetitions are undisturbed, and all together some seconds.
_BANDWIDTH_SECONDS = 0.04
_ARITHMETIC_SECONDS = 0.02
_INSTRUCTION_SECONDS = 0.02
_OP_SECONDS = 0.04
# One column, as in decode, and about as many as let a kernel reach its best: more would make a
# single product so long that another load always falls into it.
_N_COLUMNS = (1, 128)
# A first round that took longer was so disturbed that a second one would be as well.
_LONGEST_REPEATED_SECONDS = 8.0
_UNKNOWN_L2_BYTES = 256 * 2**10


@dataclass
class _Round:
    """The figures of one round."""

    gbps: dict[tuple[str, str], float]
    gflops: dict[tuple[str, int, str], float]
    instructions: dict[tuple[str, str, str], float | None]
    op_ns: float

    def or_better(self, other: _Round) -> _Round:
        """The better one of each figure."""
        return _Round(
            {key: max(value, other.gbps[key]) for key, value in self.gbps.items()},
            {key: max(value, other.gflops[key]) for key, value in self.gflops.items()},
            {
                key: None if value is None else max(value, other.instructions[key] or 0.0)
                for key, value in self.instructions.items()
            },
            min(self.op_ns, other.op_ns),
        )


def measure(n_threads: int, on_progress: OnProgress) -> Ceilings:
    """Measures everything in this process.

    Where another load spoiled the first round, but not much, a second one is measured. Each
    figure is the best that was seen in any case, so that of two rounds the better one counts.
    """
    begin = time.monotonic()
    caches = data_caches()
    free_bytes = available_bytes() or memory_bytes() // 2
    sets = working_sets(caches, n_threads, usable_cores(), free_bytes)
    per_thread = _matrix_bytes(caches, n_threads)

    meter = LoadMeter()
    best = _measure_round(sets, n_threads, per_thread, on_progress)
    spoiled = meter.warnings()
    if spoiled and time.monotonic() - begin < _LONGEST_REPEATED_SECONDS:
        meter = LoadMeter()
        best = best.or_better(_measure_round(sets, n_threads, per_thread, on_progress))
        spoiled = meter.warnings()

    now = datetime.datetime.now(datetime.timezone.utc)
    return Ceilings(
        fingerprint=fingerprint(),
        measured_at=now.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - begin, 3),
        n_threads=n_threads,
        caches=caches,
        bandwidth=tuple(
            Bandwidth(level, operation, dict(sets)[level], gbps)
            for (level, operation), gbps in best.gbps.items()
        ),
        arithmetic=tuple(Arithmetic(*key, gflops) for key, gflops in best.gflops.items()),
        instructions=tuple(
            Instruction(name=name, isa=isa, type=type_name, gflops=gflops, is_built=is_built(isa))
            for (name, isa, type_name), gflops in best.instructions.items()
        ),
        op_ns=best.op_ns,
        is_disturbed=bool(spoiled),
        warnings=(*find_warnings(n_threads), *spoiled, *_small_memory(caches, sets, n_threads)),
    )


def _measure_round(
    sets: list[tuple[str, int]], n_threads: int, matrix_bytes: int, on_progress: OnProgress
) -> _Round:
    from .. import _core

    types = _core.arithmetic_types()
    total = len(sets) + len(types) + 2
    cores = spread_cores(n_threads)
    figures = _Round({}, {}, {}, 0.0)
    for number, (level, working_set_bytes) in enumerate(sets):
        on_progress(Progress(f"bandwidth of {level}", number, total))
        rates = _core.measure_bandwidth(
            working_set_bytes, n_threads=n_threads, seconds=_BANDWIDTH_SECONDS, cores=cores
        )
        figures.gbps.update({(level, operation): gbps for operation, gbps in rates.items()})
    for number, type_name in enumerate(types, len(sets)):
        on_progress(Progress(f"matmuls of {type_name}", number, total))
        rows = _core.measure_arithmetic(
            type_name,
            _N_COLUMNS,
            n_threads=n_threads,
            matrix_bytes_per_thread=matrix_bytes,
            seconds=_ARITHMETIC_SECONDS,
            cores=cores,
        )
        figures.gflops.update({(type_name, n, impl): gflops for n, impl, gflops in rows})
    on_progress(Progress("single instructions", total - 2, total))
    figures.instructions = {
        (name, isa, type_name): gflops
        for name, isa, type_name, gflops in _core.measure_instructions(
            n_threads=n_threads, seconds=_INSTRUCTION_SECONDS, cores=cores
        )
    }
    on_progress(Progress("an empty op", total - 1, total))
    figures.op_ns = _core.measure_op_ns(n_threads=n_threads, seconds=_OP_SECONDS, cores=cores)
    on_progress(Progress("done", total, total))
    return figures


def _matrix_bytes(caches: tuple[Cache, ...], n_threads: int) -> int:
    """Half of a thread's share of L2."""
    for cache in caches:
        if cache.level == "L2":
            capacity = cache_capacity_bytes(cache, n_threads, usable_cores())
            return int(capacity / n_threads / 2)
    return _UNKNOWN_L2_BYTES // 2


def _small_memory(
    caches: tuple[Cache, ...], sets: list[tuple[str, int]], n_threads: int
) -> list[str]:
    """A warning where what was taken for memory could lie in the caches to a good part."""
    size_bytes = dict(sets)[MEMORY]
    last = cache_capacity_bytes(caches[-1], n_threads, usable_cores()) if caches else 0.0
    if size_bytes >= 2 * last:
        return []
    return [
        f"memory was measured over {size_bytes // 2**20} MiB only, of which the caches may hold "
        f"{int(last) // 2**20} MiB"
    ]


def _answer(question: dict[str, Any], _: str, on_progress: OnProgress) -> dict[str, Any]:
    return measure(int(question["n_threads"]), on_progress).to_json()


if __name__ == "__main__":
    serve("measure the ceilings", _answer)

"""The process that reads memory beside a run: `python -m slmprof.machine.bandwidth_worker`.

Its question is {"n_threads": …}, its answer a `BandwidthSample` without its point, and
`working_set_bytes`. It is a process of its own so that what it takes is not counted as the run's
memory, and is given back when it ends.
"""

from __future__ import annotations

from typing import Any

from ..children.memory import available_bytes
from ..children.protocol import OnProgress
from ..children.serving import serve
from ..system.cores import usable_cores
from .caches import data_caches, spread_cores, working_sets
from .environment import memory_bytes

# For each of the three operations: longer than a slice of another process's time.
_SECONDS = 0.03


def _answer(question: dict[str, Any], _: str, __: OnProgress) -> dict[str, Any]:
    from .. import _core

    n_threads = int(question["n_threads"])
    free_bytes = available_bytes() or memory_bytes() // 2
    _, working_set_bytes = working_sets(data_caches(), n_threads, usable_cores(), free_bytes)[-1]
    gbps = _core.measure_bandwidth(
        working_set_bytes, n_threads=n_threads, seconds=_SECONDS, cores=spread_cores(n_threads)
    )
    return {
        "working_set_bytes": working_set_bytes,
        "read_gbps": gbps["read"],
        "copy_gbps": gbps["copy"],
    }


if __name__ == "__main__":
    serve("measure the bandwidth of memory", _answer)

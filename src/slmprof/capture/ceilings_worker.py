"""The process that measures ceilings: `python -m slmprof.capture.ceilings_worker`.

Standard input carries {"n_threads": …} as one line of JSON and stays open: when it ends, the
parent is gone and this process goes too. Standard output carries one JSON object a line:
{"progress": …}, {"error": …} or {"result": the ceilings}. ggml's messages go to standard error.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import threading
import time
from typing import Any

from ..errors import SlmprofError
from ..profiles.ceilings import Arithmetic, Bandwidth, Ceilings, cache_capacity_bytes
from .caches import data_caches, working_sets
from .ceilings import fingerprint
from .config import usable_cores
from .environment import (
    LoadMeter,
    available_bytes,
    find_warnings,
    limit_memory,
    memory_bytes,
)
from .protocol import EXIT_REPORTED, OnProgress, Progress

# For each figure. Long enough that some repetitions are undisturbed, and all together some seconds.
_BANDWIDTH_SECONDS = 0.04
_ARITHMETIC_SECONDS = 0.02
_OP_SECONDS = 0.04
# One column, as in decode, and as many as let a kernel reach its best.
_N_COLUMNS = (1, 256)
_UNKNOWN_L2_BYTES = 256 * 2**10


def measure(n_threads: int, on_progress: OnProgress) -> Ceilings:
    """Measures everything in this process."""
    from .. import _core

    begin = time.monotonic()
    meter = LoadMeter()
    n_cores = usable_cores()
    caches = data_caches()
    free_bytes = available_bytes() or memory_bytes() // 2
    levels = working_sets(caches, n_threads, n_cores, free_bytes)
    types = _core.arithmetic_types()
    total = len(levels) + len(types) + 1
    bandwidth: list[Bandwidth] = []
    for level, working_set_bytes in levels:
        on_progress(Progress(f"bandwidth of {level}", len(bandwidth) // 3, total))
        figures = _core.measure_bandwidth(working_set_bytes, n_threads, _BANDWIDTH_SECONDS)
        bandwidth += [
            Bandwidth(level, operation, working_set_bytes, gbps)
            for operation, gbps in figures.items()
        ]

    capacities = {c.level: cache_capacity_bytes(c, n_threads, n_cores) for c in caches}
    per_thread = capacities.get("L2", 0.0) / n_threads or _UNKNOWN_L2_BYTES
    arithmetic: list[Arithmetic] = []
    for number, type_name in enumerate(types):
        on_progress(Progress(f"products of {type_name}", len(levels) + number, total))
        for n_columns, impl, gflops in _core.measure_arithmetic(
            type_name,
            _N_COLUMNS,
            n_threads=n_threads,
            matrix_bytes_per_thread=int(per_thread / 2),
            seconds=_ARITHMETIC_SECONDS,
        ):
            arithmetic.append(Arithmetic(type_name, n_columns, impl, gflops))

    on_progress(Progress("an op with nothing to do", total - 1, total))
    op_ns = _core.measure_op_ns(n_threads, _OP_SECONDS)
    warnings = [*find_warnings(n_threads), *meter.warnings()]
    last = capacities[caches[-1].level] if caches else 0
    if levels[-1][1] < 2 * last:
        warnings.append(
            f"memory was measured over {levels[-1][1] // 2**20} MiB only, of which the caches may "
            f"hold {int(last) // 2**20} MiB"
        )
    on_progress(Progress("done", total, total))
    now = datetime.datetime.now(datetime.timezone.utc)
    return Ceilings(
        fingerprint=fingerprint(),
        measured_at=now.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - begin, 3),
        n_threads=n_threads,
        caches=caches,
        bandwidth=tuple(bandwidth),
        arithmetic=tuple(arithmetic),
        op_ns=op_ns,
        warnings=tuple(warnings),
    )


def _leave_with_parent() -> None:
    """Ends this process when standard input does: its other end is the parent's."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)


def main() -> int:
    """Entry of the process."""
    # A backtrace would start a debugger, which may hang; the last log lines say enough.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    # What native code prints to stdout goes to stderr from now on.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    limit_memory()
    n_threads = int(json.loads(sys.stdin.buffer.readline())["n_threads"])
    threading.Thread(target=_leave_with_parent, daemon=True).start()

    def send(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")

    def on_progress(progress: Progress) -> None:
        send(progress=[progress.stage, progress.done, progress.total])

    try:
        send(result=measure(n_threads, on_progress).to_json())
        return 0
    except BrokenPipeError:
        return 1  # nobody reads what we say
    except SlmprofError as error:
        send(error={"type": type(error).__name__, "message": str(error)})
    except MemoryError:
        send(error={"type": "EngineError", "message": "out of memory while measuring ceilings"})
    except Exception as error:
        if os.environ.get("SLMPROF_DEBUG"):
            raise
        message = f"cannot measure the ceilings: {type(error).__name__}: {error}"
        send(error={"type": "CaptureError", "message": message})
    return EXIT_REPORTED


if __name__ == "__main__":
    # Not sys.exit: the thread that reads standard input would hold up the interpreter's end.
    status = main()
    sys.stderr.flush()
    os._exit(status)

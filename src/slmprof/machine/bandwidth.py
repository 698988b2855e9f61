"""Bandwidth of memory now, measured in a child process."""

from __future__ import annotations

from typing import Any

from ..children.question import asked

_WORKER = "slmprof.machine.bandwidth_worker"
# It takes a fraction of a second; what takes longer must not hold up a run.
_TIMEOUT_SECONDS = 10.0


def memory_bandwidth(n_threads: int) -> dict[str, Any]:
    """`read_gbps` and `copy_gbps`, 10^9 bytes per second of all threads together, and the
    `working_set_bytes` that they went over.

    The caches hold something else afterwards.

    Raises:
        EngineError: the process died or took too long; CaptureError: it cannot be measured here.
    """
    question = {"n_threads": n_threads}
    with asked(
        _WORKER,
        question,
        "measures the bandwidth of memory",
        timeout=_TIMEOUT_SECONDS,
        has_files=False,
    ) as answer:
        return answer.wait()

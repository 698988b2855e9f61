"""What a run took on another number of threads (docs/roofline.md)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .decoding import Amount, Count, Record, Whole

_Text = Annotated[str, Meta(max_length=1000)]


class KernelTime(Record, frozen=True):
    """Milliseconds per step of a phase's ops of one kernel and code."""

    phase: _Text
    kernel: _Text
    impl: _Text
    time_ms: Amount


class Scaling(Record, frozen=True):
    """The op times of the same run, in a process of its own, on `n_threads`: on one where the run
    had several, on several where it had one; `n_depth` tokens stood before the prompt."""

    n_threads: Count
    n_depth: Whole
    kernels: Annotated[tuple[KernelTime, ...], Meta(max_length=10_000)]

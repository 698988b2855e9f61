"""The example profile with many decode steps, some of them disturbed while their attention ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from builders import DECODE, EXECUTED, HOST_MS, MS, PREFILL, Builder

from slmprof.profiles.vocabulary import PASS_OP, PASS_TIMING
from slmprof.views import Profile

N_REPEATS, N_GEN = 5, 50
# The node of the attention's scores.
SCORES = 5
HOST = sum(HOST_MS.values()) * MS


class At(NamedTuple):
    """Which step it is."""

    pass_: int
    phase: int
    repeat: int
    index: int


# How much longer a step takes, in milliseconds.
Disturbance = Callable[[At], float]


class DisturbedBuilder(Builder):
    """Unprofiled steps take as long as profiled ones would, had nothing disturbed them."""

    def __init__(self, extra_ms: Disturbance, growth_ms: float = 0.0) -> None:
        super().__init__()
        self._extra_ms = extra_ms
        self._growth_ms = growth_ms

    def times_ns(self, pass_: int, phase: int, repeat: int, index: int) -> dict[int, int]:
        """The spans of the ops by node."""
        spans = {node: span * MS // (1 if phase == PREFILL else 2) for node, _, _, span in EXECUTED}
        extra = self._extra_ms(At(pass_, phase, repeat, index)) + self._growth_ms * index
        return {**spans, SCORES: spans[SCORES] + int(extra * MS)}

    def op_step(self, phase: int, repeat: int, index: int, graph: int) -> None:
        spans = self.times_ns(PASS_OP, phase, repeat, index)
        begin = self.now
        step = self.step(phase, PASS_OP, repeat, index, HOST + sum(spans.values()) + MS // 10)
        at = begin
        for name in ("batch", "graph_build", "graph_alloc", "inputs"):
            at = self.segment(step, name, at)
        end = at + sum(spans.values())
        run = self.runs.add(step=step, graph=graph, n_threads=2, begin_ns=at, end_ns=end)
        for lane in (0, 1):
            start = at
            for node, n_fused, path, _ in EXECUTED:
                self.events.add(
                    run=run, node=node, n_fused=n_fused, lane=lane, path=self.text(path),
                    begin_ns=start, end_ns=start + spans[node] * (8 - 2 * lane) // 10,
                )  # fmt: skip
                start += spans[node]
        self.segment(step, "outputs", end)

    def timing_step(self, phase: int, repeat: int, index: int) -> None:
        spans = self.times_ns(PASS_TIMING, phase, repeat, index)
        self.step(phase, PASS_TIMING, repeat, index, HOST + sum(spans.values()))

    def repeat(self, repeat: int) -> None:
        self.timing_step(PREFILL, repeat, 0)
        for index in range(N_GEN):
            self.timing_step(DECODE, repeat, index)
        self.op_step(PREFILL, repeat, 0, graph=0)
        for index in range(N_GEN):
            self.op_step(DECODE, repeat, index, graph=1)


def disturbed_profile(extra_ms: Disturbance, growth_ms: float = 0.0) -> Profile:
    """Five repeats of a prompt and 50 tokens.

    Args:
        extra_ms: what the attention of each step takes longer.
        growth_ms: what it takes longer from token to token.
    """
    builder = DisturbedBuilder(extra_ms, growth_ms)
    builder.graph(16, n_kv=32)
    builder.graph(1, n_kv=32)
    builder.warmup()
    for repeat in range(N_REPEATS):
        builder.repeat(repeat)
    builder.device()
    return builder.build(n_repeats=N_REPEATS, n_repeats_done=N_REPEATS)


def some_steps(at: At) -> float:
    """Ten times as long for fifteen of 250 profiled decode steps."""
    is_decode = (at.pass_, at.phase) == (PASS_OP, DECODE)
    return 130.0 if is_decode and (at.repeat + at.index) % 17 == 7 else 0.0


def every_step(at: At) -> float:
    """Half as long again for all profiled decode steps."""
    return 8.0 if (at.pass_, at.phase) == (PASS_OP, DECODE) else 0.0

"""The example profile at several depths, its attention as long as a known line says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from builders import DECODE, MS, PREFILL, Builder
from meta_builder import N_GEN, N_PROMPT, N_REPEATS

from slmprof.profiles.vocabulary import PASS_OP, PASS_TIMING
from slmprof.views import Profile

# Of a step, in ns: attention takes ATTENTION[0] + ATTENTION[1] * n_past, the head always HEAD.
ATTENTION = {PREFILL: (4 * MS, 3200), DECODE: (2 * MS, 1000)}
HEAD = {PREFILL: 8 * MS, DECODE: 1 * MS}
HOST_NS = MS // 2
# Nodes of the example's graph.
SCORES, RESULT = 5, 6


class DepthBuilder(Builder):
    """Steps at the depth that stands in `depth`; `noise_ns` is added to attention, in turns."""

    def __init__(self, noise_ns: int = 0) -> None:
        super().__init__()
        self.depth = 0
        self._rng = np.random.default_rng(1)
        self._noise_ns = noise_ns

    def step(self, phase: int, pass_: int, repeat: int, index: int, duration_ns: int) -> int:
        row = super().step(phase, pass_, repeat, index, duration_ns)
        self.steps.rows[row]["depth"] = self.depth
        self.steps.rows[row]["n_past"] += self.depth
        return row

    def ops_ns(self, phase: int, index: int) -> dict[int, int]:
        n_past = self.depth + (N_PROMPT + index if phase == DECODE else 0)
        a, b = ATTENTION[phase]
        noise = int(self._rng.integers(-self._noise_ns, self._noise_ns + 1))
        return {SCORES: a + b * n_past + noise, RESULT: HEAD[phase]}

    def op_step(self, phase: int, repeat: int, index: int, graph: int) -> None:
        spans = self.ops_ns(phase, index)
        step = self.step(phase, PASS_OP, repeat, index, sum(spans.values()) + HOST_NS)
        end = self.now - HOST_NS
        at = end - sum(spans.values())
        run = self.runs.add(
            step=step, graph=graph, lane=0, n_threads=1, n_dropped=0, begin_ns=at, end_ns=end
        )
        self.masks.add(run=run, tensor=0, n_pairs=self.depth, n_keys=self.depth)
        self.segments.add(step=step, kind=0, begin_ns=end, end_ns=end + HOST_NS)
        for node, span in spans.items():
            self.events.add(
                run=run, node=node, n_fused=0, lane=0, path=-1, begin_ns=at,
                end_ns=at + span, convert=-1, convert_ns=0, resume_ns=0,
                n_experts=0,
            )  # fmt: skip
            at += span

    def repeat(self, repeat: int) -> None:
        for phase, count in ((PREFILL, 1), (DECODE, N_GEN)):
            for index in range(count):
                duration = sum(self.ops_ns(phase, index).values()) + HOST_NS
                self.step(phase, PASS_TIMING, repeat, index, duration)
            for index in range(count):
                self.op_step(phase, repeat, index, graph=phase)


def with_config(profile: Profile, **used: object) -> Profile:
    """The same profile, measured with other settings."""
    config = replace(profile.meta.config, **used)
    return replace(profile, meta=profile.meta.replace(config=config))


def profile_at(depths: Sequence[int], noise_ns: int = 0, **run: object) -> Profile:
    """A profile of two repeats at these depths, visited in this order."""
    builder = DepthBuilder(noise_ns)
    builder.graph(N_PROMPT, n_kv=32)
    builder.graph(1, n_kv=32)
    for repeat in range(N_REPEATS):
        for builder.depth in depths:
            if repeat == 0:
                builder.warmup()
            builder.repeat(repeat)
    profile = builder.build(**run)
    return with_config(profile, n_depth=tuple(depths) if len(depths) > 1 else depths[0])

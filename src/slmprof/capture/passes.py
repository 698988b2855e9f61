"""The passes of a capture: warm-up, then timing passes and op passes interleaved."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..profiles.vocabulary import PASS_OP, PASS_TIMING, PASS_WARMUP, PHASES
from .protocol import OnProgress, Progress
from .session import Chunk, Session, Tokens

# Warm-up ends when the last three passes differ by less than this share, or at one of the limits.
_STEADY_SPREAD = 0.05
_STEADY_PASSES = 3
_MOST_PASSES = 8
_MOST_SECONDS = 10.0
# Beyond this many events (about 100 MB in the file) statistics are kept in their place.
_MOST_EVENTS = 4_000_000


@dataclass
class Passes:
    """One capture's passes on an open session.

    Iterating yields chunks of a profile: first the warm-up (its steps, and the graphs), then one
    chunk for each complete repeat.
    """

    session: Session
    on_progress: OnProgress
    clock: Callable[[], float] = time.monotonic
    events: str = field(default="all", init=False)
    warmup: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        config = self.session.config
        self.prompt = self._prompt()
        config.check_tokens(len(self.prompt))
        # A model that only encodes has nothing to generate.
        n_gen = config.n_gen if self.session.context_info["has_memory"] else 0
        self.generated = self.session.random_tokens(n_gen)
        self.depth = self.session.random_tokens(config.n_depth)
        self.total = 2 * config.repeats + 1

    def __iter__(self) -> Iterator[Chunk]:
        self.on_progress(Progress("warm-up", 0, self.total))
        yield self._warm_up()
        done = 1
        for repeat in range(self.session.config.repeats):
            # Which of the two comes first alternates, so that a drift spoils neither.
            order = (PASS_TIMING, PASS_OP) if repeat % 2 == 0 else (PASS_OP, PASS_TIMING)
            for kind in order:
                name = "timing" if kind == PASS_TIMING else "ops"
                stage = f"repeat {repeat + 1}, {name}"
                self.on_progress(Progress(stage, done, self.total))
                self._pass(kind, repeat)
                done += 1
            yield self.session.take()
        self.on_progress(Progress("done", self.total, self.total))

    def _prompt(self) -> Tokens:
        config = self.session.config
        if config.prompt_file is not None:
            return self.session.read_prompt(config.prompt_file)
        return self.session.random_tokens(config.n_prompt)

    def _pass(self, kind: int, repeat: int) -> None:
        """Prompt and generation once, from the depth that is asked for."""
        session = self.session
        depth = len(self.depth)
        if not session.rewind(depth):
            session.fill(self.depth)
        aggregate = self.events == "aggregate"
        session.guard(lambda: session.engine.prefill(self.prompt, kind, repeat, depth, aggregate))
        if len(self.generated):
            session.guard(
                lambda: session.engine.decode(self.generated, kind, repeat, depth, aggregate)
            )

    def _warm_up(self) -> Chunk:
        """Passes until the latencies are steady, and one with hooks on to copy the graphs out.

        Their steps are kept as warm-up; what the hooks recorded in them is not.
        """
        session = self.session
        self._pass(PASS_OP, 0)
        chunk = session.take()
        self._choose_events(len(chunk["events"]["run"]) + len(chunk["stats"]["calls"]))
        kept = [chunk["steps"]]
        history: list[dict[int, float]] = []
        begin = self.clock()
        reason = "limit"
        while len(history) < _MOST_PASSES and self.clock() - begin < _MOST_SECONDS:
            self._pass(PASS_WARMUP, len(history) + 1)
            steps = session.take()["steps"]
            kept.append(steps)
            history.append(_latencies(steps))
            if _is_steady(history):
                reason = "steady"
                break
        n_passes = len(history) + 1
        phases = history[-1] if history else _latencies(chunk["steps"])
        self.warmup = {PHASES[p]: {"n_passes": n_passes, "reason": reason} for p in sorted(phases)}
        steps = {name: np.concatenate([part[name] for part in kept]) for name in chunk["steps"]}
        steps["pass"][:] = PASS_WARMUP
        empty: Chunk = {name: {} for name in ("segments", "runs", "events", "stats", "masks")}
        return {**chunk, **empty, "steps": steps}

    def _choose_events(self, n_events_of_pass: int) -> None:
        asked = self.session.config.events
        if asked == "auto":
            total = n_events_of_pass * self.session.config.repeats
            asked = "aggregate" if total > _MOST_EVENTS else "all"
        self.events = asked


def _latencies(steps: dict[str, Any]) -> dict[int, float]:
    """Median latency in ns of each phase of one pass."""
    latency = steps["end_ns"] - steps["begin_ns"]
    return {
        phase: float(np.median(latency[steps["phase"] == phase]))
        for phase in np.unique(steps["phase"]).tolist()
    }


def _is_steady(history: list[dict[int, float]]) -> bool:
    if len(history) < _STEADY_PASSES:
        return False
    recent = history[-_STEADY_PASSES:]
    for phase in recent[0]:
        values = [latencies[phase] for latencies in recent]
        if max(values) - min(values) > _STEADY_SPREAD * statistics.median(values):
            return False
    return True

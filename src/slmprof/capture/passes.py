"""The passes of a capture: warm-up, then timing passes and op passes interleaved."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..children.protocol import OnProgress, Progress
from ..profiles.all_tables import TABLES
from ..profiles.records.meta import Warmup
from ..profiles.vocabulary import (
    GPU,
    OPAQUE_DEVICE,
    PASS_OP,
    PASS_SPLIT,
    PASS_TIMING,
    PASS_WARMUP,
    PHASES,
)
from .session import Chunk, Session
from .token_ids import Tokens

# Warm-up ends when the last three passes differ by less than this share, or at one of the limits.
_STEADY_SPREAD = 0.05
_STEADY_PASSES = 3
_MOST_PASSES = 8
_MOST_SECONDS = 10.0
# Beyond this many events (about 100 MB in the file) statistics are kept in their place.
_MOST_EVENTS = 4_000_000

# Tables about what was recorded of single steps.
_OF_STEPS = (
    "stats",
    *(
        table.NAME
        for table in TABLES
        if {column.row_of for column in table.schema().values()} & {"steps", "runs"}
    ),
)

_STAGES = {PASS_TIMING: "timing", PASS_OP: "ops", PASS_SPLIT: "splits"}


@dataclass
class Passes:
    """One capture's passes on an open session.

    Iterating yields chunks of a profile: first the warm-up (its steps, and the graphs), then one
    chunk for each complete repeat. A repeat visits every depth, and at each of them makes the
    timing pass and the op pass one right after the other; where a device tells nothing of its ops,
    a split pass, too.

    Attributes:
        wait_for_turn: returns when the next repeat may begin, where other processes run in between.
    """

    session: Session
    on_progress: OnProgress
    wait_for_turn: Callable[[], None] | None = None
    clock: Callable[[], float] = time.monotonic
    events: Literal["all", "aggregate"] = field(default="all", init=False)
    kinds: tuple[int, ...] = field(default=(PASS_TIMING, PASS_OP), init=False)
    warmup: dict[str, Warmup] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        config = self.session.config
        self.depths = sorted(config.n_depths)
        self.prompt = self._prompt()
        config.check_tokens(len(self.prompt))
        # A model that only encodes has nothing to generate.
        n_gen = config.n_gen if self.session.context_info["has_memory"] else 0
        self.generated = self.session.random_tokens(n_gen)
        # What stands before the prompt at a smaller depth is the beginning of this.
        self.before = self.session.random_tokens(self.depths[-1])
        self._n_filled = 0

    @property
    def total(self) -> int:
        """How many passes there will be, the warm-up counted as one."""
        return len(self.kinds) * len(self.depths) * self.session.config.repeats + 1

    def __iter__(self) -> Iterator[Chunk]:
        self.on_progress(Progress("warm-up", 0, self.total))
        yield self._warm_up()
        self.session.reach("warm-up")
        done = 1
        for repeat in range(self.session.config.repeats):
            # Which comes first alternates, so that a drift spoils none of them.
            order = self.kinds if repeat % 2 == 0 else self.kinds[::-1]
            # There and back: a steady drift then hits all depths alike over two repeats, and what
            # fills the deepest context needs to be computed once for both.
            depths = self.depths if repeat % 2 == 0 else self.depths[::-1]
            if self.wait_for_turn is not None:
                self.session.wait(self.wait_for_turn)
            self._fill_caches(depths[0])
            for depth, kind in itertools.product(depths, order):
                self.on_progress(Progress(self._stage(repeat, depth, kind), done, self.total))
                self._pass(kind, repeat, depth)
                done += 1
            self.session.reach("repeat")
            if repeat == self.session.config.repeats - 1:
                self.session.reach("end")
            yield self.session.take()
        self.on_progress(Progress("done", self.total, self.total))

    def _prompt(self) -> Tokens:
        config = self.session.config
        if config.prompt_file is not None:
            self.on_progress(Progress("reading the prompt", 0, self.total))
            return self.session.read_prompt(config.prompt_file)
        return self.session.random_tokens(config.n_prompt)

    def _stage(self, repeat: int, depth: int, kind: int) -> str:
        where = f", depth {depth}" if len(self.depths) > 1 else ""
        return f"repeat {repeat + 1}{where}, {_STAGES[kind]}"

    def go_to(self, depth: int) -> None:
        """Leaves the context with the first `depth` tokens of `before` in it."""
        kept = min(self._n_filled, depth)
        # A recurrent state cannot be cut back: it is computed anew.
        kept = kept if self.session.rewind(kept) else 0
        if kept < depth:
            self.session.fill(self.before[kept:depth])
        self._n_filled = depth

    def _fill_caches(self, depth: int) -> None:
        """One unmeasured token, where a monitor or another process has left the processor's caches
        cold: each pass then begins as one that follows on another."""
        session = self.session
        # What an encoder has read it does not keep: there is nothing to add a token to.
        keeps = session.context_info["has_memory"] and not session.model_info["has_encoder"]
        is_cold = session.leaves_caches_cold or self.wait_for_turn is not None
        if is_cold and keeps:
            self.go_to(depth)
            session.fill(self.prompt[:1])

    def _pass(self, kind: int, repeat: int, depth: int, observe: bool = False) -> None:
        """Prompt and generation once, from this depth on.

        Args:
            observe: whether the monitors look after each of the two.
        """
        session = self.session
        self.go_to(depth)
        aggregate = self.events == "aggregate"
        session.guard(lambda: session.engine.prefill(self.prompt, kind, repeat, depth, aggregate))
        if observe:
            session.reach("prefill")
        if len(self.generated):
            session.guard(
                lambda: session.engine.decode(self.generated, kind, repeat, depth, aggregate)
            )
            if observe:
                session.reach("decode")

    def _warm_up(self) -> Chunk:
        """Passes until the latencies are steady, and before them one with hooks on at every depth.

        Those copy the graphs out and touch the buffers; in the deepest one memory is observed.
        Which passes are steady is found out at the smallest depth. The steps are kept as warm-up;
        what the hooks recorded in them is not.
        """
        session = self.session
        for depth in self.depths:
            self._pass(PASS_OP, 0, depth, depth == self.depths[-1])
        chunk = session.take()
        kinds = {chunk["strings"][kind] for kind in chunk["lanes"]["kind"]}
        if kinds & {OPAQUE_DEVICE, GPU}:
            # A device that tells nothing of its ops runs them one by one in an op pass; where
            # kernels are recorded, a split pass tells what it costs to record graphs alone.
            self.kinds = (PASS_TIMING, PASS_SPLIT, PASS_OP)
        self._choose_events(len(chunk["events"]["run"]) + len(chunk["stats"]["calls"]))
        kept = [chunk["steps"]]
        history: list[dict[int, float]] = []
        begin = self.clock()
        reason = "limit"
        while len(history) < _MOST_PASSES and self.clock() - begin < _MOST_SECONDS:
            self._pass(PASS_WARMUP, len(history) + 1, self.depths[0])
            steps = session.take()["steps"]
            kept.append(steps)
            history.append(_latencies(steps))
            if _is_steady(history):
                reason = "steady"
                break
        n_passes = len(self.depths) + len(history)
        phases = history[-1] if history else _latencies(chunk["steps"])
        self.warmup = {PHASES[p]: Warmup(n_passes, reason) for p in sorted(phases)}
        steps = {name: np.concatenate([part[name] for part in kept]) for name in chunk["steps"]}
        steps["pass"][:] = PASS_WARMUP
        empty: Chunk = {name: {} for name in _OF_STEPS}
        return {**chunk, **empty, "steps": steps}

    def _choose_events(self, n_events_of_repeat: int) -> None:
        config = self.session.config
        # All processes of a run become one profile.
        is_much = n_events_of_repeat * config.repeats * config.processes > _MOST_EVENTS
        if config.events == "aggregate" or (config.events == "auto" and is_much):
            self.events = "aggregate"


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

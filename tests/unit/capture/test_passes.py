"""The order of a capture's passes, and what stands in the context before each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from slmprof.capture.passes import Passes
from slmprof.children.protocol import Progress
from slmprof.profiles.tables import StepTable
from slmprof.profiles.vocabulary import PASS_OP, PASS_TIMING, PASS_WARMUP
from slmprof.settings.capture import CaptureConfig


class FakeSession:
    """A session whose context is a list of tokens; every step takes the same time."""

    def __init__(self, config: CaptureConfig, can_cut: bool) -> None:
        self.config = config
        self.leaves_caches_cold = False
        self.can_cut = can_cut
        self.context_info = {"has_memory": True}
        self.model_info = {"has_encoder": False}
        self.engine = self
        self.context: list[int] = []
        self.n_filled = 0
        self.visits: list[tuple[int, int, int]] = []
        self.before: list[int] = []
        self.observed: list[tuple[str, int]] = []
        self.lanes = ["cpu_thread", "cpu_thread"]
        self._rows: list[dict[str, int]] = []
        self._rng = np.random.default_rng(0)

    def random_tokens(self, n: int) -> Any:
        return self._rng.integers(0, 1000, n)

    def reach(self, point: str) -> None:
        self.observed.append((point, len(self.context)))

    def guard(self, call: Callable[[], Any]) -> Any:
        return call()

    def rewind(self, n: int) -> bool:
        if n and not (self.can_cut and n <= len(self.context)):
            self.context = []
            return False
        del self.context[n:]
        return True

    def fill(self, tokens: Any) -> None:
        assert len(tokens)
        self.n_filled += len(tokens)
        self.context += tokens.tolist()

    def prefill(self, tokens: Any, kind: int, repeat: int, depth: int, _: bool) -> None:
        assert len(self.context) == depth
        self.visits.append((kind, repeat, depth))
        self.before.append(hash(tuple(self.context)))
        self._step(0, tokens, kind, repeat, depth)

    def decode(self, tokens: Any, kind: int, repeat: int, depth: int, _: bool) -> None:
        for token in tokens:
            self._step(1, np.array([token]), kind, repeat, depth)

    def _step(self, phase: int, tokens: Any, kind: int, repeat: int, depth: int) -> None:
        self.context += tokens.tolist()
        row = dict.fromkeys(StepTable.schema(), 0)
        self._rows.append({**row, "phase": phase, "pass": kind, "repeat": repeat, "depth": depth,
                           "end_ns": 1000})  # fmt: skip

    def take(self) -> dict[str, Any]:
        rows, self._rows = self._rows, []
        steps = {name: np.array([row[name] for row in rows]) for name in StepTable.schema()}
        told = {"lanes": {"kind": range(len(self.lanes))}, "strings": self.lanes}
        self.lanes = []
        return {"steps": steps, "events": {"run": []}, "stats": {"calls": []}, **told}


def run(can_cut: bool, **settings: Any) -> tuple[FakeSession, list[dict[str, Any]], list[Progress]]:
    session = FakeSession(CaptureConfig("m", **settings), can_cut)
    progress: list[Progress] = []
    chunks = list(Passes(session, progress.append, clock=lambda: 0.0))  # type: ignore[arg-type]
    return session, chunks, progress


@pytest.mark.parametrize("can_cut", [True, False])
def test_every_repeat_visits_every_depth(can_cut: bool) -> None:
    session, chunks, progress = run(can_cut, n_depth=(512, 0, 64), n_gen=2, repeats=3)
    measured = [visit for visit in session.visits if visit[0] != PASS_WARMUP][3:]
    timing, ops = PASS_TIMING, PASS_OP
    assert measured == [
        *((kind, 0, depth) for depth in (0, 64, 512) for kind in (timing, ops)),
        *((kind, 1, depth) for depth in (512, 64, 0) for kind in (ops, timing)),
        *((kind, 2, depth) for depth in (0, 64, 512) for kind in (timing, ops)),
    ]
    assert len(chunks) == 4
    assert [stage.done for stage in progress] == list(range(20))
    assert {stage.total for stage in progress} == {19}
    # The same tokens stand before the prompt whenever a depth is visited.
    seen: dict[int, set[int]] = {}
    for (_, _, depth), before in zip(session.visits, session.before, strict=True):
        seen.setdefault(depth, set()).add(before)
    assert all(len(contexts) == 1 for contexts in seen.values())


def test_warm_up_sees_every_depth_and_is_kept_apart() -> None:
    _, chunks, _ = run(True, n_depth=(0, 64), n_gen=2, repeats=1)
    steps = chunks[0]["steps"]
    assert set(steps["pass"].tolist()) == {PASS_WARMUP}
    assert set(steps["depth"].tolist()) == {0, 64}
    assert chunks[0]["events"] == {}


def test_memory_is_observed_at_the_deepest_of_the_warm_up_and_at_the_end() -> None:
    session, _, _ = run(True, n_depth=(64, 0, 512), n_prompt=5, n_gen=2, repeats=2)
    # The second repeat ends at the smallest depth.
    assert [visit for visit in session.observed if visit[0] != "repeat"] == [
        ("prefill", 517), ("decode", 519), ("warm-up", 7), ("end", 7)
    ]  # fmt: skip
    # A monitor that begins after the warm-up has seen each complete repeat, the last one too.
    assert [point for point, _ in session.observed][2:] == ["warm-up", "repeat", "repeat", "end"]


def test_what_stands_in_the_context_is_computed_once_there_and_back() -> None:
    session, _, _ = run(True, n_depth=(0, 64, 512), n_gen=2, repeats=4)
    # Warm-up, repeats 1 and 2, repeats 3 and 4.
    assert session.n_filled == 3 * 512


def test_one_depth_is_filled_once() -> None:
    session, _, progress = run(True, n_depth=64, n_gen=2, repeats=4)
    assert session.n_filled == 64
    assert progress[1].stage == "repeat 1, timing"


def test_a_state_that_cannot_be_cut_is_computed_again() -> None:
    session, _, _ = run(False, n_depth=64, n_gen=2, repeats=2)
    assert session.n_filled == 64 * len(session.visits)


@pytest.mark.parametrize("can_cut", [True, False])
def test_caches_that_a_monitor_left_cold_are_filled_before_each_repeat(can_cut: bool) -> None:
    session = FakeSession(CaptureConfig("m", n_depth=(0, 8), n_gen=2, repeats=2), can_cut)
    session.leaves_caches_cold = True
    steps = [chunk["steps"] for chunk in Passes(session, print, clock=lambda: 0.0)]
    plain = FakeSession(session.config, can_cut)
    wanted = [chunk["steps"] for chunk in Passes(plain, print, clock=lambda: 0.0)]
    # One token each, that no step is of, at the depth where the repeat begins.
    assert session.n_filled > plain.n_filled and session.visits == plain.visits
    if can_cut:
        assert session.n_filled == plain.n_filled + 2
    assert [len(one["pass"]) for one in steps] == [len(one["pass"]) for one in wanted]


def test_events_of_all_processes_are_kept_while_they_are_not_too_many() -> None:
    for processes, expected in ((1, "all"), (3, "aggregate")):
        config = CaptureConfig("m", repeats=2, processes=processes)
        passes = Passes(FakeSession(config, True), lambda _: None)
        passes._choose_events(1_000_000)
        assert passes.events == expected


def test_a_model_that_keeps_nothing_of_its_prompt_gets_no_token_more() -> None:
    session = FakeSession(CaptureConfig("m", n_gen=2, repeats=2), True)
    session.leaves_caches_cold = True
    session.model_info = {"has_encoder": True}
    list(Passes(session, print, clock=lambda: 0.0))
    assert session.n_filled == 0

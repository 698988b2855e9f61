"""The order of the energy windows, what stands in the context in them, and what ends them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from energy_builder import ScriptedCounter

from slmprof.capture.energy import EnergyPasses
from slmprof.children.protocol import Progress
from slmprof.errors import EngineError
from slmprof.machine.energy.find import Counters
from slmprof.profiles.records.energy import Energy, EnergyRefusal
from slmprof.profiles.records.load import Load
from slmprof.profiles.vocabulary import PASS_TIMING

PROMPT, GENERATED = np.arange(5), np.arange(10)
SECOND_NS = 10**9


class FakeRun:
    """Passes, session and engine in one; a prompt takes 1 s, a token 0.25 s."""

    def __init__(self, *, depth: int = 0, can_cut: bool = True, n_ctx: int = 100) -> None:
        self.prompt, self.generated = PROMPT, GENERATED
        self.depths, self.total = [depth], 7
        self.session = self.engine = self
        self.context_info = {"n_ctx": n_ctx}
        self.can_cut, self.n_past, self.now_ns = can_cut, 0, 0
        self.log: list[str] = []
        self.n_taken = 0
        self.fails_at = -1

    def guard(self, call: Callable[[], Any]) -> Any:
        return call()

    def rewind(self, n: int) -> bool:
        assert n <= self.n_past
        if n and n < self.n_past and not self.can_cut:
            self.n_past = 0
            return False
        self.n_past = n
        return True

    def go_to(self, depth: int) -> None:
        if self.n_past and not self.rewind(min(depth, self.n_past)):
            self.n_past = 0
        self.n_past = depth

    def prefill(self, tokens: Any, kind: int, _: int, depth: int) -> None:
        assert kind == PASS_TIMING and self.n_past == depth == self.depths[0]
        self._run("prefill", len(tokens), 1.0)

    def decode(self, tokens: Any, kind: int, _: int, __: int) -> None:
        assert kind == PASS_TIMING and self.n_past >= self.depths[0] + len(PROMPT)
        self._run("decode", len(tokens), 0.25 * len(tokens))

    def _run(self, what: str, n_tokens: int, seconds: float) -> None:
        if len(self.log) == self.fails_at:
            raise EngineError("llama.cpp failed")
        self.log.append(what)
        self.n_past += n_tokens
        assert self.n_past <= self.context_info["n_ctx"]
        self.now_ns += int(seconds * SECOND_NS)

    def rest(self) -> None:
        self.log.append("rest")

    def take(self) -> None:
        self.n_taken += 1

    def sleep(self, seconds: float) -> None:
        self.log.append("sleep")
        self.now_ns += int(seconds * SECOND_NS)


def measured(
    run: FakeRun, counter: ScriptedCounter | None = None, **how: Any
) -> tuple[Energy, list[Progress]]:
    told: list[Progress] = []
    refusals = [EnergyRefusal("remote", "rpc:h:1")]
    counters = [counter or ScriptedCounter()] if how.pop("has_counter", True) else []

    def meter() -> Any:
        return SimpleNamespace(load=lambda: Load(core_seconds=1.0))

    passes: Any = run
    found = EnergyPasses(
        passes, Counters(list(counters), refusals), 10.0, told.append,
        clock_ns=lambda: run.now_ns, sleep=run.sleep, meter=meter, n_rounds=how.pop("n_rounds", 2),
    )  # fmt: skip
    return found.measure(), told


def test_windows_go_there_and_back_beside_idle_ones() -> None:
    run = FakeRun()
    energy, told = measured(run)
    assert [(one.state, one.round) for one in energy.windows] == [
        ("idle", 0), ("prefill", 0), ("decode", 0), ("decode", 1), ("prefill", 1), ("idle", 1),
    ]  # fmt: skip
    assert [one.stage for one in told] == [f"energy, window {n} of 6" for n in range(1, 7)]
    # What is measured apart from the run takes nothing from the time that it may take.
    assert {(one.done, one.total, one.is_timed) for one in told} == {(7, 7, False)}
    assert energy.refusals == (EnergyRefusal("remote", "rpc:h:1"),)
    assert energy.sources == (ScriptedCounter.source,) and energy.n_depth == 0
    # Steps are taken out of the recorder, and count nowhere.
    assert run.n_taken == 2


def test_windows_last_at_least_as_long_as_asked_and_hold_whole_steps() -> None:
    energy, _ = measured(FakeRun())
    by_state = {one.state: one for one in energy.windows if one.round == 0}
    assert (by_state["idle"].n_steps, by_state["idle"].duration_ns) == (0, 10 * SECOND_NS)
    assert (by_state["prefill"].n_steps, by_state["prefill"].duration_ns) == (10, 10 * SECOND_NS)
    decode = by_state["decode"]
    assert decode.duration_ns >= 10 * SECOND_NS
    # Tokens alone: no prompt within the window.
    assert decode.duration_ns == decode.n_steps * SECOND_NS // 4


def test_the_threads_rest_before_an_idle_window() -> None:
    run = FakeRun()
    measured(run)
    first = run.log.index("rest")
    assert run.log[first : first + 3] == ["rest", "sleep", "sleep"]
    # What comes next settles, too: a second of prompts before the ten of the window.
    assert run.log[first + 3 : first + 14] == ["prefill"] * 11


def test_without_a_counter_nothing_runs() -> None:
    run = FakeRun()
    energy, told = measured(run, has_counter=False)
    assert run.log == [] and told == []
    assert energy.windows == () and len(energy.refusals) == 1


def test_generation_begins_again_behind_the_prompt_at_any_depth() -> None:
    run = FakeRun(depth=32, n_ctx=32 + len(PROMPT) + len(GENERATED))
    energy, _ = measured(run)
    assert energy.n_depth == 32
    assert len(energy.windows) == 6 and len(energy.refusals) == 1


def test_a_state_that_cannot_be_cut_goes_on_generating() -> None:
    run = FakeRun(can_cut=False, n_ctx=200)
    energy, _ = measured(run)
    decode = next(one for one in energy.windows if one.state == "decode")
    assert decode.n_steps > len(GENERATED)
    assert len(energy.windows) == 6


def test_a_context_that_ends_within_a_window_is_refused() -> None:
    energy, _ = measured(FakeRun(can_cut=False, n_ctx=30))
    assert [one.state for one in energy.windows] == ["idle", "prefill", "prefill", "idle"]
    assert energy.refusals[1:] == (EnergyRefusal("context_full", phase="decode"),)


def test_a_depth_that_would_be_computed_again_is_refused() -> None:
    energy, _ = measured(FakeRun(depth=16, can_cut=False))
    assert energy.windows == ()
    assert [(one.reason, one.phase) for one in energy.refusals[1:]] == [
        ("not_repeatable", "prefill"), ("not_repeatable", "decode"),
    ]  # fmt: skip


def test_a_model_that_only_encodes_has_no_windows_of_decode() -> None:
    run = FakeRun()
    run.generated = GENERATED[:0]
    energy, _ = measured(run)
    assert {one.state for one in energy.windows} == {"idle", "prefill"}


def test_what_fails_is_a_refusal_that_keeps_the_windows_before() -> None:
    run = FakeRun()
    run.fails_at = 20
    energy, _ = measured(run)
    assert energy.windows and energy.refusals[-1] == EnergyRefusal(
        "failed", detail="llama.cpp failed"
    )
    counter = ScriptedCounter()
    counter.failure = PermissionError(13, "Permission denied")
    energy, _ = measured(FakeRun(), counter)
    assert energy.refusals[-1] == EnergyRefusal("not_readable", detail="Permission denied")


def test_energy_is_of_a_single_run(tmp_path: Any) -> None:
    from slmprof.capture.comparison import find_entries
    from slmprof.errors import UsageError

    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(UsageError, match="--energy is of a single run"):
        find_entries([path, path], {"energy": True})

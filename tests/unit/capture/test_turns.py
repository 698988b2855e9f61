"""Rounds of workers that take turns, without an engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from builders import example_profile

from slmprof.capture import turns
from slmprof.capture.turns import Worker, run_round
from slmprof.errors import EngineError
from slmprof.settings.capture import CaptureConfig


class Fake(Worker):
    """Has so many turns after its first, in which it warms up; says what happens to it."""

    said: list[str]
    size_bytes = 100

    def __init__(self, name: str, n_turns: int = 2, fails_at: int | None = None) -> None:
        super().__init__(CaptureConfig(name), lambda _: None)
        self.n_turns, self.fails_at, self.done = n_turns, fails_at, -1

    @contextlib.contextmanager
    def started(self, *, takes_turns: bool) -> Iterator[None]:
        self.said.append(f"{self.config.model} {'waits' if takes_turns else 'is alone'}")
        try:
            yield
        finally:
            self.said.append(f"{self.config.model} is gone")

    def take_turn(self) -> bool:
        self.done += 1
        self.said.append(f"{self.config.model}{self.done}")
        if self.done == self.fails_at:
            raise EngineError("died")
        return self.done < self.n_turns

    def collect(self) -> None:
        self.profile = example_profile()
        self.said.append(f"{self.config.model} is collected")

    @property
    def resident_bytes(self) -> int:
        return self.size_bytes


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(Fake, "said", heard, raising=False)
    monkeypatch.setattr(turns, "available_bytes", lambda: None)
    return heard


def test_all_warm_up_and_then_take_turns_there_and_back(said: list[str]) -> None:
    workers = [Fake("a"), Fake("b"), Fake("c")]
    run_round(workers)
    steps = [text for text in said if " " not in text]
    assert steps == ["a0", "b0", "c0", "a1", "b1", "c1", "c2", "b2", "a2"]
    assert said[:2] == ["a waits", "a0"]
    assert said[-6:] == [
        *(f"{name} is collected" for name in "abc"),
        *(f"{name} is gone" for name in "cba"),
    ]
    assert all(worker.profile is not None for worker in workers)


def test_one_alone_has_nobody_to_wait_for(said: list[str]) -> None:
    run_round([Fake("a")])
    assert said == ["a is alone", "a0", "a1", "a2", "a is collected", "a is gone"]


def test_some_have_more_repeats_than_others(said: list[str]) -> None:
    run_round([Fake("a", 3), Fake("b", 1)])
    assert [text for text in said if " " not in text] == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_what_fails_ends_all(said: list[str]) -> None:
    with pytest.raises(EngineError, match="died"):
        run_round([Fake("a"), Fake("b", fails_at=1)])
    assert said[-2:] == ["b is gone", "a is gone"]
    assert "a is collected" not in said


@pytest.mark.parametrize(("available", "together"), [(201, True), (200, False)])
def test_what_memory_does_not_hold_runs_one_after_the_other(
    said: list[str], monkeypatch: pytest.MonkeyPatch, available: int, together: bool
) -> None:
    monkeypatch.setattr(turns, "available_bytes", lambda: available)
    run_round([Fake("a"), Fake("b")])
    steps = [text for text in said if " " not in text]
    if together:
        assert steps == ["a0", "b0", "a1", "b1", "b2", "a2"]
    else:
        assert steps == ["a0", "a1", "a2", "b0", "b1", "b2"]


def test_a_failure_has_the_profile_of_its_complete_repeats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Answer:
        folder = "nowhere"

        def take_turn(self, _: Any) -> bool:
            raise EngineError("llama.cpp died")

    made = example_profile()
    assert made.meta.run.n_repeats_done
    monkeypatch.setattr(Worker, "_assemble", lambda *_: made)
    monkeypatch.setattr(turns, "_check_model", lambda _: None)
    worker = Worker(CaptureConfig("a.gguf"), lambda _: None)
    monkeypatch.setattr(worker, "_answer", Answer(), raising=False)
    with pytest.raises(EngineError, match=r"llama\.cpp died") as caught:
        worker.take_turn()
    assert caught.value.profile is made and worker.error is caught.value

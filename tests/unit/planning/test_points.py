"""The points of a grid: what is found of each is not lost when the child dies of the next."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from plan_builder import CONFIG, example_plan, example_report

from slmprof.errors import EngineError, ModelError, UsageError
from slmprof.planning import process
from slmprof.planning.points import Found, Outcome, Points
from slmprof.planning.records import Fit, MemoryPlan
from slmprof.settings.planning import AskedPlan, MemoryRequest

MODULE = "a_planner_of_tests"
FIT = Fit(CONFIG, "Q8_0", 1, 8.5, 512, True, {"total": 5})


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def settings(*n_ctx: int) -> list[AskedPlan]:
    return list(MemoryRequest.of("m.gguf", n_ctx=list(n_ctx)).settings())


def test_every_outcome_is_told() -> None:
    told: list[Any] = []
    points = Points([], told.append)
    first, second, third = settings(1, 2, 3)
    assert points.outcome(first, lambda _: example_plan()).plan == example_plan()
    assert points.outcome(second, lambda _: FIT).fit == FIT

    def refuse(_: AskedPlan) -> MemoryPlan:
        raise EngineError("not allowed")

    refusal = points.outcome(third, refuse).refusal
    assert refusal is not None and refusal.message == "not allowed" and not refusal.died
    assert refusal.config.n_ctx == 3
    assert [part.get("begun") for part in told] == [0, None, 1, None, 2, None]
    found = Found()
    found.take(as_json(told))
    assert len(found.known) == 3 and found.plans == [as_json(example_plan().to_json())]


def test_a_model_at_fault_is_kept_apart() -> None:
    points = Points([], lambda _: None)

    def fail(_: AskedPlan) -> MemoryPlan:
        raise ModelError("no kernel")

    assert points.outcome(settings(1)[0], fail).refusal is not None
    assert str(points.model_error) == "no kernel"

    def refuse(_: AskedPlan) -> MemoryPlan:
        raise UsageError("no such type")

    points.outcome(settings(2)[0], refuse)
    assert points.model_error is None


def test_the_next_child_goes_on_behind_what_the_first_one_died_of() -> None:
    told: list[Any] = []

    def die(_: AskedPlan) -> MemoryPlan:
        raise KeyboardInterrupt

    points = Points([], told.append)
    grid = settings(1, 2, 3, 4)
    points.outcome(grid[0], lambda _: example_plan())
    points.outcome(grid[1], lambda _: FIT)
    with pytest.raises(KeyboardInterrupt):
        points.outcome(grid[2], die)
    found = Found()
    found.take(as_json(told))
    assert found.give_up(as_json(told), "died of SIGABRT")
    again: list[Any] = []
    points = Points(as_json(found.known), again.append)
    outcomes = [points.outcome(setting, lambda _: example_plan()) for setting in grid]
    assert outcomes[0] == Outcome() and outcomes[1] == Outcome(fit=FIT)
    refusal = outcomes[2].refusal
    assert refusal is not None and refusal.died and refusal.message == "died of SIGABRT"
    assert refusal.config.n_ctx == 3 and outcomes[3].plan is not None
    assert [part["begun"] for part in again if "begun" in part] == [3]


def test_what_an_answer_can_do_without_is_left_out_if_it_kills() -> None:
    told: list[Any] = []
    points = Points([], told.append)
    assert points.extra(lambda: 5) == 5
    found = Found()
    found.take(told)
    assert found.known == [{"plan": None, "fit": None, "refusal": None}]
    found = Found()
    assert found.give_up(told[:1], "died")
    assert Points(found.known, told.append).extra(lambda: 5) is None


def test_a_death_between_points_is_none_of_theirs() -> None:
    assert not Found().give_up([], "died")
    assert not Found().give_up([{"outcome": Outcome().to_json()}], "died")


def planned_by(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deadly: Sequence[int]
) -> MemoryRequest:
    """A grid whose child dies of some contexts."""
    report = as_json(example_report(settings=(), varying=("n_ctx",)).to_json())
    plan = as_json(example_plan().to_json())
    (tmp_path / f"{MODULE}.py").write_text(
        textwrap.dedent(f"""
        import json, os, sys
        from slmprof.children.serving import serve
        from slmprof.errors import EngineError
        from slmprof.planning.points import Points
        from slmprof.planning.records import MemoryPlan, MemoryReport
        from slmprof.profiles.records.decoding import decode
        from slmprof.settings.planning import MemoryRequest

        def make(setting):
            if setting.n_ctx in {list(deadly)!r}:
                print("x.cpp:1: GGML_ASSERT(false) failed", file=sys.stderr, flush=True)
                os.abort()
            plan = decode(MemoryPlan, json.loads({json.dumps(plan)!r}))
            return plan.replace(notes=(str(setting.n_ctx),))

        def answer(question, folder, parent):
            points = Points(question["known"], parent.hand_over)
            request = MemoryRequest.from_json(question["request"])
            found = [points.outcome(setting, make) for setting in request.settings()]
            refusals = [one.refusal.to_json() for one in found if one.refusal]
            if len(refusals) == len(found):
                raise EngineError(refusals[0]["message"])
            return {{**json.loads({json.dumps(report)!r}), "refusals": refusals}}

        serve("plan", answer)
        """)
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(process, "_WORKER", MODULE)
    monkeypatch.setattr(process, "check_source", lambda _: None)
    return MemoryRequest.of("m.gguf", n_ctx=[1, 2, 3, 4])


def test_a_point_fails_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with process.planning(planned_by(monkeypatch, tmp_path, [2, 3])) as plan:
        report = plan.result()
    assert [one.notes for one in report.settings] == [("1",), ("4",)]
    assert [(one.config.n_ctx, one.died) for one in report.refusals] == [(2, True), (3, True)]
    assert "SIGABRT" in report.refusals[0].message
    assert "GGML_ASSERT(false)" in report.refusals[0].message


def test_where_every_point_is_fatal_the_first_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    request = planned_by(monkeypatch, tmp_path, [1, 2, 3, 4])
    with process.planning(request) as plan, pytest.raises(EngineError, match="GGML_ASSERT"):
        plan.result()


def test_a_single_point_that_is_fatal_brings_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planned_by(monkeypatch, tmp_path, [7])
    request = MemoryRequest.of("m.gguf", n_ctx=7)
    with process.planning(request) as plan, pytest.raises(EngineError, match="SIGABRT") as caught:
        plan.result()
    assert any("GGML_ASSERT" in line for line in caught.value.log_lines)

"""The recorder's reduction of events, held against the one of stored events: the same scripts."""

from __future__ import annotations

import json
import os
import random
import subprocess
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slmprof.analysis.timing.spans import op_spans, reduce_spans
from slmprof.profiles.reduction import merge_stats
from slmprof.profiles.tables import EventTable, LaneTable, RunTable, StatTable, StepTable

PROGRAM = os.environ.get("SLMPROF_NATIVE_TESTS")
pytestmark = pytest.mark.skipif(
    not PROGRAM,
    reason="SLMPROF_NATIVE_TESTS does not name the program native-tests (see CONTRIBUTING.md)",
)

# Codes of csrc/record/hooks.h: a dot product of q4_K and q8_K, a tiled product, nothing told.
VEC_DOT, TILED, UNTOLD = 1 << 24 | 12 << 7 | 15, 2 << 24 | 12 << 7 | 15, 0


@dataclass
class Op:
    """One op on one lane; times in ticks, `convert` and `resume` 0 where it does not."""

    lane: int
    node: int
    begin: int
    end: int
    n_fused: int = 0
    path: int = UNTOLD
    is_last: bool = False
    convert: int = 0
    resume: int = 0
    n_experts: int = 0

    def __str__(self) -> str:
        return (
            f"op {self.lane} {self.node} {self.n_fused} {self.path} {self.begin} {self.end} "
            f"{int(self.is_last)} {self.convert} {self.resume} {self.n_experts}"
        )


@dataclass
class Script:
    """What one recorder is given."""

    n_lanes: int = 2
    capacity: int = 1024
    is_exact: bool = False
    ns_per_tick: float = 1.0
    lines: list[str] = field(default_factory=list)

    def run(
        self, ops: list[Op], end: int, *, graph: int = 0, phase: int = 1, depth: int = 0
    ) -> None:
        begin = min(op.begin for op in ops) - 10
        self.lines.append(f"run {graph} {phase} {depth} {begin} {self.n_lanes}")
        self.lines += [str(op) for op in sorted(ops, key=lambda op: (op.lane, op.begin))]
        self.lines.append(f"end {end}")

    def __str__(self) -> str:
        head = f"{self.n_lanes} {self.capacity} {int(self.is_exact)} {self.ns_per_tick!r}"
        return "\n".join([head, *self.lines, "collect\n"])


def plain() -> Script:
    script = Script()
    for start in (100, 1100):
        ops = [Op(0, 0, start, start + 80), Op(1, 0, start + 7, start + 91, is_last=True)]
        ops += [Op(0, 1, start + 95, start + 300), Op(1, 1, start + 91, start + 222)]
        script.run(ops, start + 310)
    return script


def fused() -> Script:
    script = Script(n_lanes=3)
    ops = [Op(lane, 0, 100, 130 + lane, n_fused=1) for lane in range(3)]
    ops += [Op(lane, 2, 140, 200 - lane, n_fused=2) for lane in range(3)]
    script.run(ops, 205)
    return script


def conversions(*, is_exact: bool) -> Script:
    script = Script(is_exact=is_exact)
    product = {"path": VEC_DOT}
    ops = [
        Op(0, 0, 1000, 1900, convert=1100, resume=1250 if is_exact else 0, **product),
        Op(1, 0, 1010, 1950, convert=1200, is_last=True, **product),
        Op(0, 3, 2000, 2500, convert=2200, is_last=True, **product),
        Op(1, 3, 2010, 2400, convert=2100, resume=2230 if is_exact else 0, **product),
        Op(0, 4, 2500, 2510),
        Op(1, 4, 2515, 2520),
    ]
    script.run(ops, 2600)
    return script


def dropped() -> Script:
    script = Script(capacity=5)
    for start in (100, 1100):
        ops = [
            Op(lane, n, start + 100 * n, start + 100 * n + 60 + lane)
            for lane in (0, 1)
            for n in range(4)
        ]
        script.run(ops, start + 500)
    return script


def missing() -> Script:
    """Ops that one lane lacks: in the middle, at the end, and all that a lane has."""
    script = Script(n_lanes=3)
    ops = [Op(0, n, 100 * n + 100, 100 * n + 160) for n in (0, 1, 4)]
    ops += [Op(1, n, 100 * n + 105, 100 * n + 190, path=VEC_DOT) for n in (0, 2, 3, 4)]
    script.run(ops, 700)
    script.run([Op(2, 5, 1000, 1100), Op(1, 6, 1050, 1200)], 1300)
    return script


def told_by_one_thread() -> Script:
    script = Script()
    script.run([Op(0, 0, 100, 200), Op(1, 0, 100, 220, path=VEC_DOT)], 230)
    script.run([Op(0, 0, 300, 400, path=TILED), Op(1, 0, 300, 420, path=VEC_DOT)], 430)
    converts = Op(1, 1, 500, 600, path=VEC_DOT, convert=540)
    script.run([Op(0, 1, 500, 520), converts], 630)
    return script


def experts() -> Script:
    script = Script(capacity=3)
    for start, n_experts in ((100, 3), (1100, 5)):
        ops = [Op(0, n, start + 100 * n, start + 100 * n + 50, n_experts=n_experts) for n in (0, 1)]
        ops += [Op(1, n, start + 100 * n, start + 100 * n + 50, n_experts=9) for n in (0, 1)]
        script.run(ops, start + 400, phase=0, depth=128)
    return script


def one_lane() -> Script:
    script = Script(n_lanes=1, ns_per_tick=0.4)
    script.run([Op(0, 0, 100, 200), Op(0, 1, 300, 350, path=VEC_DOT, convert=250)], 360)
    return script


def disturbed() -> Script:
    """Steps of two lengths, by phase, and one of each that takes far longer than the others."""
    script = Script()
    for n in range(12):
        for phase, length in ((0, 4000), (1, 1000)):
            start = 10_000 * n + 5000 * phase + 100
            end = start + (length * 9 // 7 if n == 7 else length + 3 * n)
            ops = [Op(0, 0, start, start + 80), Op(1, 0, start + 7, start + 91, is_last=True)]
            ops += [Op(0, 1, start + 95, end - 20), Op(1, 1, start + 91, end - 10, is_last=True)]
            script.run(ops, end, phase=phase)
        if n % 5 == 4:
            script.lines.append("collect")
    return script


SCRIPTS = {
    "plain": plain(),
    "fused": fused(),
    "conversions": conversions(is_exact=False),
    "conversions, exact clock": conversions(is_exact=True),
    "dropped": dropped(),
    "missing": missing(),
    "told by one thread": told_by_one_thread(),
    "experts": experts(),
    "one lane": one_lane(),
    "disturbed": disturbed(),
}


def random_script(seed: int) -> Script:
    rng = random.Random(seed)
    script = Script(
        n_lanes=rng.randint(1, 5),
        capacity=rng.choice((7, 30, 4096)),
        is_exact=rng.random() < 0.5,
        ns_per_tick=rng.choice((1.0, 0.2941176, 0.5, 1 / 3)),
    )
    now = rng.randint(100, 10**6)
    for _ in range(rng.randint(1, 12)):
        graph, phase, depth = rng.randint(0, 1), rng.randint(0, 1), rng.choice((0, 256))
        ops: list[Op] = []
        begin = now = now + rng.randint(20, 500)
        for lane in range(script.n_lanes):
            at, node = begin + rng.randint(0, 50), 0
            for _ in range(rng.randint(1, 9)):
                if rng.random() < 0.9:
                    ops.append(_random_op(rng, lane, node, at, script))
                    at = ops[-1].end + rng.randint(0, 200)
                node += rng.randint(1, 2)
            now = max(now, at)
        if not ops:
            continue
        # The first lane may end the run before another one reads its clock.
        now = max(now - rng.randint(0, 100), max(op.begin for op in ops))
        script.run(ops, now, graph=graph, phase=phase, depth=depth)
        if rng.random() < 0.2:
            script.lines.append("collect")
    return script


def _random_op(rng: random.Random, lane: int, node: int, begin: int, script: Script) -> Op:
    op = Op(lane, node, begin, begin + rng.randint(0, 2000))
    op.n_fused = node % 3
    op.is_last = rng.random() < 1 / script.n_lanes
    op.path = rng.choice((UNTOLD, VEC_DOT)) if node % 2 else rng.choice((UNTOLD, TILED, VEC_DOT))
    if rng.random() < 0.4 and op.end - op.begin > 100:
        op.convert = rng.randint(op.begin + 10, op.end)
        op.resume = rng.randint(op.convert, op.end) if rng.random() < 0.8 else 0
    if rng.random() < 0.3:
        op.n_experts = rng.randint(1, 8)
    return op


def recorded(script: Script) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the recorder made of the script: all events, and statistics."""
    assert PROGRAM is not None
    done = subprocess.run(
        [PROGRAM, "reduce"], input=str(script), capture_output=True, text=True, check=True
    )
    both = json.loads(done.stdout)
    return both["all"], both["aggregate"]


def table(kind: Any, chunk: dict[str, Any]) -> Any:
    columns = chunk[kind.NAME]
    return kind.from_columns(
        {name: np.array(columns[name], c.dtype) for name, c in kind.schema().items()}
    )


def by_name(stats: StatTable, strings: list[str]) -> dict[tuple[Any, ...], dict[str, float]]:
    """Every row by its key, with the name of its code."""
    columns = {name: values.tolist() for name, values in stats.columns().items()}
    columns["path"] = [strings[path] for path in columns["path"]]
    keys = [name for name, column in StatTable.schema().items() if not column.merge]
    rows = list(zip(*(columns[name] for name in keys), strict=True))
    assert len(set(rows)) == len(rows)
    figures = [name for name in columns if name not in keys]
    return {row: {name: columns[name][i] for name in figures} for i, row in enumerate(rows)}


def compare(script: Script) -> dict[tuple[Any, ...], dict[str, float]]:
    events, statistics = recorded(script)
    assert events["runs"] == statistics["runs"]
    assert events["segments"] == statistics["segments"]
    assert events["steps"] == statistics["steps"]
    assert statistics["events"]["run"] == events["stats"]["calls"] == []
    profile: Any = SimpleNamespace(
        events=table(EventTable, events),
        runs=table(RunTable, events),
        steps=table(StepTable, events),
        lanes=table(LaneTable, events),
        text=lambda number: events["strings"][number],
    )
    counted = profile.steps.set_apart == 0
    ours = by_name(reduce_spans(profile, op_spans(profile), counted), events["strings"])
    theirs = by_name(merge_stats(table(StatTable, statistics)), statistics["strings"])
    assert ours.keys() == theirs.keys()
    for key, figures in ours.items():
        for name, value in figures.items():
            if name == "span_sq_sum":
                assert value == pytest.approx(theirs[key][name], rel=1e-12), (key, name)
            elif name.endswith("_ns"):  # means are fractions, added in another order
                assert abs(value - theirs[key][name]) < 1e-3, (key, name)
            else:
                assert value == theirs[key][name], (key, name)
    return ours


@pytest.mark.parametrize("name", SCRIPTS)
def test_both_reducers_agree(name: str) -> None:
    assert compare(SCRIPTS[name])


@pytest.mark.parametrize("seed", range(60))
def test_both_reducers_agree_on_random_scripts(seed: int) -> None:
    assert compare(random_script(seed))


def test_the_scripts_hold_what_they_are_named_after() -> None:
    all_of_missing, _ = recorded(SCRIPTS["missing"])
    assert all_of_missing["events"]["lane"] == [0, 0, 0, 1, 1, 1, 1, 1, 2]
    all_of_dropped, _ = recorded(SCRIPTS["dropped"])
    assert all_of_dropped["runs"]["n_dropped"] == [0, 6]
    assert len(all_of_dropped["events"]["node"]) == 10
    stages = {key[6] for key in compare(SCRIPTS["conversions"])}
    assert stages == {0, 1}
    exact, _ = recorded(SCRIPTS["conversions, exact clock"])
    assert exact["events"]["resume_ns"] == [250, 200, 0, 190, 280, 0]
    of_disturbed, _ = recorded(SCRIPTS["disturbed"])
    assert [n for n, apart in enumerate(of_disturbed["steps"]["set_apart"]) if apart] == [14, 15]
    assert {row["calls"] for row in compare(SCRIPTS["disturbed"]).values()} == {11}
    assert {row["n_experts_sum"] for row in compare(SCRIPTS["experts"]).values()} == {3, 8}

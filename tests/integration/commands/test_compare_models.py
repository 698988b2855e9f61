"""Models compared by the real engine: what ran, what matched, and what memory says."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from command_line import run

import slmprof
from slmprof.profiles.vocabulary import PASS_WARMUP

ModelMaker = Callable[..., Path]
SMALL = [
    "--n-prompt", "8", "--n-gen", "3", "--repeats", "1", "--n-ctx", "256", "--threads", "1",
    "--processes", "5", "--format", "json",
]  # fmt: skip


def test_a_model_and_itself_match_in_every_op(small_model: ModelMaker, tmp_path: Path) -> None:
    model, kept = small_model(), tmp_path / "kept"
    answer = run("compare", model, model, *SMALL, "--save", kept)
    assert answer.returncode == 0, answer.stderr
    value = json.loads(answer.stdout)
    assert value["interleaved"] is True
    # A machine that others use may leave the ops without a verdict, but nothing else does.
    assert all(one["what"] == "op" for one in value["obstacles"])
    assert value["a"]["processes"] == value["b"]["processes"] == 5
    assert {one["part"] for one in value["differences_in_setup"]} <= {"warnings"}
    for row in value["rows"]:
        assert row["a"] is not None and row["b"] is not None, row
    memory = [row for row in value["rows"] if row["what"] == "memory"]
    assert {row["verdict"] for row in memory if row["name"] != "rss_peak"} == {"same"}
    assert {row["what"] for row in value["rows"]} == {
        "latency", "block", "part", "kernel", "layer", "op", "memory",
    }  # fmt: skip
    again = run(
        "show", *sorted(kept.iterdir(), key=lambda file: len(file.name)), "--format", "json"
    )
    kept_rows = json.loads(again.stdout)["rows"]
    # Notes name the profiles.
    pairs = [
        ({**one, "note": ""}, {**other, "note": ""})
        for one, other in zip(kept_rows, value["rows"], strict=True)
    ]
    assert [(one, other) for one, other in pairs if one != other] == []


def test_models_take_turns_repeat_by_repeat(small_model: ModelMaker, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    settings = [*SMALL, "--processes", "2", "--repeats", "2", "--save", kept]
    answer = run("compare", small_model(), small_model("bloom"), *settings)
    assert answer.returncode == 0, answer.stderr
    value = json.loads(answer.stdout)
    assert value["interleaved"] is True
    turns = []
    # The second model of one name has the longer one.
    for side, path in zip(
        "ab", sorted(kept.iterdir(), key=lambda file: len(file.name)), strict=True
    ):
        steps = slmprof.load(path).steps
        measured = steps.pass_ != PASS_WARMUP
        for repeat in range(4):  # two of each process
            of_repeat = measured & (steps.repeat == repeat)
            turns.append((steps.begin_ns[of_repeat].min(), steps.end_ns[of_repeat].max(), side))
    turns.sort()
    assert "".join(side for _, _, side in turns) == "abba" + "baab"
    assert all(before[1] <= after[0] for before, after in pairwise(turns))


def test_an_exact_condition_on_memory_fails(small_model: ModelMaker) -> None:
    wider = small_model("llama", n_ff=768)
    conditions = ["--fail-if", "weights > 0", "--fail-if", "kv_cache > 0"]
    answer = run("compare", small_model(), wider, *SMALL, *conditions)
    assert answer.returncode == 1
    value = json.loads(answer.stdout)
    assert [one["expression"] for one in value["failed"]] == ["weights > 0"]
    states = {one["expression"]: one["state"] for one in value["conditions"]}
    assert states == {"weights > 0": "failed", "kv_cache > 0": "held"}
    assert "slmprof: error: failed: weights > 0" in answer.stderr
    ops = [row for row in value["rows"] if row["what"] == "op"]
    assert all(row["a"] is not None and row["b"] is not None for row in ops)


def test_models_of_unlike_kind_are_told_apart(small_model: ModelMaker) -> None:
    answer = run("compare", small_model(), small_model("bloom"), *SMALL)
    assert answer.returncode == 0, answer.stderr
    rows = [row for row in json.loads(answer.stdout)["rows"] if row["what"] == "op"]
    sides = {(row["a"] is not None, row["b"] is not None) for row in rows}
    assert sides == {(True, True), (True, False), (False, True)}

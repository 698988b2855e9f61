"""Several depths of the context in one run of the real engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from command_line import run

import slmprof

ModelMaker = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("any_load")
SETTINGS = {"n_prompt": 8, "n_gen": 3, "repeats": 2, "threads": 1, "n_depth": (0, 128, 300)}


@pytest.fixture(scope="module")
def profile(small_model: ModelMaker) -> slmprof.Profile:
    return slmprof.profile(small_model(), **SETTINGS)


def test_every_depth_is_measured_in_full(profile: slmprof.Profile) -> None:
    assert profile.depths == (0, 128, 300)
    assert profile.meta.config.n_depth == (0, 128, 300)
    assert profile.meta.run.complete is True
    for depth in profile.depths:
        part = profile.at_depth(depth)
        phases = part.phases().set_index("phase")
        assert phases["n_samples"].to_dict() == {"prefill": 2, "decode": 6}
        assert phases["n_profiled_samples"].to_dict() == {"prefill": 2, "decode": 6}
        sums = part.blocks().groupby("phase")["time_ms"].sum()
        for phase in ("prefill", "decode"):
            assert sums[phase] == pytest.approx(phases["segments_ms.ops"][phase], rel=1e-9)
        steps = part.steps
        assert set(steps.n_past[steps.phase == 0].tolist()) == {depth}
        assert set(steps.n_past[steps.phase == 1].tolist()) == {depth + 8 + i for i in range(3)}


def test_attention_reads_what_the_depth_says(profile: slmprof.Profile) -> None:
    """As many keys are visible as tokens stand in the context."""
    for depth in profile.depths:
        part = profile.at_depth(depth)
        of_prompt = part.steps.phase[part.runs.step[part.masks.run]] == 0
        assert set(part.masks.n_keys[of_prompt].tolist()) == {depth + 8}


def test_costs_and_lines(profile: slmprof.Profile) -> None:
    costs, fits = profile.depth_costs(), profile.depth_fits()
    assert sorted(set(costs["n_depth"])) == [0, 128, 300]
    assert {"attention", "ffn", "lm_head", "total", "step"} <= set(fits["block"])
    assert set(fits["n_depths"]) == {3}
    assert fits["a_se_ms"].notna().all()


def test_statistics_in_place_of_events(small_model: ModelMaker) -> None:
    profile = slmprof.profile(small_model(), events="aggregate", **SETTINGS)
    assert len(profile.events) == 0
    assert sorted(set(profile.stats.depth.tolist())) == [0, 128, 300]
    costs = profile.depth_costs()
    for depth in profile.depths:
        phases = profile.at_depth(depth).phases().set_index("phase")
        for phase in ("prefill", "decode"):
            rows = costs[(costs["phase"] == phase) & (costs["n_depth"] == depth)]
            ops_ms = phases["segments_ms.ops"][phase]
            # The recorder may have set all steps of a phase apart: then there is nothing to add up.
            expected = 0.0 if pd.isna(ops_ms) else ops_ms
            assert rows["time_ms"].sum() == pytest.approx(expected)


def test_the_command(small_model: ModelMaker, tmp_path: Path) -> None:
    saved = tmp_path / "run.slmprof"
    answer = run(
        "breakdown", small_model(), "--n-depth", "64,0,2100", "--n-prompt", 8, "--n-gen", 2,
        "--repeats", 1, "--threads", 1, "--save", saved,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "All else is of depth 0" in answer.stdout and "By depth" in answer.stdout
    made = json.loads(run("show", saved, "--format", "json").stdout)
    assert [part["n_depth"] for part in made["depths"]] == [0, 64, 2100]
    assert made["config"]["n_depth"] == [64, 0, 2100]
    assert made["config"]["n_ctx"] == 2304  # grown, as nobody asked for a size
    left_out = [text for text in made["environment"]["warnings"] if "leaves depth" in text]
    assert made["depth_fits"] or left_out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n-depth", "0,,x"], "empty item"),
        (["--n-depth", "0,-5"], "too small"),
        (["--n-depth", "4000", "--n-ctx", "2048"], "--n-ctx 4100"),
    ],
)
def test_wrong_depths(small_model: ModelMaker, arguments: list[str], message: str) -> None:
    answer = run("breakdown", small_model(), *arguments)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert message in answer.stderr and answer.stderr.count("\n") == 1


def test_a_depth_beyond_memory_is_refused(small_model: ModelMaker) -> None:
    answer = run("breakdown", small_model(), "--n-depth", "0,2000000000")
    assert answer.returncode == 1
    assert "GiB" in answer.stderr and answer.stderr.count("\n") == 1

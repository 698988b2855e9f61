"""Costs by depth, the lines through them, and profiles cut to one depth."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
from builders import DECODE, PREFILL, Builder, example_profile
from depth_builder import ATTENTION, HEAD, HOST_NS, profile_at
from meta_builder import N_GEN, N_PROMPT
from reports import data, shown

from slmprof.analysis.tables.depth import STEP, TOTAL, depth_table, fit_depths, fit_line
from slmprof.analysis.timing.spans import op_spans, reduce_spans
from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.commands.main import main
from slmprof.errors import UsageError
from slmprof.profiles.tables import EventTable
from slmprof.profiles.validation import check_profile
from slmprof.profiles.vocabulary import PASS_OP
from slmprof.views import Profile, load

DEPTHS = (0, 512, 2048, 8192)
MS_PER_NS_1024 = 1024 / 1e6

pytestmark = pytest.mark.usefixtures("by_name")


def test_depths_are_those_measured() -> None:
    assert profile_at((2048, 0, 512)).depths == (0, 512, 2048)
    assert example_profile().depths == (0,)
    assert Builder().build().depths == ()


def test_a_depth_of_a_profile_is_the_profile_of_that_depth() -> None:
    whole, alone = profile_at(DEPTHS), profile_at((512,))
    part = whole.at_depth(512)
    check_profile(part)
    assert part.meta.config.n_depth == 512
    assert part.depths == (512,)
    assert len(part.masks) == len(alone.masks) and set(part.masks.n_pairs.tolist()) == {512}
    for name in ("steps", "segments", "runs", "events", "masks"):
        assert len(getattr(part, name)) == len(getattr(alone, name))
    assert np.array_equal(part.runs.step, alone.runs.step)
    assert np.array_equal(part.events.run, alone.events.run)
    for view in ("phases", "blocks", "layers", "kernels", "ops"):
        assert getattr(part, view)().equals(getattr(alone, view)())


def test_a_depth_can_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "p"
    profile_at(DEPTHS).at_depth(2048).save(path)
    assert load(path).depths == (2048,)


def test_views_describe_the_smallest_depth() -> None:
    whole = profile_at((2048, 512))
    alone = profile_at((512,))
    assert whole.blocks().equals(alone.blocks())
    assert whole.phases().equals(alone.phases())


def test_one_depth_is_the_profile_itself() -> None:
    profile = example_profile()
    assert profile.at_depth(0) is profile


@pytest.mark.parametrize(("depth", "told"), [(5, r"0, 512, 2048, 8192"), (-1, "-1 is too small")])
def test_an_unknown_depth_is_refused(depth: int, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        profile_at(DEPTHS).at_depth(depth)


def test_statistics_of_ops_are_cut_as_events_are() -> None:
    whole = profile_at(DEPTHS)
    stats = reduce_spans(whole, op_spans(whole))
    meta = whole.meta.replace_run(events="aggregate")
    reduced = replace(whole, events=EventTable.empty(), stats=stats, meta=meta)
    assert reduced.depth_costs().equals(whole.depth_costs())
    assert set(reduced.at_depth(512).stats.depth.tolist()) == {512}


def test_costs_by_depth() -> None:
    costs = profile_at((0, 512)).depth_costs()
    assert list(costs.columns) == [
        "phase", "n_depth", "n_past", "block", "time_ms", "time_per_token_ms", "share",
        "latency_ms", "tokens_per_s", "is_fitted",
    ]  # fmt: skip
    row = costs[
        (costs["phase"] == "prefill") & (costs["n_depth"] == 512) & (costs["block"] == "attention")
    ].iloc[0]
    a, b = ATTENTION[PREFILL]
    attention = (a + 512 * b) / 1e6
    step = attention + HEAD[PREFILL] / 1e6 + HOST_NS / 1e6
    assert row["n_past"] == 512
    assert row["time_ms"] == pytest.approx(attention)
    assert row["time_per_token_ms"] == pytest.approx(attention / N_PROMPT)
    assert row["share"] == pytest.approx(attention / (attention + HEAD[PREFILL] / 1e6))
    assert row["latency_ms"] == pytest.approx(step)
    assert row["tokens_per_s"] == pytest.approx(1e3 * N_PROMPT / step)
    decode = costs[(costs["phase"] == "decode") & (costs["n_depth"] == 512)]
    # Generated tokens stand behind the prompt, and one behind the other.
    assert set(decode["n_past"]) == {512 + N_PROMPT + (N_GEN - 1) / 2}


def test_known_lines_are_found() -> None:
    fits = profile_at(DEPTHS).depth_fits().set_index(["phase", "block"])
    for phase, number, n_tokens in (("prefill", PREFILL, N_PROMPT), ("decode", DECODE, 1)):
        a, b = ATTENTION[number]
        fit = fits.loc[(phase, "attention")]
        assert fit["n_depths"] == 4
        assert fit["a_ms"] == pytest.approx(a / 1e6 / n_tokens)
        assert fit["b_ms_per_1024"] == pytest.approx(b * MS_PER_NS_1024 / n_tokens)
        assert fit["rms_error_ms"] == pytest.approx(0, abs=1e-9)
        assert fit["b_se_ms_per_1024"] == pytest.approx(0, abs=1e-9)
        assert fit["max_error_share"] == pytest.approx(0, abs=1e-9)
        assert fit["r2"] == pytest.approx(1)
        head = fits.loc[(phase, "lm_head")]
        assert head["a_ms"] == pytest.approx(HEAD[number] / 1e6 / n_tokens)
        assert head["b_ms_per_1024"] == pytest.approx(0, abs=1e-12)
        total, step = fits.loc[(phase, TOTAL)], fits.loc[(phase, STEP)]
        assert total["a_ms"] == pytest.approx(fit["a_ms"] + head["a_ms"])
        assert step["a_ms"] == pytest.approx(total["a_ms"] + HOST_NS / 1e6 / n_tokens)
        assert step["b_ms_per_1024"] == pytest.approx(fit["b_ms_per_1024"])


def test_noise_shows_in_the_errors() -> None:
    noise_ms = 1.0
    fits = profile_at((0, 256, 512, 1024, 2048), noise_ns=1_000_000).depth_fits()
    fit = fits[(fits["phase"] == "decode") & (fits["block"] == "attention")].iloc[0]
    assert 0 < fit["rms_error_ms"] < noise_ms
    assert fit["max_error_share"] > 0
    # Within five standard errors of what was put in.
    a, b = ATTENTION[DECODE]
    assert abs(fit["a_ms"] - a / 1e6) < 5 * fit["a_se_ms"]
    assert abs(fit["b_ms_per_1024"] - b * MS_PER_NS_1024) < 5 * fit["b_se_ms_per_1024"]


def test_the_line_is_that_of_least_squares() -> None:
    x = np.array([0.0, 512, 1024, 4096])
    y = np.array([1.0, 1.4, 2.2, 5.1])
    fit = fit_line(x, y)
    (b, a), covariance = np.polyfit(x / 1024, y, 1, cov=True)
    assert fit is not None
    assert (fit.a_ms, fit.b_ms_per_1024) == pytest.approx((a, b))
    assert fit.b_se_ms_per_1024 == pytest.approx(np.sqrt(covariance[0, 0]))
    assert fit.a_se_ms == pytest.approx(np.sqrt(covariance[1, 1]))
    residuals = y - (a + b * x / 1024)
    assert fit.rms_error_ms == pytest.approx(np.sqrt(np.mean(residuals**2)))
    assert fit.max_error_share == pytest.approx(np.max(np.abs(residuals) / y))
    assert fit.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)


def test_two_points_have_a_line_and_no_error() -> None:
    fits = profile_at((0, 512)).depth_fits()
    assert fits[["a_ms", "b_ms_per_1024"]].notna().all(axis=None)
    errors = ["a_se_ms", "b_se_ms_per_1024", "rms_error_ms", "max_error_share", "r2"]
    assert fits[errors].isna().all(axis=None)


@pytest.mark.parametrize(
    ("x", "y"), [([], []), ([1.0], [2.0]), ([1.0, 1.0], [2.0, 3.0]), ([1.0, 2.0], [1.0, np.nan])]
)
def test_no_line_through_too_little(x: list[float], y: list[float]) -> None:
    assert fit_line(x, y) is None


def test_a_bent_line_through_three_points_as_worked_out_by_hand() -> None:
    # Residuals of 0.8333 + 1.5 x at 0, 1 and 2 thousand tokens: 1/6, -1/3 and 1/6.
    fit = fit_line([0, 1024, 2048], [1.0, 2.0, 4.0])
    assert fit is not None
    assert asdict(fit) == pytest.approx(
        {
            "n_depths": 3,
            "a_ms": 5 / 6,
            "a_se_ms": (5 / 36) ** 0.5,
            "b_ms_per_1024": 1.5,
            "b_se_ms_per_1024": (1 / 12) ** 0.5,
            "rms_error_ms": (1 / 18) ** 0.5,
            "max_error_share": 1 / 6,
            "r2": 27 / 28,
        }
    )


def test_one_depth_has_costs_and_no_line() -> None:
    profile = example_profile()
    assert set(profile.depth_costs()["n_depth"]) == {0}
    fits = profile.depth_fits()
    assert len(fits) == 0 and "b_ms_per_1024" in fits.columns
    nothing = Builder().build()
    assert len(nothing.depth_costs()) == 0 and len(nothing.depth_fits()) == 0


@pytest.mark.parametrize(
    ("by", "keys"), [("part", ["block", "part"]), ("kernel", ["kernel"]), ("block", ["block"])]
)
def test_costs_by_other_groups_add_up_alike(by: str, keys: list[str]) -> None:
    profile = profile_at(DEPTHS)
    costs, fits = profile.depth_costs(by), profile.depth_fits(by)
    assert set(keys) <= set(costs.columns) & set(fits.columns)
    sums = costs.groupby(["phase", "n_depth"])["time_ms"].sum()
    assert sums.equals(profile.depth_costs().groupby(["phase", "n_depth"])["time_ms"].sum())
    assert len(fits[fits[keys[0]] == TOTAL]) == 2


def test_costs_by_nonsense_are_refused() -> None:
    with pytest.raises(UsageError, match="colour"):
        example_profile().depth_costs("colour")


def test_a_group_that_is_missing_at_a_depth_costs_nothing_there() -> None:
    costs = depth_table(profile_at((0, 512, 1024)))
    is_gap = (costs["block"] == "lm_head") & (costs["n_depth"] == 512)
    assert is_gap.sum() == 2
    profile = profile_at((0, 512, 1024))
    steps, events = profile.steps, profile.events
    gone = (events.node == 6) & (steps.depth[profile.runs.step[events.run]] == 512)
    cut = depth_table(replace(profile, events=events.take(~gone)))
    rows = cut[(cut["block"] == "lm_head") & (cut["n_depth"] == 512)]
    assert rows["time_ms"].tolist() == [0.0, 0.0]
    assert rows["latency_ms"].notna().all()
    assert set(fit_depths(cut)["n_depths"]) == {3}


def test_the_report_says_which_depth_it_is_about() -> None:
    text = shown(profile_at(DEPTHS), is_full=True)
    assert "Blocks at depth 0" in text
    assert "Prefill by depth" in text and "Decode by depth" in text
    assert "Cost model of decode" in text
    assert "n_depth 0,512,2048,8192" in text
    assert max(map(len, text.splitlines())) <= 80
    (row,) = [line for line in text.splitlines() if line.split()[:1] == ["8192"]][1:]
    assert len(row.split()) == 5  # depth, attention, lm_head, total, tokens/s


def test_the_report_of_one_depth_is_as_it_was() -> None:
    text = shown(example_profile(), is_full=True)
    assert "at depth" not in text and "by depth" not in text and "Cost model" not in text


def test_two_depths_say_that_they_have_no_error() -> None:
    assert "no error" in shown(profile_at((0, 512)), by="depth")


def test_doubts_name_their_depth() -> None:
    profile = profile_at((0, 512), noise_ns=1_900_000)
    assert any(c.startswith("at depth 512: ") for c in break_down(profile).caveats)
    assert not any("at depth 0" in c for c in break_down(profile).caveats)


def test_json_of_depths() -> None:
    profile = profile_at(DEPTHS)
    made = data(profile)
    assert made["config"]["n_depth"] == list(DEPTHS)
    assert [part["n_depth"] for part in made["depths"]] == list(DEPTHS)
    for part in made["depths"]:
        assert {row["phase"] for row in part["blocks"]} == {"prefill", "decode"}
        for phase in part["phases"]:
            times = [r["time_ms"] for r in part["blocks"] if r["phase"] == phase["phase"]]
            assert sum(times) == pytest.approx(phase["segments_ms"]["ops"])
    assert made["blocks"] == made["depths"][0]["blocks"]
    assert {row["block"] for row in made["depth_fits"]} == {"attention", "lm_head", TOTAL, STEP}
    one = data(profile, by="depth", phase="decode")
    assert "blocks" not in one and len(one["depths"]) == 4
    assert {row["phase"] for row in one["depth_fits"]} == {"decode"}
    alone = data(example_profile())
    assert [part["n_depth"] for part in alone["depths"]] == [0] and alone["depth_fits"] == []


def test_csv_and_markdown_of_depths() -> None:
    chosen = break_down(profile_at(DEPTHS), by="depth")
    header, first, *_ = shown(chosen, "csv").splitlines()
    assert header.startswith("phase,n_depth,n_past,block,time_ms,time_per_token_ms,share")
    assert first.startswith("prefill,0,0.0,")
    assert "## Cost model of prefill" in shown(chosen, "markdown")


def test_show_at_a_depth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "p")
    profile_at(DEPTHS).save(path)
    assert main(["show", path, "--n-depth", "2048", "--format", "json"]) == 0
    made = json_module.loads(capsys.readouterr().out)
    assert made["config"]["n_depth"] == 2048
    assert [part["n_depth"] for part in made["depths"]] == [2048]
    assert main(["show", path, "--n-depth", "7"]) == 2
    assert "depth of 7" in capsys.readouterr().err


def test_every_table_of_a_profile_is_cut_or_shared() -> None:
    """A table that is added to profiles must be thought of here."""
    cut = {"meta", "steps", "segments", "runs", "copies", "events", "stats", "masks"}
    cut |= {"traces", "stray_kernels", "transfers", "launches", "issues"}
    cut |= {"captures", "captured_nodes", "cloned_nodes", "graph_versions"}
    shared = {"strings", "graphs", "splits", "tensors", "places", "lanes", "types"}
    assert {f.name for f in fields(Profile)} == cut | shared


def test_a_depth_whose_steps_were_disturbed_is_no_point_of_the_line() -> None:
    profile = profile_at(DEPTHS)
    steps, depth = profile.steps, max(DEPTHS)
    # All profiled decode steps at the largest depth take ten times as long, while the graph runs.
    hit = (steps.pass_ == PASS_OP) & (steps.phase == DECODE) & (steps.depth == depth)
    longer = np.where(hit, 9 * (steps.end_ns - steps.begin_ns), 0)
    runs, events = profile.runs, profile.events
    # The last op that a lane runs takes the time.
    is_last = np.append(np.diff(events.run) != 0, True) | (events.node == events.node.max())
    end_ns = events.end_ns + np.where(is_last, longer[runs.step[events.run]], 0)
    disturbed = replace(
        profile,
        steps=steps.replace(end_ns=steps.end_ns + longer),
        runs=runs.replace(end_ns=runs.end_ns + longer[runs.step]),
        events=events.replace(end_ns=end_ns),
    )
    costs = disturbed.depth_costs()
    left_out = costs[~costs["is_fitted"]]
    assert set(zip(left_out["phase"], left_out["n_depth"], strict=True)) == {("decode", depth)}
    assert left_out["share"].isna().all()
    fits = disturbed.depth_fits().set_index(["phase", "block"])
    expected = profile.depth_fits().set_index(["phase", "block"])
    decode = fits.loc[("decode", "attention")]
    assert decode["n_depths"] == len(DEPTHS) - 1
    assert decode["b_ms_per_1024"] == pytest.approx(
        expected.loc[("decode", "attention"), "b_ms_per_1024"]
    )
    caveats = data(disturbed)["environment"]["warnings"]
    assert f"the cost model of decode leaves depth {depth} out" in " ".join(caveats)

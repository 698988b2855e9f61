"""Rows, verdicts, the sentence, and what makes profiles incomparable."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compared import DECODE, PREFILL, about, around, block, kernel, layer, op, subject

from slmprof.analysis.comparison.comparison import Comparison, compare_subjects
from slmprof.analysis.comparison.rows import Intervals, Row
from slmprof.analysis.comparison.samples import summarize_subject
from slmprof.errors import UsageError
from slmprof.profiles.merging import merge_processes
from slmprof.profiles.records.load import Load
from slmprof.profiles.vocabulary import PASS_OP
from slmprof.views import Profile


def side(name: str, ffn: float = 6.0, turn: int | None = 0, n: int = 10, **more: Any) -> Any:
    """Decode of 4 ms of attention and an FFN, 1 ms of head and 0.5 ms of host."""
    told = {
        PREFILL: 50.0,
        DECODE: 5.5 + ffn,
        block("ffn"): ffn,
        block("attention"): 4.0,
        block("lm_head"): 1.0,
        kernel("mul_mat_vec_q"): 4.0 + ffn,
        layer(0): 4.0 + ffn,
        op("ffn_out-0"): ffn,
    }
    times = {
        place: around(center, 0.005, seed=10 * i + (turn or 0), n=n)
        for i, (place, center) in enumerate(told.items())
    }
    return subject(name, times, turn=turn, **more)


def of(comparison: Comparison, what: str, name: str, phase: str | None = "decode") -> Row:
    """The one row of a thing."""
    (row,) = (
        row
        for row in comparison.pairings[0].rows
        if (row.what, row.name, row.phase, row.is_of_code) == (what, name, phase, False)
        and row.buffer_type is None
    )
    return row


def test_a_slower_block_is_found_and_named() -> None:
    made = compare_subjects([side("A"), side("B", ffn=7.0, turn=2)])
    verdicts = {(r.what, r.name, r.phase): r.verdict for r in made.pairings[0].rows if r.phase}
    assert verdicts == {
        ("latency", "prefill", "prefill"): "same",
        ("latency", "decode", "decode"): "slower",
        ("block", "ffn", "decode"): "slower",
        ("block", "attention", "decode"): "same",
        ("block", "lm_head", "decode"): "same",
        ("kernel", "mul_mat_vec_q", "decode"): "slower",
        ("layer", "layer 0", "decode"): "slower",
        ("op", "ffn_out-0", "decode"): "slower",
    }
    row = of(made, "latency", "decode")
    # Of trimmed means: the noise of what is left out shows.
    assert (row.a, row.b) == pytest.approx((11.5, 12.5), rel=2e-3)
    assert row.difference == pytest.approx(row.b - row.a)
    assert row.relative == pytest.approx(1 / 11.5, rel=2e-2)
    quoted, corrected = row.intervals.ci95, row.intervals.corrected_ci
    assert quoted is not None and corrected is not None
    assert corrected[0] < quoted[0] < 1.0 < quoted[1] < corrected[1]
    assert made.verdict.startswith("B decodes 8.8 % slower than A (95 % interval +7.9 to +9.6 %)")
    assert ": FFN +0.999 ms of +1.01 ms; prefill is the same within 3 %" in made.verdict


def test_a_faster_one_is_faster_and_the_other_way_round_slower() -> None:
    made = compare_subjects([side("A"), side("B", ffn=5.0, turn=2)])
    assert of(made, "latency", "decode").verdict == "faster"
    turned = compare_subjects([side("B", ffn=5.0, turn=2), side("A")])
    assert of(turned, "latency", "decode").verdict == "slower"


def test_the_same_twice_is_the_same() -> None:
    made = compare_subjects([side("A"), side("B", turn=2)])
    assert {r.verdict for r in made.pairings[0].rows} <= {"same", "unclear"}


def test_simulated_comparisons_of_a_model_with_itself_show_nothing() -> None:
    """Sixty, of which a third have one of two cores taken away now and then, in all rows."""
    rng = np.random.default_rng(60)

    def one(name: str, turn: int, *, is_busy: bool) -> Any:
        common = rng.normal(0, 0.02, 10)
        if is_busy:
            common += 0.7 * rng.random(10) * (rng.random(10) < 0.5)
        places = [PREFILL, DECODE, *map(block, ("attention", "ffn", "lm_head", "embedding"))]
        places += [kernel(f"k{i}") for i in range(15)] + [layer(i) for i in range(30)]
        places += [op(f"t{i}", i) for i in range(100)]
        times = {p: 10 * np.exp(common + rng.normal(0, 0.01, 10)) for p in places}
        return subject(name, times, turn=turn)

    for trial in range(60):
        busy = trial % 3 == 0
        made = compare_subjects([one("A", 0, is_busy=busy), one("B", 2, is_busy=busy)])
        verdicts = {row.verdict for row in made.pairings[0].rows}
        assert verdicts <= {"same", "unclear"}, f"trial {trial}"


def test_processes_that_ran_in_turns_are_compared_in_pairs() -> None:
    assert compare_subjects([side("A"), side("B", turn=2)]).pairings[0].is_interleaved
    assert not compare_subjects([side("A"), side("B", turn=None)]).pairings[0].is_interleaved
    fewer = compare_subjects([side("A"), side("B", turn=2, n=9)])
    assert not fewer.pairings[0].is_interleaved


def test_runs_one_after_the_other_differ_only_beyond_the_margin() -> None:
    for ffn, verdict in ((6.4, "unclear"), (7.0, "slower")):
        made = compare_subjects([side("A"), side("B", ffn=ffn, turn=None)])
        assert of(made, "latency", "decode").verdict == verdict


def test_one_process_gives_figures_and_no_verdict() -> None:
    made = compare_subjects([side("A", n=1), side("B", ffn=9.0, turn=2, n=1)])
    assert {r.verdict for r in made.pairings[0].rows if r.phase} == {"unclear"}
    assert of(made, "latency", "decode").relative == pytest.approx(3 / 11.5)
    assert "each has one process" in made.verdict and "--processes" in made.verdict
    assert of(made, "memory", "weights", None).verdict == "same"


def test_four_processes_are_too_few() -> None:
    made = compare_subjects([side("A", n=10), side("B", ffn=9.0, turn=2, n=4)])
    assert of(made, "latency", "decode").verdict == "unclear"
    assert "B has only 4 processes" in made.verdict


@pytest.mark.parametrize(
    ("changed", "unclear", "reason"),
    [
        ({"n_tokens": {"prefill": 500, "decode": 2}}, {"prefill", "decode"}, "16 and 500 tokens"),
        ({"n_tokens": {"prefill": 16, "decode": 9}}, {"decode"}, "generated 2 and 9 tokens"),
        ({"n_depth": 512}, {"prefill", "decode"}, "depths of 0 and 512 tokens"),
    ],
)
def test_other_numbers_of_tokens_leave_no_verdict(
    changed: dict[str, Any], unclear: set[str], reason: str
) -> None:
    made = compare_subjects([side("A"), side("B", ffn=9.0, turn=2, **changed)])
    of_phases = {r.phase: r.verdict for r in made.pairings[0].rows if r.what == "latency"}
    assert {phase for phase, verdict in of_phases.items() if verdict == "unclear"} == unclear
    assert reason in made.verdict


def test_phases_that_only_one_has_are_told() -> None:
    encoder = subject("B", {PREFILL: around(50.0)}, turn=2, n_tokens={"prefill": 16})
    made = compare_subjects([side("A"), encoder])
    row = of(made, "latency", "decode")
    assert (row.b, row.verdict, row.relative) == (None, "unclear", None)
    assert "B has no decode" in made.verdict


def test_nothing_in_common_is_told_and_no_error() -> None:
    decoder = subject("A", {DECODE: around(9.0)}, turn=0, n_tokens={"decode": 2})
    encoder = subject("B", {PREFILL: around(50.0)}, turn=2, n_tokens={"prefill": 16})
    made = compare_subjects([decoder, encoder])
    assert {r.verdict for r in made.pairings[0].rows if r.phase} == {"unclear"}
    assert "no phase in common" in made.verdict


def test_no_common_op_is_told() -> None:
    a = subject("A", {DECODE: around(9.0), op("x", 0, "down"): around(1.0)}, turn=0)
    b = subject("B", {DECODE: around(9.0), op("y", 0, "gate_up"): around(1.0)}, turn=2)
    made = compare_subjects([a, b])
    assert "no op in common" in made.verdict
    assert {r.verdict for r in made.pairings[0].rows if r.phase} == {"unclear"}


def test_statistics_of_all_processes_together_leave_the_latency_alone() -> None:
    a = subject("A", {DECODE: around(9.0)}, turn=0, has_ops=False)
    b = subject("B", {DECODE: around(12.0), block("ffn"): around(6.0)}, turn=2)
    made = compare_subjects([a, b])
    assert of(made, "latency", "decode").verdict == "slower"
    assert "one statistic of an op" in of(made, "block", "ffn").note


@pytest.mark.parametrize(("n_withheld", "verdict"), [(5, "slower"), (6, "unclear")])
def test_ops_of_processes_that_were_disturbed_throughout_have_no_verdict(
    n_withheld: int, verdict: str
) -> None:
    made = compare_subjects([side("A"), side("B", ffn=7.0, turn=2, n_withheld=n_withheld)])
    assert of(made, "latency", "decode").verdict == "slower"
    assert of(made, "block", "ffn").verdict == verdict
    assert ("in 6 of 10 processes" in made.verdict) == (verdict == "unclear")


def test_ops_that_are_withheld_of_all_processes_together_have_no_verdict() -> None:
    slower = side("B", ffn=7.0, turn=2, n_withheld=4, withheld=["decode"])
    made = compare_subjects([side("A"), slower])
    assert of(made, "latency", "decode").verdict == "slower"
    for what, name in (("block", "ffn"), ("layer", "layer 0"), ("op", "ffn_out-0")):
        assert of(made, what, name).verdict == "unclear"
    assert "in 4 of 10 processes" in of(made, "block", "ffn").note
    assert "in 4 of 10 processes" in made.verdict and "FFN" not in made.verdict


def test_ops_of_some_processes_may_disturb_those_of_all(profile: Profile) -> None:
    steps = profile.steps
    length = np.where(steps.pass_ == PASS_OP, 3, 1) * (steps.end_ns - steps.begin_ns)
    slowed = replace(profile, steps=steps.replace(end_ns=steps.begin_ns + length))
    found = summarize_subject("a", [profile, profile, slowed], 0)
    assert (found.n_withheld["decode"], found.withheld) == (1, {"prefill", "decode"})
    assert summarize_subject("a", [profile] * 3, 0).withheld == frozenset()


def test_processes_that_are_kept_as_one_profile_are_told_alike(profile: Profile) -> None:
    """Also where the steps are so short that the load of the run tells what cores were taken."""
    n_cores = profile.meta.environment.n_cores or 1

    def under(others_share: float) -> Profile:
        load = Load(core_seconds=1.0, others_share=others_share)
        environment = profile.meta.environment.replace(load=load, n_cores=n_cores)
        return replace(profile, meta=profile.meta.replace(environment=environment))

    for shares in ((0.0, 0.0, 0.9), (0.0, 0.9, 0.9), (0.1, 0.1, 0.1)):
        processes = list(map(under, shares))
        apart = summarize_subject("a", processes, 0)
        together = summarize_subject("a", [Profile.of(merge_processes(processes))], 0)
        assert apart.n_withheld == together.n_withheld
        assert apart.withheld == together.withheld
    assert summarize_subject("a", [under(0.9)] * 3, 0).withheld


def test_ops_match_by_role_where_their_names_differ() -> None:
    common = {DECODE: around(9.0)}
    residual = [op(name, part="residual", operator="ADD") for name in ("l_out-0", "residual-0")]
    of_a = {**common, op("ffn_out-0"): around(1.0), residual[0]: around(0.1)}
    of_b = {residual[1]: around(0.1), op("down-0"): around(1.5), **common}
    a, b = subject("A", of_a, turn=0), subject("B", of_b, turn=2)
    rows = {r.name: r for r in compare_subjects([a, b]).pairings[0].rows if r.what == "op"}
    assert {name: (row.a, row.b) for name, row in rows.items()} == {
        "down-0": (pytest.approx(1.0, rel=2e-3), pytest.approx(1.5, rel=2e-3)),
        "residual-0": (pytest.approx(0.1, rel=2e-3), pytest.approx(0.1, rel=2e-3)),
    }


def test_two_ops_of_one_role_are_not_matched_by_their_order() -> None:
    common = {op("ffn_norm-0", part="norm", operator="RMS_NORM"): around(0.1)}
    a = subject("A", {**common, op("gate-0"): around(1.0), op("up-0"): around(2.0)}, turn=0)
    b = subject("B", {**common, op("x-0"): around(1.0), op("y-0"): around(2.0)}, turn=2)
    rows = compare_subjects([a, b]).pairings[0].rows
    rows = [r for r in rows if r.what == "op" and r.part == "down"]
    assert len(rows) == 4 and {r.note for r in rows} == {"only in a", "only in b"}


def test_kernels_show_the_code_that_ran() -> None:
    product = "mul_mat_vec_q"
    a = {kernel(product): around(9.0), kernel(product, "vec_dot"): around(9.0)}
    same = compare_subjects([subject("A", a, turn=0), subject("B", a, turn=2)])
    (row,) = (r for r in same.pairings[0].rows if r.what == "kernel")
    assert (row.impl, row.is_of_code) == ("vec_dot", False)
    b = {kernel(product): around(6.0), kernel(product, "repack"): around(6.0)}
    other = compare_subjects([subject("A", a, turn=0), subject("B", b, turn=2)])
    rows = [r for r in other.pairings[0].rows if r.what == "kernel"]
    assert {(r.impl, r.is_of_code, r.note) for r in rows} == {
        (None, False, ""),
        ("vec_dot", True, "only in a"),
        ("repack", True, "only in b"),
    }


def test_memory_by_kind_buffer_and_peak() -> None:
    smaller = about("memory", {"weights": 2**20, "kv_cache": 2**20})
    rows = compare_subjects([side("A"), side("B", turn=2, meta=smaller)]).pairings[0].rows
    found = {(r.name, r.buffer_type): (r.a, r.b, r.verdict) for r in rows if r.what == "memory"}
    mib = 2**20
    assert found["weights", None] == (5 * mib, mib, "smaller")
    assert found["kv_cache", None] == (mib, mib, "same")
    assert found["weights", "CPU_REPACK"] == (2 * mib, 0, "smaller")
    assert found["weights", "CPU"] == (0, mib, "larger")
    assert found["rss_peak", None] == (20 * mib, 20 * mib, "same")
    assert ("recurrent_state", None) not in found


def test_the_peak_of_the_process_has_no_interval() -> None:
    sides = [subject("A"), subject("B", meta=about("memory", rss_peak_bytes=21 * 2**20))]
    row = of(compare_subjects(sides), "memory", "rss_peak", None)
    assert row.verdict == "same" and row.difference == 2**20
    assert row.intervals == Intervals()


def test_what_differs_in_machine_build_model_and_settings() -> None:
    meta = about("environment", cpu="Other CPU", warnings=["throttled"])
    meta = meta.replace(
        slmprof=meta.slmprof.replace(build={"GGML_NATIVE": False}),
        model=meta.model.replace(file_type="Q8_0"),
    )
    made = compare_subjects([side("A"), side("B", turn=2, meta=meta)])
    assert made.differences_in_setup == [
        {"part": "machine", "what": "cpu", "a": "Example CPU", "b": "Other CPU"},
        {"part": "build", "what": "GGML_NATIVE", "a": True, "b": False},
        {"part": "model", "what": "file_type", "a": "Q4_K_M", "b": "Q8_0"},
        {"part": "warnings", "what": "throttled", "a": False, "b": True},
    ]
    assert compare_subjects([side("A"), side("B", turn=2)]).differences_in_setup == []


def test_warnings_that_differ_in_numbers_alone_are_one() -> None:
    texts = ("other processes used 5 % of the CPU", "other processes used 40 % of the CPU")
    sides = [
        side(name, turn=turn, meta=about("environment", warnings=[text]))
        for name, turn, text in zip("AB", (0, 2), texts, strict=True)
    ]
    assert compare_subjects(sides).differences_in_setup == []


def test_several_are_each_compared_with_the_first() -> None:
    made = compare_subjects([side("A"), side("B", turn=1), side("C", ffn=7.0, turn=2)])
    assert [pairing.b.name for pairing in made.pairings] == ["B", "C"]
    value = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert [pair["b"]["name"] for pair in value["comparisons"]] == ["B", "C"]
    assert value["rows"] == value["comparisons"][0]["rows"]
    table = made.rows()
    assert set(table["b_name"]) == {"B", "C"} and set(table["a_name"]) == {"A"}
    assert set(map(str, table.dtypes)) == {"string", "Float64", "Int64", "boolean", "object"}
    assert table.groupby("ci95").size().sum() == table["ci95"].notna().sum() > 0
    # With more to compare, each interval is wider.
    alone = compare_subjects([side("A"), side("B", turn=1)])
    ends = [of(one, "latency", "decode").intervals.corrected_ci for one in (alone, made)]
    assert ends[0] is not None and ends[1] is not None and ends[1][0] < ends[0][0]


def test_the_json_is_what_was_promised() -> None:
    value = compare_subjects([side("A"), side("B", ffn=7.0, turn=2)]).to_json()
    json.dumps(value, allow_nan=False)
    assert value["schema_version"] == 1 and "comparisons" not in value
    assert (value["a"]["name"], value["a"]["processes"]) == ("A", 10)
    assert value["b"]["name"] == "B" and value["failed"] == []
    for row in value["rows"]:
        assert list(row)[:10] == [
            "what", "name", "phase", "a", "b", "unit", "difference", "relative", "ci95", "verdict",
        ]  # fmt: skip
        assert row["ci95"] is None or len(row["ci95"]) == 2


@pytest.mark.parametrize("margin", [-0.1, 1.0, float("nan")])
def test_a_margin_is_a_share(margin: float) -> None:
    with pytest.raises(UsageError, match="margin"):
        compare_subjects([side("A"), side("B")], margin=margin)


def test_one_is_nothing_to_compare() -> None:
    with pytest.raises(UsageError, match="at least two"):
        compare_subjects([side("A")])

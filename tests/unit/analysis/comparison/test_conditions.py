"""What `--fail-if` understands, what it refuses, and when a condition has surely failed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from compared import DECODE, N, about, around, block, kernel, layer, subject

from slmprof.analysis.comparison.comparison import Comparison, compare_subjects
from slmprof.analysis.comparison.conditions import Condition
from slmprof.analysis.comparison.places import PART, Place
from slmprof.errors import UsageError


def compared(*conditions: str, meta_b: Any = None, n: int = N, **b: Any) -> Comparison:
    """A side whose decode takes 10 ms, 6 of them in the FFN, beside another one."""
    base = {"decode": 10.0, "ffn": 6.0, "attention": 4.0, "mul_mat_vec_q": 9.0, "rope": 0.1}
    places = {
        "decode": DECODE,
        "ffn": block("ffn"),
        "attention": block("attention"),
        "mul_mat_vec_q": kernel("mul_mat_vec_q"),
        "rope": kernel("rope"),
        "vec_dot_q6_K_q8_K": kernel("mul_mat_vec_q", "vec_dot_q6_K_q8_K"),
        "tiled": kernel("mul_mat_vec_q", "tiled"),
    }
    sides = [
        {places[k]: around(v, seed=seed + i, n=n) for i, (k, v) in enumerate(of.items()) if v}
        for seed, of in ((1, base), (9, {**base, **b}))
    ]
    metas = (about(), meta_b or about())
    return compare_subjects(
        [
            subject(name, times, turn=turn, meta=meta)
            for name, times, turn, meta in zip("AB", sides, (0, 2), metas, strict=True)
        ],
        conditions=[Condition.parse(text) for text in conditions],
    )


def states(comparison: Comparison) -> list[str]:
    return [outcome.state for outcome in comparison.outcomes]


@pytest.mark.parametrize(
    ("text", "decode", "state"),
    [
        ("decode > 3%", 11.0, "failed"),
        ("decode>3%", 11.0, "failed"),
        ("decode > 3 %", 11.0, "failed"),
        ("decode > 10%", 11.0, "undecided"),
        ("decode > 15%", 11.0, "held"),
        ("decode > 0", 11.0, "failed"),
        ("decode > 0.5ms", 11.0, "failed"),
        ("decode > 500us", 11.0, "failed"),
        ("decode > 1.5ms", 11.0, "held"),
        ("decode > 3%", 10.0, "held"),
        ("decode > -20%", 10.0, "failed"),
        ("decode < 0", 9.0, "failed"),
        ("decode < -3%", 9.0, "failed"),
        ("decode < -15%", 9.0, "held"),
        ("decode <= -10%", 9.0, "undecided"),
        ("ffn.decode > 0.5ms", 11.0, "held"),
        ("mul_mat_vec_q > 3%", 11.0, "held"),
    ],
)
def test_a_condition_fails_only_where_it_is_sure(text: str, decode: float, state: str) -> None:
    comparison = compared(text, decode=decode)
    assert states(comparison) == [state]
    assert [o.condition.text for o in comparison.failed] == ([text] if state == "failed" else [])


def test_memory_is_exact() -> None:
    one_byte = about("memory", {"weights": 3 * 2**20, "kv_cache": 2**20 + 1})
    assert states(compared("kv_cache > 0", meta_b=one_byte)) == ["failed"]
    assert states(compared("kv_cache > 1B", meta_b=one_byte)) == ["held"]
    assert states(compared("kv_cache >= 1B", meta_b=one_byte)) == ["failed"]
    assert states(compared("kv_cache > 1%", meta_b=one_byte)) == ["held"]
    assert states(compared("kv_cache > 0")) == ["held"]
    assert states(compared("total < 0", meta_b=one_byte)) == ["failed"]
    assert states(compared("weights < -1MiB", meta_b=one_byte)) == ["failed"]


def test_the_peak_of_the_process_fails_beyond_what_processes_differ_by() -> None:
    for size, state in ((24, "undecided"), (25, "failed")):
        meta = about("memory", rss_peak_bytes=size * 2**20)
        assert states(compared("rss_peak > 0", meta_b=meta)) == [state]


def test_what_was_not_there_has_grown_by_more_than_any_percentage() -> None:
    grown = compared("tiled > 50%", "tiled > 0.5ms", "tiled > 2ms", tiled=1.0, vec_dot_q6_K_q8_K=8)
    assert states(grown) == ["failed", "failed", "held"]
    state = about("memory", {"recurrent_state": 5})
    assert states(compared("recurrent_state > 1000%", meta_b=state)) == ["failed"]


def test_a_kernel_is_named_by_itself_or_by_its_code() -> None:
    found = compared("mul_mat_vec_q > 3%", "tiled > 0", tiled=1.0, vec_dot_q6_K_q8_K=8)
    assert [o.row.is_of_code for o in found.outcomes] == [False, True]


def test_other_without_a_block_of_that_name_is_memory() -> None:
    assert states(compared("other > 0")) == ["held"]
    grown = compared("other > 0", "other > 3%", meta_b=about("memory", {"other": 5}))
    assert states(grown) == ["failed", "failed"]


def test_a_kind_of_memory_that_neither_has_is_nothing_on_both() -> None:
    made = compared("recurrent_state > 0", "recurrent_state > 1KiB", "recurrent_state >= 0")
    assert states(made) == ["held", "held", "failed"]
    assert (made.outcomes[0].row.a, made.outcomes[0].row.b) == (0, 0)


def test_layers_and_parts_are_named_as_well() -> None:
    sides = [
        subject(
            name,
            {
                layer(3): around(time, seed=turn),
                Place(PART, "decode", "ffn/gate_up", block="ffn", part="gate_up"): around(
                    time, seed=turn + 1
                ),
            },
            turn=turn,
        )
        for name, time, turn in (("A", 5.0, 0), ("B", 6.0, 2))
    ]
    texts = ("layer 3 > 3%", "layer 3.decode > 0.1ms", "gate_up > 3%", "ffn/gate_up.decode > 50%")
    made = compare_subjects(sides, conditions=[Condition.parse(text) for text in texts])
    assert states(made) == ["failed", "failed", "failed", "held"]


def test_a_kernel_that_some_processes_lack_decides_nothing() -> None:
    some = [1.0] * (N - 1) + [math.nan]
    times = {DECODE: around(9.0), kernel("rope"): around(1.0)}
    sides = [
        subject("A", times, turn=0),
        subject("B", {**times, kernel("new"): some, kernel("all"): around(1.0)}, turn=2),
    ]
    texts = ("new > 3%", "new > 0", "new > 0.1ms", "all > 3%")
    made = compare_subjects(sides, conditions=[Condition.parse(text) for text in texts])
    assert states(made) == ["undecided"] * 3 + ["failed"]


def test_without_a_phase_every_phase_counts() -> None:
    sides = [
        subject(
            name,
            {
                block("ffn", "prefill"): around(prefill, seed=turn),
                block("ffn"): around(6.0, seed=turn + 1),
            },
            turn=turn,
        )
        for name, prefill, turn in (("A", 20.0, 0), ("B", 30.0, 2))
    ]
    conditions = [Condition.parse(text) for text in ("ffn > 3%", "ffn.decode > 3%")]
    made = compare_subjects(sides, conditions=conditions)
    assert states(made) == ["failed", "held"]
    assert made.failed[0].row.phase == "prefill"


def test_one_process_decides_nothing_about_time_and_everything_about_memory() -> None:
    bigger = about("memory", {"kv_cache": 2**30})
    made = compared("decode > 3%", "kv_cache > 0", n=1, decode=20.0, meta_b=bigger)
    assert states(made) == ["undecided", "failed"]
    assert len(made.undecided) == 1 and "one process" in made.undecided[0].row.note


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no condition"),
        ("decode", "no condition"),
        ("decode = 3%", "no condition"),
        ("> 3%", "no condition"),
        ("3% < decode < 5%", "no condition"),
        ("decode > ", "no number"),
        ("decode > nan%", "no number"),
        ("decode > inf", "no number"),
        ("decode > fast", "no number"),
        ("decode > 1e999%", "too large"),
        ("decode > 3 %%", "no unit"),
        ("decode > 3 parsec", "no unit"),
        ("decode > 1,5 ms", "no unit"),
        ("decode > 3", "of what"),
        ("weights > 3", "of what"),
        ("decode > 3MiB", "milliseconds"),
        ("weights > 3ms", "bytes"),
        ("ffn.training > 3%", "no phase"),
        ("decode.prefill > 3%", "no phases"),
        ("weights.decode > 3%", "no phases"),
    ],
)
def test_what_is_no_condition_is_wrong_usage(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Condition.parse(text)


@pytest.mark.parametrize(
    "text", ["recurrent > 3%", "mul_mat_vec_qq > 3%", "prefill > 3%", "layer 9 > 0", "nope > 0"]
)
def test_what_names_nothing_is_never_a_pass(text: str) -> None:
    with pytest.raises(UsageError, match="names nothing that was compared"):
        compared(text)


def test_other_is_a_block_and_in_bytes_a_kind_of_memory() -> None:
    assert Condition.parse("other > 3%").what == "block"
    assert Condition.parse("other > 3MiB").what == "memory"

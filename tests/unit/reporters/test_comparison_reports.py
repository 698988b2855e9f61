"""The report of a comparison, on a terminal, as Markdown, JSON and CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from compared import DECODE, PREFILL, about, around, block, kernel, layer, op, subject
from reports import data, shown

from slmprof.analysis.comparison.comparison import Comparison, compare_subjects
from slmprof.analysis.comparison.conditions import Condition
from slmprof.reporters.documents.comparison import comparison_document


def compared(*conditions: str, turn: int | None = 2, n: int = 10, **more: Any) -> Comparison:
    """B's FFN is slower, by other code, and its cache is a byte larger."""
    sides = []
    for name, ffn, impl, at in (("base", 6.0, "vec_dot", 0), ("changed", 7.0, "repack", turn)):
        told = {
            PREFILL: 50.0,
            DECODE: 4.0 + ffn,
            block("ffn"): ffn,
            block("attention"): 3.0,
            kernel("mul_mat_vec_q"): ffn,
            kernel("mul_mat_vec_q", impl): ffn,
            layer(0): ffn + 3.0,
            op("ffn_out-0"): ffn,
            op("", part="norm", operator="RMS_NORM"): 0.1,
        }
        times = {p: around(v, 0.003, seed=i, n=n) for i, (p, v) in enumerate(told.items())}
        buffers = {"weights": 2**20, "kv_cache": 2**20 + (name == "changed")}
        meta = about("memory", buffers)
        if more and name == "changed":
            meta = meta.replace(environment=meta.environment.replace(**more))
        sides.append(subject(name, times, turn=at, meta=meta))
    return compare_subjects(sides, conditions=[Condition.parse(text) for text in conditions])


def test_the_verdict_stands_first() -> None:
    text = shown(comparison_document(compared("decode > 3%")))
    assert text.startswith("- changed decodes 10 % slower than base")
    joined = " ".join(text.split())
    assert "FFN +1 ms of +1 ms" in joined
    assert "Failed: decode > 3% (changed: decode +10.0 %, surely within" in joined


@pytest.mark.parametrize("is_full", [False, True])
def test_tables_fit_80_columns(is_full: bool) -> None:
    text = shown(comparison_document(compared(), is_full=is_full))
    assert max(map(len, text.splitlines())) <= 80
    for title in ("Latency and blocks", "Kernels of decode", "Memory"):
        assert title in text
    assert ("Ops of decode" in text) == is_full
    assert ("Changed as well: 1 layers (--by layer)" in text.replace("\n ", "")) != is_full


def test_code_that_only_one_ran_is_told() -> None:
    text = shown(comparison_document(compared()))
    assert "only in a" in text and "only in b" in text and "repack" in text


def test_a_difference_of_a_byte_is_shown() -> None:
    assert "+1 B" in shown(comparison_document(compared()))


def test_one_view_alone() -> None:
    text = shown(comparison_document(compared(), by="op"))
    assert "Ops of decode" in text and "norm rms_norm" in text and "Latency and blocks" not in text
    text = shown(comparison_document(compared(), by="op", top=1))
    assert "Ops of decode (1 of 2)" in text and "rms_norm" not in text
    assert "CPU weights" in shown(comparison_document(compared(), by="memory"))


def test_what_differs_stands_last() -> None:
    text = shown(comparison_document(compared(cpu="Other CPU", warnings=("throttled",))))
    assert "Differences in setup" in text and "Other CPU" in text
    assert "warning: changed: throttled" in text
    assert "measured on different machines" in text
    assert text.index("Differences in setup") > text.index("Memory")


def test_runs_that_did_not_take_turns_are_told() -> None:
    assert "were not run in turns" in shown(comparison_document(compared(turn=None)))
    assert "were not run in turns" not in shown(comparison_document(compared()))


def test_markdown_folds_the_details_away() -> None:
    text = shown(comparison_document(compared()), "markdown")
    assert text.startswith("- changed decodes")
    assert text.count("<details>") == text.count("</details>") >= 2
    head = text[: text.index("<details>")]
    assert head.count("\n| ---") == 1 and "&nbsp;&nbsp;ffn" in head
    assert "<details><summary>Kernels of decode</summary>\n\n|" in text


def test_the_sides_are_a_list_in_markdown() -> None:
    text = shown(comparison_document(compared()), "markdown")
    assert "\n\n- A: base · " in text and "\n- B: changed · " in text and "\n# " not in text


def test_names_keep_their_case_and_sentences_begin_with_a_capital() -> None:
    sides = [subject(n, {DECODE: around(9.0, seed=i)}, turn=i) for i, n in enumerate(("p1", "de"))]
    text = shown(comparison_document(compare_subjects(sides)))
    assert text.startswith(("- Decode is the same", "- Decode: unclear"))
    one = subject("p1", {DECODE: [9.0]})
    text = shown(comparison_document(compare_subjects([one, sides[1]])))
    assert "\n- p1 has one process" in text


def test_an_interval_without_end_is_not_spelt_out() -> None:
    wild = {DECODE: [10.0**i for i in range(-5, 5)]}
    made = compare_subjects([subject("A", turn=0), subject("B", wild, turn=2)])
    text = shown(comparison_document(made))
    assert "to > x10" in text and "0000" not in text
    row = data(comparison_document(made))["rows"][0]
    assert all(isinstance(end, float) for end in row["relative_corrected_ci"] + row["corrected_ci"])


def test_json_and_csv_have_every_row() -> None:
    document = comparison_document(compared("decode > 3%", "kv_cache > 0", "decode > 90%"))
    value = data(document)
    assert [f["expression"] for f in value["failed"]] == ["decode > 3%", "kv_cache > 0"]
    assert value["failed"][0]["row"]["name"] == "decode"
    assert [c["state"] for c in value["conditions"]] == ["failed", "failed", "held"]
    rows = list(csv.DictReader(io.StringIO(shown(document, "csv"))))
    assert len(rows) == len(value["rows"])
    assert {row["verdict"] for row in rows if row["name"] == "ffn"} == {"slower"}
    some = shown(comparison_document(compared(), by="block", phase="decode"), "csv")
    assert len(some.splitlines()) == 3


def test_several_pairs_say_which_they_are_of() -> None:
    sides = [subject(n, {DECODE: around(9.0, seed=i)}, turn=i) for i, n in enumerate("XYZ")]
    text = shown(comparison_document(compare_subjects(sides)))
    assert "A and B: Latency and blocks" in text and "A and C: Latency and blocks" in text


def test_one_process_says_how_to_get_a_verdict() -> None:
    text = shown(comparison_document(compared("decode > 3%", n=1)))
    joined = " ".join(text.split())
    assert "Each has one process" in joined and "--processes" in joined
    assert "Undecided: decode > 3% (changed: decode: each has one process" in joined

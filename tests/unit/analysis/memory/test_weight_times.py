"""The weights one by one, and what reading each costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import example_profile
from ceilings_builder import example_ceilings
from memory_builder import with_memory
from reports import shown

from slmprof.analysis.memory.weight_times import COLUMNS, weight_times
from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.profiles.records.meta import Meta
from slmprof.reporters.documents.runs.run import run_document
from slmprof.views import Profile

pytestmark = pytest.mark.usefixtures("by_name")


def table(profile: Profile) -> dict[str, dict[str, Any]]:
    rows = weight_times(profile, profile.op_rows).to_dict("records")
    return {row["tensor"]: {str(k): v for k, v in row.items()} for row in rows}


def tied() -> Profile:
    """The example, whose head is its embedding."""
    profile = example_profile()
    name = profile.tensors.name.copy()
    output, embedding = map(profile.strings.index, ("output.weight", "token_embd.weight"))
    name[name == output] = embedding
    return replace(profile, tensors=profile.tensors.replace(name=name))


def test_a_weight_has_its_type_size_and_the_time_of_what_reads_it() -> None:
    found = table(example_profile())
    assert set(found) == {
        *("token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight", "output.weight"),
    }
    row = found["blk.0.attn_q.weight"]
    assert (row["type"], row["shape"], row["size_bytes"]) == ("q4_K", (64, 64), 4096)
    assert (row["layer"], row["block"], row["bits_per_weight"]) == (0, "attention", 8.0)
    assert (row["prefill_ms"], row["decode_ms"]) == (10.0, 5.0)
    assert (row["prefill_calls"], row["prefill_share"]) == (1.0, 0.5)
    assert row["prefill_impl"] == "repack gemv_q4_K_8x8_q8_K"
    # As the op's own: 64·64 bytes of weights, and 64·16 floats in and out, in 10 ms.
    assert row["prefill_gbps"] == pytest.approx((64 * 64 + 2 * 4 * 64 * 16) / 10e-3 / 1e9)
    assert np.isnan(row["prefill_ceiling_share"]) and row["prefill_bound"] is None


def test_a_norm_is_of_the_group_that_it_is_fused_into() -> None:
    row = table(example_profile())["blk.0.attn_norm.weight"]
    assert (row["prefill_ms"], row["type"]) == (2.0, "f32")


def test_times_never_add_up_to_more_than_the_ops_take() -> None:
    profile = example_profile()
    rows = weight_times(profile, profile.op_rows)
    ops = profile.op_rows[profile.op_rows["phase"] == "decode"]
    # All but the product with the cache reads a weight.
    assert rows["decode_ms"].sum() == pytest.approx(ops["time_ms"].sum() - 2.0)


def test_a_weight_that_is_embedding_and_head_is_one_row() -> None:
    found = table(tied())
    assert len(found) == 3
    row = found["token_embd.weight"]
    # A look-up of 1 ms and a product of 3 ms.
    assert (row["prefill_ms"], row["prefill_calls"]) == (4.0, 2.0)
    assert row["prefill_impl"] == "vec_dot_q6_K_q8_K"


def test_a_weight_that_no_op_reads_has_no_times_and_stands_last() -> None:
    profile = with_memory()
    rows = weight_times(profile, profile.op_rows.iloc[:0])
    assert rows[["prefill_ms", "decode_ms", "decode_gbps"]].isna().all(axis=None)
    assert len(rows) == 4
    unread = replace(profile, strings=(*profile.strings, "blk.9.unused.weight"))
    number = len(unread.strings) - 1
    name = unread.places.name.copy()
    name[0] = number
    unread = replace(unread, places=unread.places.replace(name=name))
    last = list(table(unread).values())[-1]
    assert (last["tensor"], last["layer"]) == ("blk.9.unused.weight", 9)
    assert np.isnan(last["prefill_ms"]) and last["decode_impl"] is None


def test_types_and_sizes_are_those_of_the_file_where_it_is_known() -> None:
    row = table(with_memory())["token_embd.weight"]
    assert (row["size_bytes"], row["shape"], row["bits_per_weight"]) == (2**20, (1024, 2048), 4.0)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_a_name_of_a_weight_is_not_broken_where_one_phase_is_shown(phase: str) -> None:
    profile = example_profile()
    bounded = replace(profile, meta=profile.meta.replace(ceilings=example_ceilings()))
    text = shown(bounded, by="tensor", phase=phase)
    names = {line.split()[0] for line in text.partition("Weights")[2].splitlines() if "." in line}
    assert {"token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight"} <= names
    assert f"80 columns leave out shape, {phase} code;" in text


def test_one_phase_leaves_the_other_null() -> None:
    breakdown = break_down(example_profile(), by="tensor", phase="decode")
    rows = breakdown.tables["tensor"]
    assert rows["prefill_ms"].isna().all() and rows["decode_ms"].notna().all()


def test_the_view_fits_a_terminal_and_json_has_every_column() -> None:
    profile = example_profile()
    meta = Meta.from_json({**profile.meta.to_json(), "ceilings": example_ceilings().to_json()})
    breakdown = break_down(replace(profile, meta=meta), by="tensor", top=3)
    text = shown(run_document(breakdown))
    assert max(map(len, text.splitlines())) <= 80
    assert "Weights (3 of 4)" in text and "roof" in text and "blk.0.attn_q.weight" in text
    lines = text.splitlines()
    units = next(i for i, line in enumerate(lines) if line.startswith("weight "))
    assert lines[units - 1].split() == ["prefill", *["decode"] * 3]
    left_out = "80 columns leave out shape, prefill GB/s, prefill roof, prefill code, decode code;"
    assert f"{left_out} widen to 180 or use --format csv." in " ".join(text.split())
    wide = shown(run_document(breakdown), width=200)
    assert "leave out" not in wide and "repack gemv_q4_K_8x8_q8_K" in wide
    assert any(line.split() == ["prefill"] * 4 + ["decode"] * 4 for line in wide.splitlines())
    made = run_document(breakdown).data()["tensors"]
    assert [list(row) for row in made] == [list(COLUMNS)] * 3
    assert made[0]["tensor"] == "blk.0.attn_q.weight" and made[0]["decode_ceiling_share"] > 0
    names = run_document(breakdown).rows().names
    assert list(names)[: len(COLUMNS)] == list(COLUMNS)


def test_a_profile_without_graphs_or_places_has_no_weights() -> None:
    profile = example_profile()
    empty = replace(profile, tensors=profile.tensors.take(np.arange(0)))
    assert weight_times(empty, profile.op_rows.iloc[:0]).empty


def test_where_shares_are_withheld_milliseconds_decide_the_order() -> None:
    profile = example_profile()
    rows = weight_times(profile, profile.op_rows.assign(share=np.nan))
    assert rows["prefill_share"].isna().all()
    assert rows["prefill_ms"].tolist() == [10.0, 3.0, 2.0, 1.0]

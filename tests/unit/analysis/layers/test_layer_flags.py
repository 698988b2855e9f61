"""Layers that stand out, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import example_profile
from memory_builder import with_memory
from op_rows import in_layers, op_rows, weight_rows

from slmprof.analysis.layers.finders import layer_flags
from slmprof.analysis.layers.flags import LayerFlag
from slmprof.analysis.layers.windows import layer_windows
from slmprof.analysis.memory.weights import weight_table
from slmprof.reporters.documents.parts import listed
from slmprof.reporters.documents.runs.layers import flag_record, flag_text, flag_texts
from slmprof.reporters.renderers.cells import ASCII, printable
from slmprof.views import Profile

NO_WEIGHTS = weight_rows()


def text(flag: LayerFlag) -> str:
    return flag_text(flag)


def types(*stems: str, q6: set[int], n_layers: int = 8) -> list[Any]:
    blocks = {"attn_v": "attention", "ffn_down": "ffn"}
    return [
        (stem, n, blocks[stem], "q6_K" if n in q6 else "q4_K", [256, 64])
        for stem in stems
        for n in range(n_layers)
    ]


def test_layers_that_are_alike_have_no_flag() -> None:
    assert layer_flags(op_rows(*in_layers(8)), NO_WEIGHTS) == ()


@pytest.mark.parametrize("n_layers", [0, 1])
def test_one_layer_or_none_cannot_stand_out(n_layers: int) -> None:
    assert layer_flags(op_rows(*in_layers(n_layers), {"layer": None}), NO_WEIGHTS) == ()


def test_a_slow_layer_without_another_difference() -> None:
    rows = op_rows(*in_layers(8, time_ms=lambda n: 3.0 if n == 5 else 1.0))
    (flag,) = layer_flags(rows, NO_WEIGHTS)
    assert (flag.phase, flag.layers, flag.block, flag.kind) == ("decode", (5,), "ffn", "time")
    assert flag.figures.ratio == (3.0, 3.0) and flag.figures.median_ms == 1.0
    assert all(fact in text(flag) for fact in ("Layer 5", "decode", "ffn", "3.00x", "noise"))


def test_the_first_layer_is_said_to_be_first() -> None:
    rows = op_rows(*in_layers(8, time_ms=lambda n: 2.0 if n == 0 else 1.0))
    (flag,) = layer_flags(rows, NO_WEIGHTS)
    assert flag.figures.is_first and "cold caches" in text(flag)


def test_small_or_usual_differences_are_no_flag() -> None:
    slight = in_layers(8, time_ms=lambda n: 1.14 if n == 5 else 1.0)
    assert layer_flags(op_rows(*slight), NO_WEIGHTS) == ()
    # All times are spread as far.
    spread = in_layers(8, time_ms=lambda n: 1.0 + 0.2 * n)
    assert layer_flags(op_rows(*spread), NO_WEIGHTS) == ()
    # Twice as long, but a block that takes next to nothing of its layer.
    tiny = in_layers(8, block="attention", time_ms=lambda n: 0.02 if n == 5 else 0.01)
    assert layer_flags(op_rows(*in_layers(8), *tiny), NO_WEIGHTS) == ()


def test_types_of_several_weights_are_one_flag_for_both_phases() -> None:
    odd = {0, 1, 6, 7}
    rows = [
        row
        for phase in ("prefill", "decode")
        for block in ("attention", "ffn")
        for row in in_layers(
            8,
            phase=phase,
            block=block,
            dtypes=lambda n: "q6_K,f32->f32" if n in odd else "q4_K,f32->f32",
            time_ms=lambda n: 1.5 if n in odd else 1.0,
        )
    ]
    weights = weight_rows(*types("attn_v", "ffn_down", q6=odd))
    (flag,) = layer_flags(op_rows(*rows), weights)
    assert (flag.phase, flag.block, flag.kind) == (None, None, "type")
    said = text(flag)
    assert all(
        fact in said for fact in ("Layers 0, 1, 6, 7", "attn_v and ffn_down", "q6_K", "q4_K")
    )
    assert said.count("attention 1.50x, ffn 1.50x") == 2 and "in prefill" in said
    record = flag_record(flag)
    assert set(record) == {"phase", "layers", "block", "kind", "text", "figures"}
    assert record["layers"] == [0, 1, 6, 7]


def test_three_types_are_not_said_to_be_two() -> None:
    weights = weight_rows(*types("ffn_down", q6={7}), *[("ffn_down", 8, "ffn", "q8_0", [256, 64])])
    flags = layer_flags(op_rows(*in_layers(9)), weights)
    assert [flag.layers for flag in flags] == [(7,), (8,)]
    assert all("elsewhere mostly q4_K" in text(flag) for flag in flags)


def test_sizes_of_weights_and_wanted_outputs() -> None:
    weights = weight_rows(*[("ffn_up", n, "ffn", "q4_K", [256, 512 + 64 * (n == 3)])
                            for n in range(8)])  # fmt: skip
    prefill = in_layers(
        8, phase="prefill", shape=lambda n: [64] if n == 7 else [64, 50],
        time_ms=lambda n: 0.1 if n == 7 else 1.0,
    )  # fmt: skip
    size, columns = layer_flags(op_rows(*prefill), weights)
    assert size.kind == columns.kind == "size"
    assert all(fact in text(size) for fact in ("Layer 3", "ffn_up", "256x576", "256x512"))
    assert columns.phase == "prefill" and columns.layers == (7,)
    assert all(fact in text(columns) for fact in ("1 token,", "50", "last layer"))
    assert "ffn 0.10x" in text(columns)


def test_structure_of_mixtures_and_hybrids() -> None:
    experts = [{"layer": n, "part": part} for n in range(1, 6) for part in ("router", "experts")]
    (flag,) = layer_flags(op_rows(*experts, {"layer": 0, "part": "down"}), NO_WEIGHTS)
    assert (flag.kind, flag.layers) == ("structure", (0,))
    assert all(fact in text(flag) for fact in ("with down", "without experts and router"))
    mixers = in_layers(8, block=lambda n: "attention" if n in (3, 7) else "recurrent")
    (flag,) = layer_flags(op_rows(*mixers), NO_WEIGHTS)
    assert (
        flag.layers == (3, 7)
        and text(flag) == "Layers 3, 7 (decode): attention, elsewhere recurrent."
    )


def test_weights_stand_in_the_block_that_runs() -> None:
    weights = weight_rows(*[("attn_v", n, "attention", "q6_K" if n == 2 else "q4_K", [256, 64])
                            for n in range(6)])  # fmt: skip
    (flag,) = layer_flags(op_rows(*in_layers(6, block="recurrent")), weights)
    assert flag.block == "recurrent"


def test_other_code_for_the_same_weights() -> None:
    rows = op_rows(*in_layers(8, impl=lambda n: "vec_dot" if n in (1, 2) else "repack"))
    (flag,) = layer_flags(rows, NO_WEIGHTS)
    assert (flag.kind, flag.layers) == ("impl", (1, 2))
    assert all(fact in text(flag) for fact in ("ffn", "down", "vec_dot", "elsewhere repack"))
    # Other code for another type is what the type brings.
    typed = in_layers(
        8,
        impl=lambda n: "vec_dot" if n == 1 else "repack",
        dtypes=lambda n: "q6_K,f32->f32" if n == 1 else "q4_K,f32->f32",
    )
    kinds = [f.kind for f in layer_flags(op_rows(*typed), weight_rows(*types("ffn_down", q6={1})))]
    assert kinds == ["type"]


def test_other_differences_name_the_ops() -> None:
    rows = in_layers(
        8, op="SOFT_MAX", kernel="soft_max", part="softmax", block="attention",
        shape=lambda n: [512 if n % 4 == 0 else 2048],
    )  # fmt: skip
    (flag,) = layer_flags(op_rows(*rows), NO_WEIGHTS)
    assert (flag.kind, flag.layers) == ("structure", (0, 4))
    assert "SOFT_MAX (softmax)" in text(flag)


def test_windows_explain_what_follows_from_them() -> None:
    """Gemma 3's: every sixth layer sees the whole context; the last one keeps a single row."""
    full = (5, 11, 17)
    cells = in_layers(
        18, block="attention", op="SET_ROWS", kernel="set_rows", part="kv_write",
        shape=lambda n: [256, 2048 if n in full else 1024],
    )  # fmt: skip
    select = {"layer": 17, "block": "attention", "op": "GET_ROWS", "part": "row_select"}
    windows = {n: 0 if n in full else 512 for n in range(18)}
    (flag,) = layer_flags(op_rows(*cells, select), NO_WEIGHTS, windows)
    assert (flag.phase, flag.layers, flag.block, flag.kind) == (
        *(None, full, "attention", "structure"),
    )
    assert text(flag).startswith(
        "Layers 5, 11, 17: attention to the whole context, the other 15 to a window of 512 tokens;"
    )
    assert flag_record(flag)["figures"] == {
        "is_first": False, "is_last": False, "window": None, "usual_window": 512, "n_windows": 2,
        "n_usual": 15, "time_ratio": {"decode": {"attention": 1.0}},
    }  # fmt: skip


def test_what_a_window_does_not_explain_is_told() -> None:
    windows = {n: 512 if n % 2 else 0 for n in range(8)}
    cells = in_layers(
        8, block="attention", op="SET_ROWS", kernel="set_rows", part="kv_write",
        shape=lambda n: [256, 2048, 3] if n == 4 else [256, 1024 if n % 2 else 2048],
    )  # fmt: skip
    window, ops = layer_flags(op_rows(*cells), NO_WEIGHTS, windows)
    assert window.layers == (1, 3, 5, 7) and "a window of 512 tokens, the other 4" in text(window)
    assert ops.layers == (4,) and "SET_ROWS (kv_write)" in text(ops)
    # An FFN has no window.
    shapes = in_layers(8, shape=lambda n: [64 if n % 2 else 128])
    assert [f.kind for f in layer_flags(op_rows(*shapes), NO_WEIGHTS, windows)] == [
        *("structure", "structure"),
    ]


def test_equal_windows_are_no_flag_and_three_are_not_said_to_be_two() -> None:
    rows = op_rows(*in_layers(8, block="attention"))
    assert layer_flags(rows, NO_WEIGHTS, dict.fromkeys(range(8), 512)) == ()
    # Of layers that are not in the profile nothing is said.
    assert layer_flags(rows, NO_WEIGHTS, {90: 1}) == ()
    three = dict.fromkeys(range(6), 512) | {6: 0, 7: 1024}
    texts = [text(flag) for flag in layer_flags(rows, NO_WEIGHTS, three)]
    assert all("mostly to a window of 512 tokens" in one for one in texts) and len(texts) == 2


def test_windows_of_a_profile() -> None:
    profile = with_memory()
    assert layer_windows(profile) == {0: 0}
    places = profile.places.replace(n_swa=np.array([0, 0, 512, 512], np.int64))
    assert layer_windows(replace(profile, places=places)) == {0: 512}
    assert layer_windows(example_profile()) == {}


def test_rows_selected_behind_the_last_attention_are_no_news() -> None:
    rows = in_layers(4, block="attention", part="out_proj", shape=[64, 8])
    residual = in_layers(
        4, block="attention", op="ADD", kernel="bin_bcast", part="residual",
        shape=lambda n: [64] if n == 3 else [64, 8],
    )  # fmt: skip
    select = {"layer": 3, "block": "attention", "op": "GET_ROWS", "part": "row_select"}
    assert layer_flags(op_rows(*rows, *residual, select), NO_WEIGHTS) == ()


def test_hostile_rows() -> None:
    rows = in_layers(6, time_ms=0.0, part="", impl=None, shape=[], dtypes="")
    assert layer_flags(op_rows(*rows), NO_WEIGHTS) == ()
    huge = in_layers(6, time_ms=lambda n: 1e300 if n == 2**0 else 1e-300)
    (flag,) = layer_flags(op_rows(*huge), NO_WEIGHTS)
    assert "median" in text(flag)
    named = weight_rows(*[("w\x1b[2J", n, "", "q4\n" if n else "q\u0416", [1]) for n in range(3)])
    (flag,) = layer_flags(op_rows(*in_layers(3)), named)
    shown = printable(flag_text(flag), ASCII)
    assert shown.isprintable() and shown.isascii()


def test_lists_and_runs_of_layers_stay_short() -> None:
    assert [listed(list(names)) for names in ("", "a", "ab", "abcd", "abcdef")] == [
        *("", "a", "a and b", "a, b, c and d", "a, b, c and 3 more"),
    ]
    weights = weight_rows(*types("ffn_down", q6=set(range(0, 200, 3)), n_layers=200))
    (flag,) = layer_flags(op_rows(*in_layers(200)), weights)
    assert "and others (67 layers)" in text(flag) and len(text(flag)) < 300


def test_many_flags_of_a_kind_are_counted() -> None:
    weights = weight_rows(
        *[
            (f"w{i}", n, "ffn", "q6_K" if n == i else "q4_K", [256, 64])
            for i in range(8)
            for n in range(9)
        ]
    )
    rows = in_layers(9, time_ms=lambda n: 2.0 if n == 6 else 1.0)
    flags = layer_flags(op_rows(*rows), weights)
    texts = flag_texts(flags)
    types = [flag for flag in flags if flag.kind == "type"]
    assert len(types) == 8 and sum("q6_K" in shown for shown in texts) == 5
    # What goes with the largest difference in time is shown.
    assert any("w6 is q6_K" in shown for shown in texts)
    assert any(said.startswith("3 more") and "type" in said for said in texts)


def test_weights_of_a_profile(profile: Profile) -> None:
    weights = weight_table(profile).set_index("name")
    assert weights.loc["blk.0.attn_q.weight", ["stem", "layer", "block", "type"]].tolist() == [
        *("attn_q", 0, "attention", "q4_K"),
    ]
    assert weights.loc["token_embd.weight", "read"] == "rows"
    assert weights.loc["output.weight", "read"] == "whole"
    assert weights.loc["output.weight", "shape"] == (64, 256, 1, 1)
    assert "cache_k_l0" not in weights.index

"""Time by op, and by what ops add up to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import MS, example_profile, with_custom_type
from ceilings_builder import example_ceilings
from work_builder import TYPES

from slmprof.analysis.graphs.kernel_names import kernel_name
from slmprof.analysis.tables.lanes import lane_table
from slmprof.profiles.tables import EventTable
from slmprof.views import Profile

PHASES = ("prefill", "decode")


def _op(profile: Profile, phase: str, tensor: str) -> pd.Series:
    rows = profile.ops()
    (row,) = [r for _, r in rows[(rows.phase == phase) & (rows.tensor == tensor)].iterrows()]
    return row


def test_columns_are_the_contract(profile: Profile) -> None:
    # As written in the README and in the JSON's description: names that others' programs rely on.
    assert " ".join(profile.ops().columns) == (
        "phase op kernel impl tensor layer block part dtypes shape fused backend calls time_ms "
        "compute_ms wait_ms slowest_ms imbalance share flops bytes weight_bytes gflops gbps "
        "memory_share compute_share kernel_share ceiling_share bound weight lane "
        "device"
    )
    assert list(profile.blocks().columns) == ["phase", "block", "time_ms", "share"]
    assert list(profile.layers().columns) == ["phase", "layer", "block", "time_ms", "share"]
    assert list(profile.kernels().columns) == [
        *("phase", "kernel", "impl", "calls", "time_ms", "share", "gbps", "ceiling_share", "bound"),
    ]


def test_everything_adds_up_to_the_ops_segment(profile: Profile) -> None:
    phases = profile.phases().set_index("phase")
    for table in (profile.ops(), profile.blocks(), profile.layers(), profile.kernels()):
        for phase in PHASES:
            rows = table[table.phase == phase]
            assert rows.time_ms.sum() == pytest.approx(phases.loc[phase, "segments_ms.ops"])
            assert rows.share.sum() == pytest.approx(1.0)


def test_an_op_of_prefill(profile: Profile) -> None:
    row = _op(profile, "prefill", "Qcur-0")
    assert (row.op, row.kernel, row.impl) == ("MUL_MAT", "mul_mat_q", "repack gemv_q4_K_8x8_q8_K")
    assert (row.layer, row.block, row.part) == (0, "attention", "qkv")
    assert (row["dtypes"], row["shape"], row.backend) == ("q4_K,f32->f32", (64, 16), "CPU")
    assert (row.calls, row.time_ms, row.share) == (1.0, 10.0, 0.5)
    assert (row.compute_ms, row.wait_ms) == pytest.approx((7.0, 3.0))
    # 2·64·16·64; 64·64 bytes of weights, and 64·16 floats in and out.
    assert row.flops == 2 * 64 * 16 * 64
    assert row.bytes == 64 * 64 + 2 * 4 * 64 * 16
    assert row.gflops == pytest.approx(row.flops / 10e-3 / 1e9)
    assert row.gbps == pytest.approx(row.bytes / 10e-3 / 1e9)
    assert row.bound is pd.NA


def test_graphs_of_one_phase_merge_to_one_row(profile: Profile) -> None:
    row = _op(profile, "decode", "kq-0")
    # Each of the two decode graphs, with 32 and 48 cached tokens, ran in every other step.
    assert (row.calls, row.time_ms) == (1.0, 2.0)
    assert row.flops == 2 * 64 * (32 + 48) / 2
    assert row["shape"] == (32,)
    assert len(profile.ops()) == 10


def test_shape_is_that_of_the_graph_that_ran_most(profile: Profile) -> None:
    runs = profile.runs
    graph = runs.graph.copy()
    decode = np.flatnonzero(graph == 1)
    graph[decode[0]] = 2
    changed = replace(profile, runs=runs.replace(graph=graph))
    assert _op(changed, "decode", "kq-0")["shape"] == (48,)


def test_fused_group_names_its_members(profile: Profile) -> None:
    row = _op(profile, "prefill", "attn_norm-0")
    assert (row.op, row.kernel, row.fused) == ("RMS_NORM", "rms_norm", ("RMS_NORM", "MUL"))
    assert (row.block, row.part, row.layer) == ("attention", "norm", 0)
    # 64 x 16: three operations an element and four a row, and one more for the weight. What the
    # first member leaves for the second is no traffic.
    assert row.flops == 3 * 1024 + 4 * 16 + 1024
    assert row.bytes == 2 * 4 * 1024 + 4 * 64
    assert row.weight_bytes == 4 * 64
    assert _op(profile, "prefill", "embd").fused == ()


def test_outside_the_layers_layer_is_null(profile: Profile) -> None:
    assert _op(profile, "prefill", "embd").layer is pd.NA
    layers = profile.layers()
    assert layers[layers.phase == "prefill"].layer.isna().tolist() == [False, True, True]


def test_equal_names_are_told_apart_by_their_order(profile: Profile) -> None:
    tensors = profile.tensors
    name, op = tensors.name.copy(), tensors.op.copy()
    name[tensors.node == 5] = name[np.flatnonzero(tensors.node == 3)]
    changed = replace(profile, tensors=tensors.replace(name=name, op=op))
    rows = changed.ops()
    both = rows[(rows.phase == "decode") & (rows.tensor == "Qcur-0")]
    assert sorted(both.time_ms) == [2.0, 5.0]


def test_another_path_is_another_row(profile: Profile) -> None:
    events = profile.events
    path = events.path.copy()
    other = path[events.node == 6][0]
    path[(events.node == 3) & (events.run == 0)] = other
    rows = replace(profile, events=events.replace(path=path)).ops()
    both = rows[(rows.phase == "prefill") & (rows.tensor == "Qcur-0")]
    assert both.calls.tolist() == [0.5, 0.5]
    assert both.time_ms.tolist() == [5.0, 5.0]


def test_blocks_and_kernels(profile: Profile) -> None:
    blocks = profile.blocks()
    prefill = blocks[blocks.phase == "prefill"].set_index("block").time_ms.to_dict()
    assert prefill == pytest.approx({"attention": 16.0, "lm_head": 3.0, "embedding": 1.0})
    kernels = profile.kernels()
    decode = (
        kernels[kernels.phase == "decode"].groupby("kernel")[["time_ms", "share", "calls"]].sum()
    )
    assert decode.time_ms.to_dict() == pytest.approx(
        {"mul_mat_vec_q": 6.5, "mul_mat_vec_f": 2.0, "rms_norm": 1.0, "get_rows": 0.5}
    )
    assert decode.calls.to_dict() == {
        "mul_mat_vec_q": 2.0,
        "mul_mat_vec_f": 1.0,
        "rms_norm": 1.0,
        "get_rows": 1.0,
    }


def test_time_without_events_is_a_row_of_its_own(profile: Profile) -> None:
    empty = replace(profile, events=EventTable.empty())
    rows = empty.ops()
    assert rows.op.tolist() == ["UNRECORDED", "UNRECORDED"]
    assert rows.time_ms.tolist() == [20.0, 10.0]
    assert rows.block.tolist() == ["other", "other"]


def test_a_lost_first_event_is_not_lost_time(profile: Profile) -> None:
    events = profile.events
    lost = (events.run == 0) & (events.node == 0)
    rows = replace(profile, events=events.take(~lost)).ops()
    prefill = rows[rows.phase == "prefill"].set_index("op").time_ms
    assert prefill["UNRECORDED"] == 0.5
    assert prefill.sum() == pytest.approx(20.0)


def test_returned_tables_are_copies(profile: Profile) -> None:
    rows = profile.ops()
    rows["time_ms"] = 0.0
    assert profile.ops().time_ms.sum() == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("op", "source", "result", "n_columns", "kernel"),
    [
        ("MUL_MAT", "q4_K", "f32", 1, "mul_mat_vec_q"),
        ("MUL_MAT", "q4_K", "f32", 8, "mul_mat_vec_q"),
        ("MUL_MAT", "q4_K", "f32", 9, "mul_mat_q"),
        ("MUL_MAT", "iq2_xxs", "f32", 9, "mul_mat_q"),
        ("MUL_MAT", "f16", "f32", 1, "mul_mat_vec_f"),
        ("MUL_MAT", "bf16", "f32", 50, "mul_mat_f"),
        ("MUL_MAT_ID", "q6_K", "f32", 1, "mul_mat_vec_q"),
        ("FLASH_ATTN_EXT", "f32", "f32", 0, "flash_attn"),
        ("SOFT_MAX", "f32", "f32", 0, "soft_max"),
        ("RMS_NORM", "f32", "f32", 0, "rms_norm"),
        ("NORM", "f32", "f32", 0, "norm"),
        ("ROPE", "f32", "f32", 0, "rope"),
        ("SET_ROWS", "f32", "f16", 0, "cpy_f32_f16"),
        ("CPY", "f32", "q8_0", 0, "cpy_f32_q8_0"),
        ("CONT", "f16", "f16", 0, "cpy_f16_f16"),
        ("ADD", "f32", "f32", 0, "bin_bcast"),
        ("GET_ROWS", "q4_K", "f32", 0, "get_rows"),
        ("GLU", "f32", "f32", 0, "glu"),
        ("UNARY", "f32", "f32", 0, "unary"),
        ("SSM_SCAN", "f32", "f32", 0, "ssm_scan"),
        ("", "", "", 0, "unrecorded"),
    ],
)
def test_kernel_names(op: str, source: str, result: str, n_columns: int, kernel: str) -> None:
    is_quantized = source in TYPES and TYPES[source].is_quantized
    assert kernel_name(op, source, result, n_columns, is_quantized) == kernel


def test_a_custom_type_has_a_kernel_work_and_a_bound(profile: Profile) -> None:
    meta = profile.meta.replace(ceilings=example_ceilings())
    ops = with_custom_type(replace(profile, meta=meta)).ops()
    row = ops[(ops["tensor"] == "Qcur-0") & (ops["phase"] == "decode")].iloc[0]
    assert row["dtypes"] == "q5_X,f32->f32" and row["kernel"] == "mul_mat_vec_q"
    assert row["flops"] == 2 * 96 * 64
    # Two blocks of 34 bytes for each of 64 rows, 96 floats in and 64 out.
    assert row["weight_bytes"] == 64 * 2 * 34
    assert row["bytes"] == 64 * 2 * 34 + 4 * (96 + 64)
    assert row["ceiling_share"] > 0 and row["bound"]


def test_bytes_of_a_view_leave_out_what_lies_between_its_rows(profile: Profile) -> None:
    # Values are cached transposed: a row of a tensor of 64 by n_kv lies n_ctx elements further on.
    tensors = profile.tensors
    cache = tensors.name == profile.strings.index("cache_k_l0")
    n_ctx, rows = 2048, tensors.ne1
    apart = tensors.replace(
        nb1=np.where(cache, 2 * n_ctx, tensors.nb1),
        size_bytes=np.where(cache, 2 * n_ctx * (rows - 1) + 2 * 64, tensors.size_bytes),
    )
    expected = _op(profile, "prefill", "kq-0").bytes
    assert expected == 2 * 64 * 32 + 4 * 64 * 16 + 4 * 32 * 16
    assert _op(replace(profile, tensors=apart), "prefill", "kq-0").bytes == expected


def test_bytes_of_a_factor_that_is_repeated_count_once(profile: Profile) -> None:
    tensors = profile.tensors
    cache = tensors.name == profile.strings.index("cache_k_l0")
    once = tensors.replace(
        nb1=np.where(cache, 0, tensors.nb1), size_bytes=np.where(cache, 128, tensors.size_bytes)
    )
    row = _op(replace(profile, tensors=once), "prefill", "kq-0")
    assert row.bytes == 128 + 4 * 64 * 16 + 4 * 32 * 16


def test_absurd_times_stay_numbers(profile: Profile) -> None:
    steps = profile.steps
    end = steps.begin_ns.copy()
    flat = replace(profile, steps=steps.replace(end_ns=end))
    table = flat.phases()
    assert table["attributed_share"].isna().all()
    assert example_profile().steps.end_ns[0] - example_profile().steps.begin_ns[0] == 99 * MS


def test_an_op_names_its_lane_and_device(profile: Profile) -> None:
    row = _op(profile, "prefill", "Qcur-0")
    assert (row.lane, row.device) == (0, "CPU")
    lanes = lane_table(profile)
    assert lanes.to_dict("records") == [
        {"lane": n, "device": "CPU", "kind": "cpu_thread"} for n in (0, 1)
    ]
    # What was not recorded has none.
    events = profile.events
    rows = replace(profile, events=events.take(events.node != 5)).ops()
    assert rows[rows["op"] == "UNRECORDED"]["lane"].isna().all()

"""The roofs of each op, from frames and ceilings with round figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ceilings_builder import KIB, MIB, example_ceilings

from slmprof.analysis.work.roofline import add_bounds, exceeds_roof
from slmprof.analysis.work.roofs import level_roofs, product_roofs

STREAMED = {"prefill": 100.0 * MIB, "decode": 100.0 * MIB}

PRODUCT: dict[str, Any] = {
    "phase": "decode",
    "op": "MUL_MAT",
    "kernel": "mul_mat_vec_q",
    "part": "gate_up",
    "dtypes": "q4_K,f32->f32",
    "shape": [1000],
    "calls": 1.0,
    "time_ms": 1.0,
    "compute_ms": 0.95,
    "wait_ms": 0.05,
    "slowest_ms": 0.99,
    "flops": 4e6,
    "bytes": 5e6,
    "weight_bytes": 5e6,
}
ADD: dict[str, Any] = {
    **PRODUCT,
    "op": "ADD",
    "kernel": "bin_bcast",
    "part": "residual",
    "dtypes": "f32,f32->f32",
    "flops": 1e3,
    "bytes": 12e3,
    "weight_bytes": 0.0,
}
ATTENTION: dict[str, Any] = {
    **PRODUCT,
    "op": "FLASH_ATTN_EXT",
    "kernel": "flash_attn",
    "part": "flash_attn",
    "dtypes": "f32,f16,f16,f16->f32",
    "shape": [64, 14],
    "flops": 3e6,
    "bytes": 4e6,
    "weight_bytes": 0.0,
}


TIMES = ("time_ms", "compute_ms", "wait_ms", "slowest_ms")


def judged(*rows: dict[str, Any], step_bytes: Mapping[str, float] = STREAMED, **more: Any) -> Any:
    """The rows with their shares and bounds."""
    arguments = {"ceilings": example_ceilings(), "n_threads": 2, "step_bytes": step_bytes, **more}
    return add_bounds(pd.DataFrame([*rows]), **arguments)


def bounded(
    row: dict[str, Any], step_bytes: Mapping[str, float] = STREAMED, **changes: Any
) -> tuple[float, str | None]:
    """Share of the ceiling of one op, and its bound where it takes so long that it is at 90 %."""
    row = {**row, **changes}
    share = float(judged(row, step_bytes=step_bytes).ceiling_share[0])
    near = {**row, **{name: row[name] * share / 0.9 for name in TIMES}}
    return share, judged(near, step_bytes=step_bytes).bound[0]


def bound_now(row: dict[str, Any], **changes: Any) -> str | None:
    """Bound of one op as it is."""
    word: str | None = judged({**row, **changes}).bound[0]
    return word


def test_weights_that_a_step_streams_come_from_memory() -> None:
    # 5 MB at 10 GB/s are 0.5 ms, 4 MFLOP at 40 GFLOP/s 0.1 ms.
    assert bounded(PRODUCT) == (pytest.approx(0.5), "memory")


def test_weights_of_a_small_model_stay_in_a_cache() -> None:
    # The same from L3: 0.05 ms, so that the arithmetic is the lower roof.
    assert bounded(PRODUCT, {"decode": 6.0 * MIB}) == (pytest.approx(0.1), "kernel")
    assert bounded(PRODUCT, {"decode": 6.0 * MIB}, flops=1e6) == (pytest.approx(0.05), "cache")
    # Two threads have two L2 of 1 MiB.
    in_l2 = {"decode": 2.0 * MIB}
    # Bytes and operations take equally long there: neither is the cause.
    assert bounded(PRODUCT, in_l2, flops=1e6) == (pytest.approx(0.025), "unexplained")
    assert bounded(PRODUCT, in_l2, flops=8e5) == (pytest.approx(0.025), "cache")


def test_many_columns_are_compared_with_the_best_product_of_many() -> None:
    many = {"kernel": "mul_mat_q", "shape": [1000, 50], "flops": 120e6}
    assert bounded(PRODUCT, **many) == (pytest.approx(0.6), "kernel")
    # The repacked product is the faster one of many columns, the plain one of a single column.
    assert bounded(PRODUCT, flops=32e6) == (pytest.approx(0.8), "kernel")


def test_the_tokens_of_a_mixture_of_experts_are_its_columns() -> None:
    experts = {**PRODUCT, "op": "MUL_MAT_ID", "flops": 20e6, "weight_bytes": 0.0, "bytes": 8.0}
    assert bounded(experts, shape=[1000, 8]) == (pytest.approx(0.5), "kernel")
    assert bounded(experts, shape=[1000, 8, 50]) == (pytest.approx(0.1), "kernel")


def test_activations_come_from_the_level_that_holds_them() -> None:
    # 12 kB fit in two L1: copying at 200 GB/s. Arithmetic is no roof: 1 kFLOP at 20 GFLOP/s.
    short = {"time_ms": 2e-3, "wait_ms": 0.0, "slowest_ms": 2e-3}
    assert bounded(ADD, **short)[0] == pytest.approx(0.03)
    # 4 MB fit in L3 only: at 50 GB/s; 100 MB nowhere: at 5 GB/s.
    assert bounded(ADD, bytes=4e6) == (pytest.approx(0.08), "cache")
    long = {"bytes": 100e6, "time_ms": 40.0, "slowest_ms": 40.0}
    assert bounded(ADD, **long) == (pytest.approx(0.5), "memory")
    # It is the footprint of one call that counts.
    assert bounded(ADD, **long, calls=25.0) == (pytest.approx(0.05), "cache")


def test_the_edge_of_a_level_belongs_to_it() -> None:
    def share(n_bytes: float) -> float:
        return bounded(ADD, bytes=n_bytes, flops=0.0)[0] / n_bytes

    assert share(64 * KIB) == pytest.approx(1 / 200e6)
    assert share(64 * KIB + 4) == pytest.approx(1 / 100e6)


def test_the_cache_of_attention_is_streamed_in_decode_only() -> None:
    # 4 MB at 10 GB/s; in prefill they were just written, and lie in L3.
    assert bounded(ATTENTION) == (pytest.approx(0.4), "memory")
    # 3 MFLOP at f32's 100 GFLOP/s are less than 4 MB at 100 GB/s.
    prefill = {"phase": "prefill", "shape": [64, 14, 50]}
    assert bounded(ATTENTION, **prefill) == (pytest.approx(0.04), "cache")
    # Beyond that it is compared with a product, and no rate of attention itself is known.
    assert bounded(ATTENTION, flops=9e6, **prefill) == (pytest.approx(0.09), "unexplained")
    # With one token the cache's own type decides: 15 MFLOP at 30 GFLOP/s.
    assert bounded(ATTENTION, flops=15e6) == (pytest.approx(0.5), "unexplained")


def test_attention_by_two_products_streams_its_cache_as_well() -> None:
    scores = {**PRODUCT, "part": "scores", "dtypes": "f16,f32->f32", "weight_bytes": 0.0}
    assert bounded(scores)[1] == "memory"
    assert bounded(scores, phase="prefill")[1] != "memory"
    assert bounded(scores, kernel="bin_bcast", op="SCALE")[1] != "memory"


def test_waiting_and_starting_make_an_op_sync() -> None:
    assert bound_now(PRODUCT, wait_ms=0.5) == "sync"
    assert bound_now(PRODUCT, wait_ms=0.49) == "unexplained"
    # The barrier's own cost: the span goes on after the slowest thread is done.
    assert bound_now(PRODUCT, slowest_ms=0.5) == "sync"
    # 500 ns are half of an op of a microsecond.
    assert bound_now(ADD, time_ms=1e-3, wait_ms=0.0, slowest_ms=1e-3) == "sync"
    assert bound_now(ADD, time_ms=0.01, wait_ms=0.0, slowest_ms=0.01, calls=10.0) == "sync"
    # The share says how far it is from its roof nevertheless.
    assert judged({**PRODUCT, "wait_ms": 0.5}).ceiling_share[0] == pytest.approx(0.5)


def test_a_table_without_the_slowest_thread() -> None:
    row = {name: value for name, value in PRODUCT.items() if name != "slowest_ms"}
    assert judged({**row, "time_ms": 0.6}).bound.tolist() == ["memory"]


@pytest.mark.parametrize(
    "changes",
    [
        {"flops": np.nan},
        {"bytes": np.nan, "weight_bytes": np.nan},
        {"dtypes": ""},
        {"phase": "elsewhere"},
        {"time_ms": 0.0, "wait_ms": 0.0, "slowest_ms": 0.0},
    ],
)
def test_null_rather_than_wrong(changes: dict[str, Any]) -> None:
    result = judged({**PRODUCT, **changes})
    assert np.isnan(result.ceiling_share[0]) and result.bound[0] is None


def test_a_type_that_was_not_measured_is_compared_with_the_fastest() -> None:
    ceilings = example_ceilings()
    fastest = max(row.gflops for row in ceilings.arithmetic if row.n_columns == 1)
    share, bound = bounded(PRODUCT, dtypes="q5_X,f32->f32", flops=1e9, time_ms=1e3, slowest_ms=1e3)
    assert share == pytest.approx(1e9 / (fastest * 1e9))
    # Its own kernel's best is not known.
    assert bound == "unexplained"


def test_waiting_shows_also_where_the_work_is_unknown() -> None:
    result = judged({**PRODUCT, "flops": np.nan, "wait_ms": 0.6})
    assert np.isnan(result.ceiling_share[0]) and result.bound[0] == "sync"


def test_an_op_without_work_is_under_no_roof() -> None:
    result = judged({**ADD, "flops": 0.0, "bytes": 0.0})
    assert np.isnan(result.ceiling_share[0]) and result.bound[0] is None


def test_time_without_events_has_no_bound() -> None:
    assert bound_now(PRODUCT, op="UNRECORDED", kernel="unrecorded", wait_ms=1.0) is None


def test_noise_above_the_ceiling_is_not_hidden() -> None:
    assert bounded(PRODUCT, time_ms=0.42, slowest_ms=0.42)[0] == pytest.approx(0.5 / 0.42)


def test_a_roof_that_is_exceeded_by_more_than_a_fifth_has_no_share() -> None:
    result = judged({**PRODUCT, "time_ms": 0.1, "slowest_ms": 0.1})
    assert result[["ceiling_share", "bound"]].iloc[0].tolist()[1] == "unexplained"
    assert np.isnan(result.ceiling_share[0])
    shares = result[["memory_share", "compute_share", "kernel_share"]].iloc[0]
    assert not (shares > 1.2).any() and shares.isna().any()
    assert exceeds_roof(result).tolist() == [True]
    # A share that says nothing of its own is none where all of its kind exceed the roof.
    fast, slow = ({**PRODUCT, "time_ms": ms, "slowest_ms": ms} for ms in (0.1, 0.45))
    assert exceeds_roof(judged(fast, fast, slow)).tolist() == [True] * 3
    assert exceeds_roof(judged(PRODUCT, {**PRODUCT, "flops": np.nan})).tolist() == [False] * 2


@pytest.mark.parametrize("n_threads", [1, 3])
def test_ceilings_of_another_number_of_threads_say_nothing(n_threads: int) -> None:
    table = pd.DataFrame([PRODUCT, ADD])
    result = add_bounds(table, example_ceilings(), n_threads=n_threads, step_bytes=STREAMED)
    assert result.ceiling_share.isna().all()
    assert result.bound.tolist() == [None, None]


def test_without_ceilings_all_is_null_and_nothing_else_changes() -> None:
    table = pd.DataFrame([PRODUCT, ADD], index=[7, 3])
    before = table.copy()
    result = add_bounds(table, None, n_threads=2, step_bytes=STREAMED)
    assert result.bound.tolist() == [None, None]
    assert result.ceiling_share.dtype == np.float64
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(result[before.columns], before)


def test_many_rows_each_by_itself() -> None:
    rows = [
        {**PRODUCT, "time_ms": 0.6},
        {**ADD, "bytes": 4e6, "time_ms": 0.1, "slowest_ms": 0.1, "wait_ms": 0.0},
        {**PRODUCT, "flops": 36e6, "part": "down"},
        {**ADD, "wait_ms": 0.9, "part": "other"},
        {**PRODUCT, "part": "qkv"},
    ]
    table = pd.DataFrame(rows, index=[5, 6, 7, 8, 9])
    result = add_bounds(table, example_ceilings(), n_threads=2, step_bytes=STREAMED)
    assert result.bound.tolist() == ["memory", "cache", "kernel", "sync", "unexplained"]
    assert result.index.tolist() == [5, 6, 7, 8, 9]


def test_ops_of_one_kind_are_judged_together() -> None:
    fast, slow = {**PRODUCT, "time_ms": 0.55}, {**PRODUCT, "time_ms": 0.75}
    assert [bound_now(fast), bound_now(slow)] == ["memory", "unexplained"]
    # 1 ms at the roof of 1.3 ms: 77 %; a third one that is slower yet takes them below 70 %.
    layers = judged(*({**row, "layer": i} for i, row in enumerate((fast, slow))))
    assert layers.bound.tolist() == ["memory"] * 2
    assert layers.memory_share.tolist() == pytest.approx([0.909, 0.667], abs=1e-3)
    assert judged(fast, slow, {**slow, "time_ms": 1.5}).bound.tolist() == ["unexplained"] * 3
    # Other code is another kind.
    other = judged({**fast, "impl": "a"}, {**slow, "impl": "b"})
    assert other.bound.tolist() == ["memory", "unexplained"]


def test_an_empty_table() -> None:
    table = pd.DataFrame([PRODUCT]).head(0)
    result = add_bounds(table, example_ceilings(), n_threads=2, step_bytes=STREAMED)
    assert list(result.columns[-2:]) == ["ceiling_share", "bound"]
    assert {"memory_share", "compute_share", "kernel_share"} <= set(result.columns)


def test_a_machine_that_tells_no_caches() -> None:
    ceilings = example_ceilings(
        caches=(), bandwidth=tuple(b for b in example_ceilings().bandwidth if b.level == "memory")
    )
    rows = [{**PRODUCT, "time_ms": 0.6}, {**ADD, "bytes": 1e6, "time_ms": 0.25, "slowest_ms": 0.25}]
    result = judged(*rows, ceilings=ceilings, step_bytes={"decode": 10.0})
    assert result.bound.tolist() == ["memory", "memory"]


def test_roofs_for_the_tables() -> None:
    ceilings = example_ceilings()
    levels = level_roofs(ceilings)
    assert [row.level for row in levels] == ["L1", "L2", "L3", "memory"]
    assert (levels[2].size_bytes, levels[2].n_sharing, levels[2].copy_gbps) == (8 * MIB, 4, 50.0)
    assert levels[3].size_bytes is None
    product = {row.type: row for row in product_roofs(ceilings)}["q4_K"]
    assert (product.gemv_gflops, product.gemv_impl, product.gemv_ridge) == (40.0, "plain", 4.0)
    assert (product.gemm_gflops, product.gemm_impl, product.gemm_ridge) == (200.0, "repack", 20.0)

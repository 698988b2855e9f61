"""What an attention does and reads: masks, caches, sinks."""

from __future__ import annotations

from typing import Any

import pytest
from work_builder import STATE, WorkGraph, bits

from slmprof.analysis.work.counts import Attended, Work


def _attention(g: WorkGraph, **given: Any) -> int:
    """5 queries, 4 heads of 8, 2 key heads, 32 cached keys of which 20 are there; padded mask."""
    query = g.leaf("f32", 8, 5, 4)
    keys, values = (
        g.view(g.leaf("f16", 16, 40, usage=STATE), 8, 32, 2, strides=(2, 32, 16)) for _ in "kv"
    )
    mask = g.leaf("f16", 32, 64)
    return g.op("FLASH_ATTN_EXT", (8, 4, 5), query, keys, values, mask, **given)


def test_attention_counts_the_pairs_that_the_mask_lets_through() -> None:
    g = WorkGraph()
    row = _attention(g, params=(bits(0.35), 0, 0))
    # 16 + 17 + 18 + 19 + 20 pairs: two products of 8, and 5 for the soft max and the mask; then
    # 8 multiplications and one division for each query and head.
    flops = 4 * (90 * (2 * 8 + 2 * 8 + 5) + 5 * (8 + 1))
    # 5·8·4 floats of queries and as many of results; 20 keys and values of 2·8 halves;
    # 5 rows of the mask.
    n_bytes = 640 + 640 + 2 * 20 * 2 * 8 * 2 + 5 * 32 * 2
    assert g.work(row, attended=Attended(90, 20)) == Work(flops, n_bytes, 0)
    full = Work(4 * (160 * 37 + 45), 1_280 + 2 * 32 * 32 + 320, 0)
    assert g.work(row, attended=Attended(160, 32)) == full
    # Without the mask's numbers nobody knows, but that no weight is read.
    assert g.work(row) == Work(None, None, 0)
    assert g.work(row, attended=Attended(161, 33)) == Work(None, None, None)


def test_attention_is_linear_in_what_it_attends_to() -> None:
    g = WorkGraph()
    row = _attention(g)
    few, many = (g.work(row, attended=Attended(n, n / 2)) for n in (10, 30))
    mean = g.work(row, attended=Attended(20, 10))
    assert few.flops and many.flops and few.bytes and many.bytes
    assert mean.flops == (few.flops + many.flops) / 2
    assert mean.bytes == (few.bytes + many.bytes) / 2


@pytest.mark.parametrize(
    ("params", "more"), [((0, 0, 0), 0), ((0, bits(8), 0), 1), ((0, 0, bits(50)), 2)]
)
def test_alibi_and_soft_capping_cost_operations_for_each_pair(
    params: tuple[int, ...], more: int
) -> None:
    g = WorkGraph()
    row = _attention(g, params=params)
    assert g.work(row, attended=Attended(90, 20)).flops == 4 * (90 * (37 + more) + 45)


def test_sinks_are_weights_that_attention_reads() -> None:
    g = WorkGraph()
    query, keys, values = (g.leaf("f32", 8, 4, 2) for _ in range(3))
    row = g.op("FLASH_ATTN_EXT", (8, 2, 4), query, keys, values, -1, g.weight("f32", 2))
    work = g.work(row)
    assert work.flops == 2 * (16 * 36 + 4 * (9 + 3))
    assert (work.bytes, work.weight_bytes) == (4 * 256 + 8, 8)


def test_values_that_lie_within_the_keys_are_read_once() -> None:
    # Low-rank attention: keys of 24, whose first 16 are the values.
    g = WorkGraph()
    cache = g.leaf("f16", 24, 64, usage=STATE)
    keys = g.view(cache, 24, 32, 1, strides=(2, 48))
    values = g.view(cache, 16, 32, 1, strides=(2, 48))
    row = g.op("FLASH_ATTN_EXT", (16, 4, 1), g.leaf("f32", 24, 1, 4), keys, values)
    assert g.work(row, attended=Attended(10, 10)).bytes == 384 + 10 * 48 + 256
    assert g.work(row, attended=Attended(10, 10)).flops == 4 * (10 * (48 + 32 + 4) + 17)


def test_keys_and_values_side_by_side_in_one_tensor_both_count() -> None:
    g = WorkGraph()
    fused = g.leaf("f32", 24, 6)
    parts = [g.view(fused, 8, 6, 1, strides=(4, 96), offset=32 * i) for i in range(3)]
    row = g.op("FLASH_ATTN_EXT", (8, 1, 6), *parts)
    assert g.work(row).bytes == 3 * 6 * 32 + 6 * 32


def test_soft_max_touches_all_scores_and_the_masks_own_rows() -> None:
    g = WorkGraph()
    scores, mask = g.leaf("f32", 32, 5, 4), g.leaf("f16", 32, 64)
    row = g.op("SOFT_MAX", (32, 5, 4), scores, mask, params=(bits(0.25), 0))
    # 640 scores: scale, mask, maximum, exponential, sum, factor; one division for each of 20 rows.
    assert g.work(row) == Work(6 * 640 + 20, 2_560 + 5 * 64 + 2_560, 0)
    plain = g.op("SOFT_MAX", (32, 5, 4), scores)
    assert g.work(plain) == Work(5 * 640 + 20, 5_120, 0)
    sinks = g.op("SOFT_MAX", (32, 5, 4), scores, -1, g.weight("f32", 4))
    assert g.work(sinks) == Work(5 * 640 + 4 * 20, 5_136, 16)


def test_a_mask_is_found_behind_copies_and_views() -> None:
    g = WorkGraph()
    mask, scores = g.leaf("f32", 32, 5), g.leaf("f32", 32, 5, 4)
    cast = g.op("CPY", (32, 5), mask, kind="f16")
    view = g.op("VIEW", (32, 5), cast, kind="f16")
    soft = g.op("SOFT_MAX", (32, 5, 4), scores, view)
    flash = g.op("FLASH_ATTN_EXT", (8, 4, 5), scores, scores, scores, cast)
    made = g.op("ADD", (32, 5), mask, g.leaf("f32", 32, 5))
    computed = g.op("SOFT_MAX", (32, 5, 4), scores, made)
    none = g.op("SOFT_MAX", (32, 5, 4), scores)
    graph, place = g.graph()
    assert graph.mask_of(place[soft]) == graph.mask_of(place[flash]) == place[mask]
    for row in (computed, none, made):
        assert graph.mask_of(place[row]) == -1

"""What an op has to do: products, attention, experts, rows, fused groups, and numbers to refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_builder import Graph
from work_builder import STATE, TYPES, WorkGraph

from slmprof.analysis.graphs.edges import GraphEdges
from slmprof.analysis.work.counts import Attended, GraphWork, Work


def test_product_with_a_quantized_weight() -> None:
    g = WorkGraph()
    product = g.op("MUL_MAT", (32, 5), g.weight("q4_K", 256, 32), g.leaf("f32", 256, 5))
    # 2·32·5·256; one block of 144 bytes in each of 32 rows; 256·5 and 32·5 floats.
    assert g.work(product) == Work(81_920, 4_608 + 5_120 + 640, 4_608)


def test_product_of_queries_with_cached_keys() -> None:
    # 8 query heads read 2 key heads of 16, stored side by side in rows of the cache: 2·16 halves.
    g = WorkGraph()
    cache = g.leaf("f16", 32, 64, usage=STATE)
    keys = g.view(cache, 16, 48, 2, strides=(2, 64, 32))
    scores = g.op("MUL_MAT", (48, 3, 8), keys, g.leaf("f32", 16, 3, 8))
    # 48 of the 64 rows of 64 bytes; 16·3·8 and 48·3·8 floats.
    assert g.work(scores) == Work(2 * 16 * 48 * 3 * 8, 3_072 + 1_536 + 4_608, 0)


def test_product_with_values_cached_transposed() -> None:
    # Rows of 2048 tokens, of which 48 are read: what lies between them is not.
    g = WorkGraph()
    cache = g.leaf("f16", 2048, 16, usage=STATE)
    values = g.view(cache, 48, 16, strides=(2, 4096))
    product = g.op("MUL_MAT", (16, 3), values, g.leaf("f32", 48, 3))
    assert g.work(product).bytes == 48 * 16 * 2 + 48 * 3 * 4 + 16 * 3 * 4


def test_a_factor_repeated_by_a_stride_of_zero_counts_once() -> None:
    g = WorkGraph()
    row = g.leaf("f32", 16)
    repeated = g.view(row, 16, 8, strides=(4, 0))
    assert g.work(g.op("MUL_MAT", (8, 1), repeated, g.leaf("f32", 16))).bytes == 64 + 64 + 32


def test_product_with_a_hadamard_matrix_is_a_transform() -> None:
    g = WorkGraph()
    matrix, x = g.leaf("f32", 64, 64), g.leaf("f32", 64, 10)
    # log2(64) passes and a scale over 640 elements; the matrix is not read.
    assert g.work(g.op("MUL_MAT", (64, 10), matrix, x, params=(0, 1))) == Work(4_480, 5_120, 0)


def test_routed_product_reads_the_experts_that_were_chosen() -> None:
    g = WorkGraph()
    experts = g.weight("q4_K", 256, 10, 8)
    ids = g.leaf("i32", 2, 6)
    product = g.op("MUL_MAT_ID", (10, 2, 6), experts, g.leaf("f32", 256, 1, 6), ids)
    # 6 tokens with 2 experts each; an expert is 10 blocks of 144 bytes.
    flops, others = 2 * 10 * 256 * 6 * 2, 256 * 6 * 4 + 2 * 6 * 4 + 10 * 2 * 6 * 4
    assert g.work(product, n_experts=5) == Work(flops, 5 * 1_440 + others, 5 * 1_440)
    # A mean over several calls.
    assert g.work(product, n_experts=5.5).weight_bytes == 5.5 * 1_440
    assert g.work(product) == Work(flops, None, None)
    assert g.work(product, n_experts=9) == Work(flops, None, None)


def test_one_token_is_routed_to_as_many_experts_as_it_has_ids() -> None:
    g = WorkGraph()
    experts, ids = g.weight("f16", 16, 10, 8), g.leaf("i32", 2, 1)
    product = g.op("MUL_MAT_ID", (10, 2, 1), experts, g.leaf("f32", 16, 2, 1), ids)
    assert g.work(product) == Work(640, 2 * 320 + 128 + 8 + 80, 640)
    bias = g.op("ADD_ID", (10, 2, 1), product, g.weight("f32", 10, 8), ids)
    assert g.work(bias) == Work(20, 80 + 2 * 40 + 8 + 80, 80)
    graph, place = g.graph()
    assert graph.router_of(place[bias]) == place[product]
    assert graph.router_of(place[product]) == -1


def test_conversion_of_activations() -> None:
    g = WorkGraph()
    product = g.op("MUL_MAT", (32, 5), g.weight("q4_K", 512, 32), g.leaf("f32", 512, 5))
    graph, place = g.graph()
    # 5 rows of 512 floats become 2 blocks of 292 bytes, or 16 of 34, or 512 halves.
    for name, row_bytes in (("q8_K", 584), ("q8_0", 544), ("q8_1", 576), ("f16", 1_024)):
        assert graph.of_conversion(place[product], name) == Work(0, 10_240 + 5 * row_bytes, 0)
    assert graph.of_conversion(place[product], "q9_X") == Work()


def test_conversion_needs_a_product_and_whole_blocks() -> None:
    g = WorkGraph()
    x = g.leaf("f32", 100, 5)
    product = g.op("MUL_MAT", (32, 5), g.weight("f16", 100, 32), x)
    graph, place = g.graph()
    assert graph.of_conversion(place[product], "q8_K") == Work()
    assert graph.of_conversion(place[x], "f16") == Work()


def test_rows_that_are_looked_up() -> None:
    g = WorkGraph()
    table, ids = g.weight("q6_K", 256, 1_000), g.leaf("i32", 5)
    assert g.work(g.op("GET_ROWS", (256, 5), table, ids)) == Work(0, 5 * 210 + 20 + 5_120, 1_050)
    # More ids than rows: the whole table, once.
    small = g.op("GET_ROWS", (4, 9), g.leaf("f32", 4, 3), g.leaf("i32", 9))
    assert g.work(small) == Work(0, 48 + 36 + 144, 0)


def test_rows_that_are_written_into_a_cache() -> None:
    g = WorkGraph()
    cache = g.leaf("f16", 64, 2_048, usage=STATE)
    x, ids = g.leaf("f32", 64, 5), g.leaf("i64", 5)
    row = g.op("SET_ROWS", (64, 2_048), x, ids, cache, kind="f16", view_of=cache)
    assert g.work(row) == Work(0, 1_280 + 40 + 640, 0)


def test_copy_into_a_view_of_a_cache() -> None:
    g = WorkGraph()
    cache = g.leaf("f16", 64, 2_048, usage=STATE)
    place = g.view(cache, 64, 3, strides=(2, 128), offset=1_280)
    row = g.op("CPY", (64, 3), g.leaf("f32", 64, 3), place, kind="f16", view_of=cache, offset=1_280)
    assert g.work(row) == Work(0, 768 + 384, 0)


def test_copy_of_a_strided_view_reads_its_elements_alone() -> None:
    # The second of three interleaved parts, transposed: 6 rows of 8 floats, 96 bytes apart.
    g = WorkGraph()
    part = g.view(g.leaf("f32", 24, 6), 6, 8, strides=(96, 4), offset=32)
    assert g.work(g.op("CONT", (6, 8), part)) == Work(0, 192 + 192, 0)


def test_views_do_no_work() -> None:
    g = WorkGraph()
    x = g.leaf("f32", 8, 4)
    for op in ("VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"):
        assert g.work(g.op(op, (8, 4), x)) == Work(0, 0, 0)
    assert g.work(x) == Work(0, 0, 0)


def test_in_place_ops_read_and_write() -> None:
    g = WorkGraph()
    x = g.op("SCALE", (8, 4), g.leaf("f32", 8, 4))
    assert g.work(g.op("SCALE", (8, 4), x, view_of=x)) == Work(32, 256, 0)


def test_one_tensor_as_both_sources_is_read_once() -> None:
    g = WorkGraph()
    x = g.leaf("f32", 8, 4)
    assert g.work(g.op("MUL", (8, 4), x, x)) == Work(32, 256, 0)
    same = g.op("RESHAPE", (8, 4), x)
    assert g.work(g.op("MUL", (8, 4), x, same)) == Work(32, 256, 0)


def test_a_fused_group_keeps_what_lies_between_its_members() -> None:
    g = WorkGraph()
    norm = g.op("RMS_NORM", (64, 5), g.leaf("f32", 64, 5))
    g.op("MUL", (64, 5), norm, g.weight("f32", 64))
    # 3·320 + 4·5 of the norm, 320 of the product; one input, one weight, one result.
    assert g.work(norm, 1) == Work(980 + 320, 1_280 + 256 + 1_280, 256)
    assert g.work(norm) == Work(980, 2_560, 0)


def test_a_fused_group_with_views_between_its_members() -> None:
    g = WorkGraph()
    cache = g.leaf("f16", 64, 100, usage=STATE)
    rope = g.op("ROPE", (64, 1, 5), g.leaf("f32", 64, 1, 5), g.leaf("i32", 5), params=(0, 64, 0))
    flat = g.op("VIEW", (64, 5), rope)
    g.op("SET_ROWS", (64, 100), flat, g.leaf("i64", 5), cache, kind="f16", view_of=cache)
    assert g.work(rope, 2).bytes == 1_280 + 20 + 40 + 640


def test_a_fused_group_with_an_unknown_member_is_unknown() -> None:
    g = WorkGraph()
    norm = g.op("RMS_NORM", (64, 5), g.leaf("f32", 64, 5))
    g.op("FORK_OP", (64, 5), norm)
    assert g.work(norm, 1) == Work()


def test_what_is_computed_from_weights_is_no_weight() -> None:
    g = WorkGraph()
    weight = g.weight("f32", 8, 4)
    half = g.view(weight, 8, 2, strides=(4, 32))
    cast = g.op("CPY", (8, 4), weight, kind="f16")
    product = g.op("MUL_MAT", (4, 1), cast, g.leaf("f32", 8))
    assert g.work(cast).weight_bytes == 128
    assert g.work(product) == Work(64, 64 + 32 + 16, 0)
    assert g.work(g.op("CONT", (8, 2), half)).weight_bytes == 64


def test_an_unknown_op_or_type_has_no_work() -> None:
    g = WorkGraph()
    x = g.leaf("f32", 8, 4)
    assert g.work(g.op("FORK_OP", (8, 4), x)) == Work()
    assert g.work(g.op("UNARY", (8, 4), x, detail="FORK_ACTIVATION")).flops is None
    assert g.work(g.op("MUL_MAT", (4, 4), g.weight("iq9_fork", 8, 4), x)) == Work()
    assert g.work(g.op("ADD", (8, 4), x, x, kind="iq9_fork")) == Work()


def test_parameters_that_an_old_profile_lacks() -> None:
    g = WorkGraph()
    x, positions = g.leaf("f32", 8, 2, 4), g.leaf("i32", 4)
    rope = g.op("ROPE", (8, 2, 4), x, positions, params=(0, 0, 0))
    assert g.work(rope) == Work(None, 256 + 16 + 256, 0)
    graph, place = g.graph()
    graph._params = [graph._params[0], *[[None] * len(column) for column in graph._params[1:]]]
    assert graph.of(place[rope]) == Work(None, 528, 0)


@pytest.mark.parametrize("n_elements", [0, 1, 2**61])
@pytest.mark.parametrize("size", [0, 1, 2**61])
def test_hostile_numbers_never_raise(n_elements: int, size: int) -> None:
    ops = (
        "MUL_MAT", "MUL_MAT_ID", "ADD_ID", "FLASH_ATTN_EXT", "SOFT_MAX", "ROPE", "GET_ROWS",
        "SET_ROWS", "CPY", "SSM_SCAN", "SSM_CONV", "RWKV_WKV6", "RWKV_WKV7", "GATED_LINEAR_ATTN",
        "GATED_DELTA_NET", "LIGHTNING_INDEXER", "DSV4_HC_COMB", "DSV4_HC_PRE", "DSV4_HC_POST",
        "SOLVE_TRI", "TRI", "CONV_3D", "POOL_2D", "UPSCALE", "GLU", "GROUP_NORM", "SET", "ACC",
        "DIAG_MASK_INF", "COL2IM_1D", "GET_REL_POS",
    )  # fmt: skip
    shape, strides = (n_elements,) * 4, (2**60, 0, 2**61, 1)
    for n_sources in (0, 1, 2, 3, 7):
        g = WorkGraph()
        leaf = g.leaf("f32", *shape, strides=strides, size=size)
        given: dict[str, Any] = {"strides": strides, "size": size}
        sources = [g.op("VIEW", shape, leaf, offset=i, **given) for i in range(n_sources)]
        rows = [g.op(op, shape, *sources, **given) for op in ops]
        graph, place = g.graph()
        for row in rows:
            questions: tuple[dict[str, Any], ...] = (
                {},
                {"attended": Attended(-1, float("nan"))},
                {"n_experts": 2.0**70},
            )
            for asked in questions:
                work = graph.of(place[row], **asked)
                for number in (work.flops, work.bytes, work.weight_bytes):
                    assert number is None or 0 <= number < float("inf")
            graph.of_conversion(place[row], "q8_K")
            graph.mask_of(place[row])
            graph.router_of(place[row])
        assert graph.of(place[rows[-1]], 1_000) == Work()


def test_a_circle_of_views_ends() -> None:
    g = WorkGraph()
    x = g.leaf("f32", 8, 4)
    first = g.op("SCALE", (8, 4), x)
    second = g.op("SCALE", (8, 4), first, view_of=first)
    g.rows[first]["view_of"] = second
    # Work is that of the elements, wherever the circle says that they lie.
    assert g.work(second) == Work(32.0, 256.0, 0.0)


def test_edges_can_be_shared() -> None:
    g = WorkGraph()
    row = g.op("MUL_MAT", (4, 4), g.weight("f32", 8, 4), g.leaf("f32", 8, 4))
    table, texts, place = g.table()
    edges = GraphEdges(table, texts)
    assert GraphWork(table, texts, TYPES, edges).of(place[row]) == g.work(row)


def test_a_dense_layer_multiplies_each_matrix_element_once_for_a_token() -> None:
    # The shapes of this builder are all 8 by 4, which makes every product 2·8·4·8.
    graph = Graph()
    graph.head(graph.layer(0, graph.embed(), flash=True))
    table, texts, _ = graph.table()
    types = np.full(len(table), texts.index("f32"))
    strides = {"nb0": np.full(len(table), 4), "nb1": np.full(len(table), 32)}
    sized = table.replace(type=types, **strides, size_bytes=np.full(len(table), 128))
    work = GraphWork(sized, texts, TYPES)
    products = [row for row in range(len(table)) if texts[table.op[row]] == "MUL_MAT"]
    assert len(products) == 8
    assert sum(work.of(row).flops or 0 for row in products) == 8 * 512
    assert sum(work.of(row).weight_bytes or 0 for row in products) == 8 * 128


def test_decode_of_a_dense_model_is_two_operations_for_each_matrix_parameter() -> None:
    """Embeddings of 64, 4 heads of 16, an FFN of 96, a vocabulary of 200, 30 tokens before."""
    g = WorkGraph()
    x = g.op("GET_ROWS", (64, 1), g.weight("f32", 64, 200), g.leaf("i32", 1))
    n_parameters, products, rest = 0, [], [x]

    def linear(n_out: int, source: int) -> int:
        nonlocal n_parameters
        n_in = g.rows[source]["shape"][0]
        n_parameters += n_in * n_out
        products.append(g.op("MUL_MAT", (n_out, 1), g.weight("f32", n_in, n_out), source))
        return products[-1]

    attention = []
    for _ in range(2):
        query, key, value = (linear(64, x) for _ in range(3))
        caches = [g.leaf("f16", 64, 256, usage=STATE) for _ in "kv"]
        for each, cache in zip((key, value), caches, strict=True):
            ids = g.leaf("i64", 1)
            rest.append(g.op("SET_ROWS", (64, 256), each, ids, cache, kind="f16", view_of=cache))
        heads = g.op("PERMUTE", (16, 1, 4), query, strides=(4, 256, 64, 256))
        views = [g.view(cache, 16, 256, 4, strides=(2, 128, 32)) for cache in caches]
        attention.append(g.op("FLASH_ATTN_EXT", (16, 4, 1), heads, *views, g.leaf("f16", 256, 64)))
        out = linear(64, g.op("RESHAPE", (64, 1), attention[-1]))
        x = g.op("ADD", (64, 1), out, x)
        gated = g.op("GLU", (96, 1), linear(96, x), linear(96, x), detail="SWIGLU")
        x = g.op("ADD", (64, 1), linear(64, gated), x)
    linear(200, x)

    graph, place = g.graph()
    works = [graph.of(place[row]) for row in products]
    assert sum(work.flops or 0 for work in works) == 2 * n_parameters
    assert sum(work.weight_bytes or 0 for work in works) == 4 * n_parameters
    # A token sees 31 keys: 4 heads with two products of 16, 5 more operations, and 17 at the end.
    seen = [graph.of(place[row], attended=Attended(31, 31)) for row in attention]
    assert [work.flops for work in seen] == [4 * (31 * (32 + 32 + 5) + 17)] * 2
    assert [work.bytes for work in seen] == [256 + 2 * 31 * 128 + 512 + 256] * 2
    assert all(graph.of(place[row]).flops == 0 for row in rest)

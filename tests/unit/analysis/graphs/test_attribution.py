"""Attribution of ops to layers, blocks and parts, on small graphs built by hand."""

from __future__ import annotations

import numpy as np
import pytest
from graph_builder import VIEWS, Graph, llama, parts_in_order

from slmprof.analysis.graphs.weight_roles import PARTS


def test_llama_layer_is_attributed_op_by_op() -> None:
    assert parts_in_order(llama(1)) == [
        (-1, "embedding", "embed"),
        (0, "attention", "norm"),
        (0, "attention", "qkv"),
        (0, "attention", "rope"),
        (0, "attention", "kv_write"),
        (0, "attention", "scores"),
        (0, "attention", "softmax"),
        (0, "attention", "values"),
        (0, "attention", "out_proj"),
        (0, "attention", "residual"),
        (0, "ffn", "norm"),
        (0, "ffn", "gate_up"),
        (0, "ffn", "activation"),
        (0, "ffn", "down"),
        (0, "ffn", "residual"),
        (-1, "lm_head", "norm"),
        (-1, "lm_head", "head"),
    ]


def test_flash_attention_is_one_part() -> None:
    parts = [part for _, _, part in parts_in_order(llama(1, flash=True))]
    assert "flash_attn" in parts
    assert not {"scores", "softmax", "values"} & set(parts)


def test_rows_that_are_not_executed_have_no_place() -> None:
    graph = llama(1)
    places = graph.places()
    for number, row in enumerate(graph.rows):
        executed = row.op not in VIEWS | {"NONE"}
        assert places(number)[1:] == ("", "") if not executed else places(number)[1] in PARTS
    assert places.result.layer.dtype == np.int32
    assert len(places.result.block) == len(places.result.part) == len(graph.rows)


def test_a_node_without_the_compute_flag_is_not_executed() -> None:
    graph = llama(1)
    skipped = next(i for i, row in enumerate(graph.rows) if row.op == "SOFT_MAX")
    graph.rows[skipped].flags = 0
    assert graph.places()(skipped) == (-1, "", "")


def test_names_absent_the_structure_gives_the_same_blocks() -> None:
    named, anonymous = llama(3), llama(3, anonymous=True)
    assert parts_in_order(anonymous) == parts_in_order(named)


@pytest.mark.parametrize("flash", [False, True])
def test_names_absent_flash_attention_or_not(flash: bool) -> None:
    named = llama(2, flash=flash)
    assert parts_in_order(llama(2, anonymous=True, flash=flash)) == parts_in_order(named)


def test_a_residual_addition_belongs_to_the_block_whose_output_it_adds() -> None:
    graph = llama(2)
    places = graph.places()
    sums = [i for i, row in enumerate(graph.rows) if row.op == "ADD"]
    assert [places(row) for row in sums] == [
        (layer, block, "residual") for layer in range(2) for block in ("attention", "ffn")
    ]


def test_parallel_attention_and_ffn_share_a_norm_and_split() -> None:
    for anonymous in (False, True):
        graph = Graph(anonymous)
        x = graph.embed()
        for layer in range(2):
            normed = graph.norm(x, f"blk.{layer}.attn_norm.weight", op="NORM")
            out = graph.attention(layer, normed)
            fed = graph.ffn(layer, normed)
            both = graph.op("ADD", fed, out)
            x = graph.op("ADD", both, x)
        graph.head(x)
        places = graph.places()
        assert places(normed) == (1, "attention", "norm")
        assert places(out) == (1, "attention", "out_proj")
        assert places(fed) == (1, "ffn", "down")
        assert places(both) == places(x) == (1, "ffn", "residual")


def test_the_second_branch_that_joins_a_sum_is_a_residual_addition_too() -> None:
    # Command-R adds the FFN to the stream first, then the attention to the sum.
    graph = Graph()
    x = graph.embed()
    for layer in range(2):
        normed = graph.norm(x, f"blk.{layer}.attn_norm.weight", op="NORM")
        q, k, v = (graph.linear(f"blk.{layer}.attn_{p}.weight", normed) for p in "qkv")
        core = graph.attention_core(layer, q, k, v)
        fed = graph.ffn(layer, normed)
        stream = graph.op("GET_ROWS", x, graph.input("out_ids"))
        first = graph.op("ADD", fed, stream)
        out = graph.linear(f"blk.{layer}.attn_output.weight", core)
        x = graph.op("ADD", first, out)
    graph.head(x)
    places = graph.places()
    assert places(stream) == (1, "ffn", "row_select")
    assert places(first) == (1, "ffn", "residual")
    assert places(x) == (1, "attention", "residual")


def test_fused_projection_and_its_bias_are_qkv_through_views() -> None:
    graph = Graph()
    x = graph.embed()
    normed = graph.norm(x, "blk.0.attn_norm.weight")
    fused = graph.linear("blk.0.attn_qkv.weight", normed, "blk.0.attn_qkv.bias")
    q, k, v = (graph.op("VIEW", fused) for _ in range(3))
    copied = graph.op("CONT", v)
    rope = graph.op("ROPE", q, graph.input("inp_pos"))
    out = graph.linear("blk.0.attn_output.weight", graph.attention_core(0, rope, k, copied))
    graph.op("ADD", out, x)
    places = graph.places()
    assert places(fused) == places(graph.before(fused)) == (0, "attention", "qkv")
    assert places(rope) == (0, "attention", "rope")
    assert places(copied) == (0, "attention", "kv_write")


def test_a_kv_write_by_copy_with_a_transposed_cache() -> None:
    graph = Graph()
    x = graph.embed()
    normed = graph.norm(x, "blk.0.attn_norm.weight")
    v = graph.linear("blk.0.attn_v.weight", normed)
    turned = graph.op("CONT", graph.op("TRANSPOSE", v))
    target = graph.op("VIEW", graph.cache("cache_v_l0"))
    write = graph.op("CPY", turned, target)
    graph.rows[write].view_of = target
    x = graph.op("ADD", graph.attention(0, normed), x)
    places = graph.places()
    assert places(write) == places(turned) == (0, "attention", "kv_write")


def test_soft_capping_of_logits_and_of_scores() -> None:
    graph = Graph()
    x = graph.embed()
    normed = graph.norm(x, "blk.0.attn_norm.weight")
    q, k, v = (graph.linear(f"blk.0.attn_{p}.weight", normed) for p in "qkv")
    raw = graph.op("MUL_MAT", k, q)
    capped = graph.op("SCALE", graph.op("UNARY", graph.op("SCALE", raw), detail="TANH"))
    soft = graph.op("SOFT_MAX", capped, graph.input("attn_inp_kq_mask"))
    out = graph.linear("blk.0.attn_output.weight", graph.op("MUL_MAT", v, soft))
    x = graph.op("ADD", out, x)
    logits = graph.head(x)
    end = graph.op("SCALE", graph.op("UNARY", graph.op("SCALE", logits), detail="TANH"))
    places = graph.places()
    assert {places(row) for row in range(raw, capped + 1)} == {(0, "attention", "scores")}
    assert {places(row) for row in range(logits, end + 1)} == {(-1, "lm_head", "head")}


def test_a_tied_embedding_is_the_head_where_it_is_multiplied_with() -> None:
    graph = Graph()
    x = graph.layer(0, graph.embed())
    head = graph.linear("token_embd.weight", graph.norm(x, "output_norm.weight"))
    places = graph.places()
    assert places(head) == (-1, "lm_head", "head")
    first = next(i for i, row in enumerate(graph.rows) if row.op == "GET_ROWS")
    assert places(first) == (-1, "embedding", "embed")


def test_embedding_scale_and_positions_belong_to_the_embedding() -> None:
    graph = Graph()
    scaled = graph.op("SCALE", graph.embed())
    position = graph.op("GET_ROWS", "position_embd.weight", graph.input("inp_pos"))
    x = graph.op("ADD", scaled, position)
    graph.head(graph.layer(0, x))
    places = graph.places()
    assert places(scaled) == places(x) == (-1, "embedding", "embed")
    assert places(position) == (-1, "embedding", "position")


def test_scales_on_the_way_into_a_residual_addition_belong_to_it() -> None:
    graph = Graph()
    x = graph.embed()
    out = graph.attention(0, graph.norm(x, "blk.0.attn_norm.weight"))
    scaled = graph.op("SCALE", out)
    x = graph.op("ADD", scaled, x)
    fed = graph.ffn(0, graph.norm(x, "blk.0.ffn_norm.weight"))
    stream = graph.op("SCALE", x)
    graph.head(graph.op("ADD", fed, stream))
    places = graph.places()
    assert places(scaled) == (0, "attention", "residual")
    assert places(stream) == (0, "ffn", "residual")


def test_a_scale_between_the_final_norm_and_the_head_is_the_heads() -> None:
    graph = Graph()
    x = graph.norm(graph.layer(0, graph.embed()), "output_norm.weight")
    scaled = graph.op("SCALE", x)
    graph.linear("output.weight", scaled)
    assert graph.places()(scaled)[:2] == (-1, "lm_head")


def test_row_selection_sits_in_the_block_around_it() -> None:
    graph = Graph()
    x = graph.layer(0, graph.embed())
    out = graph.attention(1, graph.norm(x, "blk.1.attn_norm.weight"))
    ids = graph.input("out_ids")
    branch, stream = graph.op("GET_ROWS", out, ids), graph.op("GET_ROWS", x, ids)
    x = graph.op("ADD", branch, stream)
    x = graph.op("ADD", graph.ffn(1, graph.norm(x, "blk.1.ffn_norm.weight")), x)
    graph.head(x)
    places = graph.places()
    assert places(branch) == places(stream) == (1, "attention", "row_select")


def test_a_mask_that_all_layers_read_is_in_no_layer() -> None:
    graph = Graph()
    mask = graph.op("CPY", graph.input("attn_inp_kq_mask"), graph.input("half"))
    x = graph.embed()
    for layer in range(2):
        normed = graph.norm(x, f"blk.{layer}.attn_norm.weight")
        q, k, v = (graph.linear(f"blk.{layer}.attn_{p}.weight", normed) for p in "qkv")
        core = graph.op("FLASH_ATTN_EXT", q, k, v, mask)
        x = graph.op("ADD", graph.linear(f"blk.{layer}.attn_output.weight", core), x)
    graph.head(x)
    assert graph.places()(mask) == (-1, "attention", "mask")


def test_keys_of_another_layer_do_not_move_an_attention() -> None:
    # Layers that share a cache write no keys of their own, and read those of an earlier layer.
    graph = Graph()
    x = graph.layer(0, graph.embed())
    q = graph.linear("blk.1.attn_q.weight", graph.norm(x, "blk.1.attn_norm.weight"))
    scores = graph.op("MUL_MAT", graph.op("VIEW", graph.cache("cache_k_l0")), q)
    soft = graph.op("SOFT_MAX", scores)
    values = graph.op("MUL_MAT", graph.op("VIEW", graph.cache("cache_v_l0")), soft)
    graph.op("ADD", graph.linear("blk.1.attn_output.weight", values), x)
    assert graph.places().blocks([scores, soft, values]) == {(1, "attention")}


def test_rows_chosen_for_a_sum_of_parallel_branches_stay_with_their_branch() -> None:
    graph = Graph()
    x = graph.embed()
    normed = graph.norm(x, "blk.0.attn_norm.weight", op="NORM")
    out = graph.attention(0, normed)
    ids = graph.input("out_ids")
    branch, fed, stream = (graph.op("GET_ROWS", row, ids) for row in (out, normed, x))
    both = graph.op("ADD", graph.ffn(0, fed), branch)
    graph.head(graph.op("ADD", both, stream))
    places = graph.places()
    assert places(branch) == (0, "attention", "row_select")
    assert places(fed) == places(stream) == (0, "ffn", "row_select")


def test_a_vocoder_is_other_by_name() -> None:
    graph = Graph()
    conv = graph.linear("conv1d.weight", graph.embed(), "conv1d.bias")
    end = graph.op("UNARY", conv, detail="SILU")
    places = graph.places()
    assert places(conv) == places(end) == (-1, "other", "vocoder")


def test_pooling_is_named() -> None:
    graph = Graph()
    x = graph.layer(0, graph.embed())
    pooled = graph.op("MUL_MAT", graph.op("CONT", x), graph.input("inp_mean"))
    assert graph.places()(pooled) == (-1, "other", "pooler")


def test_embeddings_given_by_the_caller_are_a_stream() -> None:
    graph = Graph()
    x = graph.op("SCALE", graph.input("inp_embd"))
    end = graph.layer(0, x)
    graph.head(end)
    places = graph.places()
    assert places(x) == (-1, "embedding", "embed")
    assert places(end) == (0, "ffn", "residual")


def test_every_part_given_is_in_the_vocabulary() -> None:
    graph = llama(2)
    assert all(part in PARTS[block] for _, block, part in parts_in_order(graph))


def test_a_graph_of_two_thousand_nodes_is_attributed_to_its_last_layer() -> None:
    graph = llama(90)
    table, _, place = graph.table()
    assert (table.node >= 0).sum() > 2000
    result = graph.places().result
    executed = [place[i] for i, row in enumerate(graph.rows) if row.op not in VIEWS | {"NONE"}]
    assert {str(result.block[at]) for at in executed} == {
        "embedding",
        "attention",
        "ffn",
        "lm_head",
    }
    assert set(result.layer[executed].tolist()) == {-1, *range(90)}

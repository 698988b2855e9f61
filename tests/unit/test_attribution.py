"""Attribution of ops to layers, blocks and parts, on small graphs built by hand."""

from __future__ import annotations

import numpy as np
import pytest
from graph_builder import STATE, VIEWS, Graph, llama, parts_in_order

from slmprof.analysis.graphs.weight_roles import PARTS, role_of_name


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


def test_a_norm_belongs_to_the_block_that_it_feeds_whatever_its_name() -> None:
    graph = Graph()
    x = graph.embed()
    out = graph.attention(0, graph.norm(x, "blk.0.attn_norm.weight"))
    x = graph.op("ADD", out, x)
    # gpt-oss, qwen3next and others name the norm before the FFN so.
    norm = graph.norm(x, "blk.0.post_attention_norm.weight")
    x = graph.op("ADD", graph.ffn(0, norm), x)
    graph.head(x)
    assert graph.places()(norm) == (0, "ffn", "norm")


def test_a_norm_after_a_block_belongs_to_it() -> None:
    graph = Graph()
    x = graph.embed()
    out = graph.attention(0, graph.norm(x, "blk.0.attn_norm.weight"))
    after_attention = graph.norm(out, "blk.0.post_attention_norm.weight")
    x = graph.op("ADD", after_attention, x)
    out = graph.ffn(0, graph.norm(x, "blk.0.ffn_norm.weight"))
    after_ffn = graph.norm(out, "blk.0.post_ffw_norm.weight")
    x = graph.op("ADD", after_ffn, x)
    graph.head(x)
    places = graph.places()
    assert places(after_attention) == (0, "attention", "norm")
    assert places(graph.before(after_attention)) == (0, "attention", "norm")
    assert places(after_ffn) == (0, "ffn", "norm")


def test_a_normed_stream_that_is_carried_on_belongs_to_what_came_before() -> None:
    # Post-norm, as in BERT: the sum is normed, and the next block adds to the normed stream.
    graph = Graph()
    x = embedded = graph.norm(graph.embed(), "token_embd_norm.weight", op="NORM")
    x = graph.op("ADD", graph.attention(0, x), x)
    x = after_attention = graph.norm(x, "blk.0.attn_output_norm.weight", op="NORM")
    x = graph.op("ADD", graph.ffn(0, x), x)
    x = after_ffn = graph.norm(x, "blk.0.layer_output_norm.weight", op="NORM")
    x = graph.op("ADD", graph.attention(1, x), x)
    graph.norm(x, "blk.1.attn_output_norm.weight", op="NORM")
    places = graph.places()
    assert places(embedded) == (-1, "embedding", "norm")
    assert places(after_attention)[:2] == (0, "attention")
    assert places(after_ffn)[:2] == (0, "ffn")


def test_norms_without_weights_belong_to_the_blocks_they_feed() -> None:
    graph = Graph()
    x = graph.embed()
    first = graph.norm(x, op="NORM")
    x = graph.op("ADD", graph.attention(0, first), x)
    second = graph.norm(x, op="NORM")
    x = graph.op("ADD", graph.ffn(0, second), x)
    last = graph.norm(x, op="NORM")
    graph.linear("output.weight", last)
    places = graph.places()
    assert places(first) == (0, "attention", "norm")
    assert places(second) == (0, "ffn", "norm")
    assert places(last) == (-1, "lm_head", "norm")


def test_norms_of_queries_and_keys_are_a_part_of_their_own() -> None:
    graph = Graph()
    x = graph.embed()
    normed = graph.norm(x, "blk.0.attn_norm.weight")
    q, k, v = (graph.linear(f"blk.0.attn_{p}.weight", normed) for p in "qkv")
    q, k = graph.norm(q, "blk.0.attn_q_norm.weight"), graph.norm(k)
    out = graph.linear("blk.0.attn_output.weight", graph.attention_core(0, q, k, v))
    graph.op("ADD", out, x)
    places = graph.places()
    assert places(q) == places(graph.before(q)) == places(k) == (0, "attention", "qk_norm")


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


def moe(graph: Graph, x: int, layer: int = 0) -> dict[str, int]:
    blk = f"blk.{layer}."
    normed = graph.norm(x, f"{blk}ffn_norm.weight")
    logits = graph.linear(f"{blk}ffn_gate_inp.weight", normed)
    probs = graph.op("SOFT_MAX", logits)
    chosen = graph.op("VIEW", graph.op("ARGSORT", probs))
    weights = graph.op("GET_ROWS", graph.op("RESHAPE", probs), chosen)
    weights = graph.op("DIV", weights, graph.op("SUM_ROWS", weights))
    gate = graph.op("MUL_MAT_ID", f"{blk}ffn_gate_exps.weight", normed, chosen)
    up = graph.op("MUL_MAT_ID", f"{blk}ffn_up_exps.weight", normed, chosen)
    down = graph.op("MUL_MAT_ID", f"{blk}ffn_down_exps.weight", graph.op("GLU", gate, up), chosen)
    weighted = graph.op("MUL", down, weights)
    total = graph.op("ADD", graph.op("VIEW", weighted), graph.op("VIEW", weighted))
    return {"probs": probs, "weights": weights, "gate": gate, "down": down, "out": total}


def test_router_experts_and_shared_expert() -> None:
    graph = Graph()
    x = graph.embed()
    x = graph.op("ADD", graph.attention(0, graph.norm(x, "blk.0.attn_norm.weight")), x)
    found = moe(graph, x)
    shared = graph.linear("blk.0.ffn_up_shexp.weight", x)
    shared = graph.linear("blk.0.ffn_down_shexp.weight", graph.op("UNARY", shared, detail="SILU"))
    both = graph.op("ADD", found["out"], shared)
    end = graph.op("ADD", both, x)
    graph.head(end)
    places = graph.places()
    assert places(found["probs"]) == places(found["weights"]) == (0, "ffn", "router")
    for row in range(found["gate"], found["out"] + 1):
        if graph.rows[row].op not in VIEWS | {"NONE"}:
            assert places(row) == (0, "ffn", "experts")
    assert places(shared) == places(graph.rows[shared].sources[1]) == (0, "ffn", "shared_expert")
    assert places(both) == (0, "ffn", "shared_expert")
    assert places(end) == (0, "ffn", "residual")


def test_names_absent_experts_are_still_an_ffn() -> None:
    graph = Graph(anonymous=True)
    x = graph.embed()
    x = graph.op("ADD", graph.attention(0, graph.norm(x, "blk.0.attn_norm.weight")), x)
    found = moe(graph, x)
    graph.head(graph.op("ADD", found["out"], x))
    places = graph.places()
    assert places(found["probs"]) == (0, "ffn", "router")
    assert places(found["down"]) == (0, "ffn", "experts")


def recurrent(graph: Graph, x: int, layer: int, prefix: str = "ssm_") -> dict[str, int]:
    blk = f"blk.{layer}."
    into = "ssm_in" if prefix == "ssm_" else "attn_qkv"
    out = "ssm_out" if prefix == "ssm_" else "attn_output"
    conv_cache, cache = graph.cache(f"cache_r_l{layer}"), graph.cache(f"cache_s_l{layer}")
    clear = graph.op("SCALE", graph.op("VIEW", cache))
    graph.rows[clear].view_of, graph.rows[clear].usage = cache, STATE
    old = graph.op("GET_ROWS", cache, graph.input("rs_s_copy"))
    normed = graph.norm(x, f"{blk}attn_norm.weight")
    projected = graph.linear(f"{blk}{into}.weight", normed)
    window = graph.op("CONCAT", graph.op("VIEW", conv_cache), projected)
    conv = graph.op("SSM_CONV", window, f"{blk}ssm_conv1d.weight")
    scan = graph.op("SSM_SCAN", old, graph.op("UNARY", conv, detail="SILU"), f"{blk}ssm_a")
    write = graph.op("CPY", graph.op("VIEW", scan), graph.op("VIEW", cache))
    graph.rows[write].view_of, graph.rows[write].usage = cache, STATE
    end = graph.linear(f"{blk}{out}.weight", graph.op("VIEW", scan))
    return {
        "clear": clear,
        "old": old,
        "normed": normed,
        "projected": projected,
        "conv": conv,
        "scan": scan,
        "write": write,
        "out": end,
    }


@pytest.mark.parametrize("prefix", ["ssm_", "attn_"])
def test_recurrent_mixers_even_with_attention_names(prefix: str) -> None:
    graph = Graph()
    x = graph.layer(0, graph.embed())
    found = recurrent(graph, x, 1, prefix)
    end = graph.op("ADD", found["out"], x)
    graph.head(end)
    places = graph.places()
    assert places.blocks([*found.values(), end]) == {(1, "recurrent")}
    assert {key: places(row)[2] for key, row in found.items()} == {
        "clear": "state",
        "old": "state",
        "normed": "norm",
        "projected": "in_proj",
        "conv": "conv",
        "scan": "scan",
        "write": "state",
        "out": "out_proj",
    }
    # The attention layer beside it stays one.
    assert (0, "attention", "qkv") in parts_in_order(graph)


def test_an_op_without_rows_has_its_block_like_any_other() -> None:
    # llama.cpp moves the states of other sequences along; for one sequence these are none, but the
    # threads meet at the barrier of these ops all the same.
    graph = Graph()
    x = graph.layer(0, graph.embed())
    found = recurrent(graph, x, 1)
    cache = graph.cache("cache_r_l1")
    extra = graph.op("GET_ROWS", cache, graph.op("VIEW", graph.input("rs_s_copy")))
    write = graph.op("CPY", extra, graph.op("VIEW", cache))
    graph.rows[write].view_of, graph.rows[write].usage = cache, STATE
    for row in (extra, write):
        graph.rows[row].n_rows = 0
    graph.head(graph.op("ADD", found["out"], x))
    places = graph.places()
    assert places(extra) == places(write) == (1, "recurrent", "state")


def test_names_absent_a_recurrent_layer_is_counted_as_a_layer() -> None:
    graph = Graph(anonymous=True)
    x = graph.layer(0, graph.embed())
    found = recurrent(graph, x, 1)
    x = graph.op("ADD", found["out"], x)
    graph.head(graph.layer(2, x))
    places = graph.places()
    assert places(found["projected"]) == (1, "recurrent", "in_proj")
    assert (2, "attention", "qkv") in parts_in_order(graph)


def test_layers_whose_weights_run_twice_are_numbered_by_their_caches() -> None:
    graph = Graph()
    x = graph.embed()
    outs = []
    for slot in range(2):
        normed = graph.norm(x, "blk.0.attn_norm.weight")
        q, k, v = (graph.linear(f"blk.0.attn_{p}.weight", normed) for p in "qkv")
        core = graph.attention_core(slot, q, k, v)
        outs.append(graph.linear("blk.0.attn_output.weight", core))
        x = graph.op("ADD", outs[-1], x)
        x = graph.op("ADD", graph.ffn(0, graph.norm(x, "blk.0.ffn_norm.weight")), x)
    graph.head(x)
    places = graph.places()
    assert [places(row)[0] for row in outs] == [0, 1]
    assert places(x) == (1, "ffn", "residual")


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


def test_a_norm_whose_output_is_only_added_stands_after_its_block() -> None:
    # The stream that it is added to need not be an ancestor: gemma3n predicts several.
    graph = Graph()
    x = graph.embed()
    out = graph.attention(0, graph.norm(x, "blk.0.attn_norm.weight"))
    after = graph.norm(out, "blk.0.post_attention_norm.weight")
    mixed = graph.op("ADD", after, graph.op("ARANGE"))
    graph.op("ADD", graph.ffn(0, graph.norm(mixed, "blk.0.ffn_norm.weight")), mixed)
    assert graph.places()(after) == (0, "attention", "norm")


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


@pytest.mark.parametrize(
    ("name", "block", "part", "layer"),
    [
        ("blk.12.attn_q.weight", "attention", "qkv", 12),
        ("blk.3.ffn_down_exps.weight", "ffn", "experts", 3),
        ("dec.blk.1.cross_attn_o.weight", "attention", "out_proj", 1),
        ("blk.0.ssm_a", "recurrent", "scan", 0),
        ("blk.4.nextn.eh_proj.weight", "embedding", "mtp", -1),
        ("output_norm.weight", "lm_head", "norm", -1),
        ("blk.7.attn_q.weight.lora_a", "attention", "qkv", 7),
    ],
)
def test_names_of_weights(name: str, block: str, part: str, layer: int) -> None:
    role = role_of_name(name)
    assert role is not None
    assert (role.block, role.part, role.layer) == (block, part, layer)


def test_unknown_names_have_no_role() -> None:
    assert role_of_name("model.layers.0.self_attn.q_proj.weight") is None


@pytest.mark.parametrize("name", [f"blk.{10**20}.ffn_up.weight", f"cache_k_l{10**20}"])
def test_numbers_that_no_layer_has(name: str) -> None:
    from slmprof.analysis.graphs.weight_roles import state_layer, stem_and_layer

    assert stem_and_layer(name)[1] == -1
    assert state_layer(name) == -1


def test_every_rule_gives_a_part_of_its_block() -> None:
    from slmprof.analysis.graphs import weight_roles

    for _, block, part, _ in weight_roles._RULES:
        assert part in PARTS[block], (block, part)


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

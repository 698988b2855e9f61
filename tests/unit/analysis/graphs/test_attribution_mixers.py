"""Mixtures of experts, recurrent mixers, and layers whose weights run twice."""

from __future__ import annotations

import pytest
from graph_builder import STATE, VIEWS, Graph, parts_in_order


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

"""Where norms belong: before the block that they feed, or behind the one that they end."""

from __future__ import annotations

from graph_builder import Graph


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


def test_a_norm_whose_output_is_only_added_stands_after_its_block() -> None:
    # The stream that it is added to need not be an ancestor: gemma3n predicts several.
    graph = Graph()
    x = graph.embed()
    out = graph.attention(0, graph.norm(x, "blk.0.attn_norm.weight"))
    after = graph.norm(out, "blk.0.post_attention_norm.weight")
    mixed = graph.op("ADD", after, graph.op("ARANGE"))
    graph.op("ADD", graph.ffn(0, graph.norm(mixed, "blk.0.ffn_norm.weight")), mixed)
    assert graph.places()(after) == (0, "attention", "norm")

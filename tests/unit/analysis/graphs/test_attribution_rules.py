"""The rules of attribution one by one: what each answers, and what it leaves to the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from graph_builder import Graph, llama

from slmprof.analysis.graphs import anchors, inner_ops, norms
from slmprof.analysis.graphs.attribution import RULES
from slmprof.analysis.graphs.edges import GraphEdges
from slmprof.analysis.graphs.inner_ops import INNER_RULES, InnerOp
from slmprof.analysis.graphs.norms import NORM_RULES, Norm, NormRule
from slmprof.analysis.graphs.placing import Placing, Region
from slmprof.analysis.graphs.weight_roles import WeightRole

ATTENTION: Region = (1, "attention")
FFN: Region = (1, "ffn")


class Placed:
    """A graph after the rules up to and with the one that is named, by the rows of `Graph`."""

    def __init__(self, graph: Graph, last: Callable[[Placing], None]) -> None:
        table, texts, self.place = graph.table()
        self.placing = Placing(GraphEdges(table, texts))
        for rule in RULES[: RULES.index(last) + 1]:
            self.placing.look_around()
            rule(self.placing)
        self.placing.look_around()

    def __call__(self, row: int) -> Region | None:
        return self.placing.region.get(self.place[row])

    def answers(self, row: int) -> dict[str, Region | None]:
        """What each rule of inner ops says of a row."""
        at = self.place[row]
        op = InnerOp(self.placing, at, self.placing.before(at), self.placing.after(at))
        return {rule.__name__: rule(op) for rule in INNER_RULES}


def norm(
    role: WeightRole | None = None,
    producer: Region | None = ATTENTION,
    fed: Region | None = FFN,
    carried: bool = False,
    only_added: bool = False,
) -> Norm:
    return Norm((0,), role, producer, fed, carried, only_added)


def named(block: str, layer: int) -> WeightRole:
    return WeightRole(block, "norm", layer, "norm")


@pytest.mark.parametrize(
    ("rule", "of", "expected"),
    [
        # The end of the model, by its name; in a layer only if the stream does not go on from it.
        (norms.named_and_read_by_no_block, norm(named("lm_head", -1), fed=None), (-1, "lm_head")),
        (norms.named_and_read_by_no_block, norm(named("ffn", 1), fed=None), FFN),
        (norms.named_and_read_by_no_block, norm(named("ffn", 1), fed=None, carried=True), None),
        (norms.named_and_read_by_no_block, norm(named("ffn", 1)), None),
        (norms.named_and_read_by_no_block, norm(fed=None), None),
        (norms.read_by_no_block, norm(named("ffn", 1), fed=None), ATTENTION),
        (norms.read_by_no_block, norm(named("ffn", 1), producer=None, fed=None), FFN),
        (norms.read_by_no_block, norm(), None),
        (norms.read_by_additions_alone, norm(only_added=True), ATTENTION),
        (norms.read_by_additions_alone, norm(), None),
        (norms.carried_but_named_for_what_it_feeds, norm(named("ffn", 1), carried=True), FFN),
        (norms.carried_but_named_for_what_it_feeds, norm(named("ffn", 1)), None),
        (norms.carried_but_named_for_what_it_feeds, norm(named("ffn", 0), carried=True), None),
        (norms.carried_but_named_for_what_it_feeds, norm(named("lm_head", 1), carried=True), None),
        (
            norms.carried_but_named_for_what_it_feeds,
            norm(named("attention", 2), fed=(2, "recurrent"), carried=True),
            (2, "recurrent"),
        ),
        (norms.carried_on, norm(carried=True), ATTENTION),
        (norms.carried_on, norm(), None),
        (norms.before_its_block, norm(named("attention", 1)), FFN),
    ],
)
def test_a_rule_of_norms(rule: NormRule, of: Norm, expected: Region | None) -> None:
    assert rule(of) == expected


def test_the_last_rule_has_an_answer_for_every_placed_neighbour() -> None:
    assert NORM_RULES[-1](norm()) == FFN
    op = InnerOp(Placed(llama(1), norms.place_norms).placing, 0, ATTENTION, FFN)
    assert INNER_RULES[-1](op) == ATTENTION


def test_weights_place_their_readers_alone_and_norms_wait() -> None:
    graph = Graph()
    x = graph.embed()
    normed = graph.norm(x, "blk.0.attn_norm.weight")
    out = graph.attention(0, normed)
    total = graph.op("ADD", out, x)
    placed = Placed(graph, anchors.weights_by_name)
    assert placed(x) == (-1, "embedding") and placed(out) == (0, "attention")
    assert placed(normed) is None and placed(total) is None
    assert placed.placing.roles[placed.place[normed]].kind == "norm"


def test_unknown_names_are_left_to_their_use() -> None:
    graph = Graph(anonymous=True)
    x = graph.embed()
    out = graph.attention(0, graph.norm(x, "w"))
    graph.head(graph.op("ADD", out, x))
    assert not Placed(graph, anchors.weights_by_name).placing.region
    assert Placed(graph, anchors.weights_by_use)(out) == (0, "attention")


def test_a_bias_stays_with_its_product_whatever_layer_its_name_gives() -> None:
    graph = Graph()
    fed = graph.linear("blk.3.ffn_up.weight", graph.embed(), "blk.5.ffn_up.bias")
    assert Placed(graph, anchors.weights_by_name)(fed) == (3, "ffn")


def test_a_scale_named_for_the_next_layer_goes_there() -> None:
    graph = Graph()
    x = graph.layer(0, graph.embed())
    scaled = graph.op("MUL", x, "blk.1.layer_output_scale.weight")
    graph.linear("blk.1.attn_q.weight", scaled)
    answers = Placed(graph, norms.place_norms).answers(scaled)
    assert answers["scale_named_for_the_next"] == (1, "attention")
    assert answers["inside_one_block"] is None
    assert answers["behind_a_block"] == (0, "ffn")


def test_inputs_go_with_one_reader_but_to_no_layer_of_several() -> None:
    graph = Graph()
    x = graph.embed()
    one, both = (graph.op("CPY", graph.input(name), graph.input("half")) for name in ("a", "b"))
    for layer in range(2):
        q = graph.linear(f"blk.{layer}.attn_q.weight", x)
        core = graph.op("FLASH_ATTN_EXT", q, q, q, both if layer else graph.op("ADD", one, both))
        x = graph.op("ADD", graph.linear(f"blk.{layer}.attn_output.weight", core), x)
    placed = Placed(graph, norms.place_norms)
    assert placed.answers(one)["made_of_inputs"] == (0, "attention")
    assert placed.answers(both)["made_of_inputs"] == (-1, "attention")
    assert placed.answers(x)["made_of_inputs"] is None


def test_chosen_rows_between_blocks_are_the_readers_gain() -> None:
    graph = Graph()
    x = graph.layer(0, graph.embed())
    chosen = graph.op("GET_ROWS", x, graph.input("out_ids"))
    end = graph.op("SCALE", chosen)
    graph.linear("output.weight", end)
    placed = Placed(graph, norms.place_norms)
    answers = placed.answers(chosen)
    assert answers["choice_of_rows"] == (-1, "lm_head")
    assert answers["on_its_way_into_an_addition"] is None
    assert answers["made_of_chosen_rows"] is None
    placed.placing.region[placed.place[chosen]] = (-1, "lm_head")
    assert placed.answers(end)["made_of_chosen_rows"] == (-1, "lm_head")
    assert placed.answers(end)["choice_of_rows"] is None


def test_a_scale_before_an_addition_goes_with_it() -> None:
    graph = Graph()
    x = graph.layer(0, graph.embed())
    stream = graph.op("SCALE", x)
    fed = graph.ffn(1, graph.norm(x, "blk.1.ffn_norm.weight"))
    graph.head(graph.op("ADD", fed, stream))
    answers = Placed(graph, norms.place_norms).answers(stream)
    assert answers["on_its_way_into_an_addition"] == (1, "ffn")
    assert answers["behind_a_block"] == (0, "ffn")


def test_pooling_ends_the_model_only_where_nothing_follows() -> None:
    graph = Graph()
    x = graph.layer(0, graph.embed())
    pooled = graph.op("MUL_MAT", graph.op("CONT", x), graph.input("inp_mean"))
    placed = Placed(graph, norms.place_norms)
    assert placed.answers(pooled)["pooling"] == (-1, "other")
    assert placed.answers(pooled)["inside_one_block"] == (0, "ffn")
    graph.linear("cls.weight", pooled)
    assert Placed(graph, norms.place_norms).answers(pooled)["pooling"] is None


def test_what_only_clears_a_cache_goes_to_the_caches_layer() -> None:
    graph = llama(1)
    cleared = graph.op("SCALE", graph.op("VIEW", graph.cache("cache_s_l7")))
    placed = Placed(graph, inner_ops.place_inner_ops)
    assert placed(cleared) is None
    assert Placed(graph, inner_ops.place_lone_ops)(cleared) == (7, "recurrent")

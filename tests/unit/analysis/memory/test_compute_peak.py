"""Lives of storages, the peak of a compute buffer, its fragmentation and its lower bound."""

from __future__ import annotations

import numpy as np
from plan_builder import COMPUTE, OUTPUT, PlannedGraph

from slmprof.analysis.memory.liveness import Lives, find_lives
from slmprof.analysis.memory.peak import find_peak
from slmprof.planning.peaks import PeakFinder
from slmprof.profiles.tables import TensorTable


def lives_of(graph: PlannedGraph) -> tuple[Lives, dict[str, tuple[int, int]]]:
    """The lives, and birth and death by the name of the row."""
    planned = graph.planned()
    strings = planned["strings"]
    table = TensorTable.from_columns(planned["tensors"])
    lives = find_lives(table, strings)
    names = [strings[i] for i in table.name[lives.row]]
    return lives, dict(zip(names, zip(lives.birth, lives.death, strict=True), strict=True))


def test_a_storage_lives_from_its_row_to_its_last_reader() -> None:
    graph = PlannedGraph()
    w, x = graph.leaf("w.weight"), graph.leaf("inp", offset=0)
    a = graph.op("MUL_MAT", w, x, name="a", offset=64)
    b = graph.op("MUL_MAT", w, a, name="b", offset=128)
    graph.op("MUL_MAT", a, b, name="c", offset=192)
    _, spans = lives_of(graph)
    # Rows count from 0: a, b, c. The weight lies in no compute buffer; the last is never freed.
    assert spans == {"inp": (-1, 0), "a": (0, 2), "b": (1, 2), "c": (2, 2)}


def test_views_keep_their_source_alive() -> None:
    graph = PlannedGraph()
    x = graph.leaf("inp", offset=0)
    a = graph.op("MUL_MAT", x, x, name="a", offset=64)
    view = graph.op("RESHAPE", a, view_of=a)
    b = graph.op("MUL_MAT", x, x, name="b", offset=128)
    graph.op("MUL_MAT", view, b, name="c", offset=192)
    _, spans = lives_of(graph)
    assert spans["a"] == (0, 3)


def test_a_view_that_nobody_reads_is_never_given_back() -> None:
    graph = PlannedGraph()
    x = graph.leaf("inp", offset=0)
    a = graph.op("MUL_MAT", x, x, name="a", offset=64)
    graph.op("VIEW", a, view_of=a)
    b = graph.op("MUL_MAT", a, x, name="b", offset=128)
    graph.op("MUL_MAT", b, b, name="c", offset=192)
    _, spans = lives_of(graph)
    assert spans["a"] == (0, 3)


def test_outputs_live_to_the_end_and_inputs_from_the_start() -> None:
    graph = PlannedGraph()
    x = graph.leaf("inp", offset=0)
    late = graph.leaf("late", offset=64)
    a = graph.op("MUL_MAT", x, x, name="a", offset=128, flags=COMPUTE | OUTPUT)
    b = graph.op("MUL_MAT", a, x, name="b", offset=192)
    graph.op("MUL_MAT", b, late, name="c", offset=256)
    _, spans = lives_of(graph)
    assert spans["a"] == (0, 2)
    assert spans["late"] == (-1, 2)


def test_a_row_in_the_place_of_its_source_takes_it_over() -> None:
    graph = PlannedGraph()
    x = graph.leaf("inp", offset=0)
    a = graph.op("MUL_MAT", x, x, name="a", offset=64)
    graph.op("SCALE", a, name="b", offset=64)
    lives, spans = lives_of(graph)
    assert spans["a"] == (0, 0) and spans["b"] == (1, 1)
    assert lives.place.tolist() == [-1, 0, -1]
    # The two never count twice.
    assert lives.live_bytes().tolist() == [64, 128, 64]


def test_no_place_is_taken_over_that_others_need() -> None:
    for change in ("second reader", "output", "through a view", "another shape", "not in place"):
        graph = PlannedGraph()
        x = graph.leaf("inp", offset=0)
        flags = COMPUTE | OUTPUT if change == "output" else COMPUTE
        a = graph.op("MUL_MAT", x, x, name="a", offset=64, flags=flags)
        source = graph.op("VIEW", a, view_of=a) if change == "through a view" else a
        size = 32 if change == "another shape" else 64
        op = "MUL_MAT" if change == "not in place" else "SCALE"
        graph.op(op, source, name="b", offset=128, size_bytes=size)
        if change == "second reader":
            graph.op("MUL_MAT", a, x, name="c", offset=192)
        lives, _ = lives_of(graph)
        assert (lives.place < 0).all(), change


def test_the_peak_is_where_the_buffer_ends_with_its_fragmentation() -> None:
    graph = PlannedGraph()
    x = graph.leaf("inp", offset=0)
    a = graph.op("MUL_MAT", x, x, name="a", offset=64, size_bytes=128)
    b = graph.op("MUL_MAT", a, a, name="b", offset=192)
    # a is free now, but something larger does not fit into its place.
    graph.op("MUL_MAT", b, b, name="c", offset=256, size_bytes=192)
    peak = PeakFinder().peak(graph.planned(size_bytes=448))
    assert peak.size_bytes == 448
    assert [t.tensor for t in peak.tensors] == ["c", "b"]
    assert peak.live_bytes == 256 and peak.hole_bytes == 192
    assert peak.lower_bound_bytes == 256


def test_the_lower_bound_is_the_most_alive_at_any_time() -> None:
    graph = PlannedGraph()
    x = graph.leaf("inp", offset=0)
    a = graph.op("MUL_MAT", x, x, name="a", offset=64, size_bytes=512)
    b = graph.op("MUL_MAT", a, a, name="b", offset=640, size_bytes=32)
    graph.op("MUL_MAT", b, b, name="c", offset=704, size_bytes=32)
    lives, _ = lives_of(graph)
    moment = find_peak(lives)
    assert moment.end_bytes == 736 and moment.live_bytes == 64
    # While a is computed, the input is there too; then a and b.
    assert moment.lower_bound_bytes == 512 + 64


def test_an_input_that_nobody_reads_has_a_place_but_is_not_needed() -> None:
    graph = PlannedGraph()
    x = graph.leaf("inp", offset=0)
    graph.op("MUL_MAT", x, x, name="a", offset=64, size_bytes=512)
    graph.leaf("unread", offset=576, size_bytes=128)
    peak = PeakFinder().peak(graph.planned(size_bytes=704))
    assert [t.tensor for t in peak.tensors] == ["a", "unread", "inp"]
    assert peak.hole_bytes == 0
    assert peak.lower_bound_bytes == 512 + 64


def test_of_moments_with_the_same_end_that_with_most_bytes_counts() -> None:
    graph = PlannedGraph()
    x = graph.leaf("inp", offset=0)
    a = graph.op("MUL_MAT", x, x, name="a", offset=128)
    b = graph.op("MUL_MAT", a, x, name="b", offset=64)
    graph.op("MUL_MAT", a, b, name="c", offset=0)
    lives, _ = lives_of(graph)
    moment = find_peak(lives)
    assert moment.step == 1 and moment.live_bytes == 192


def test_a_graph_without_storages() -> None:
    lives = find_lives(TensorTable.empty(), [])
    assert len(lives) == 0
    assert find_peak(lives).end_bytes == 0


def test_tensors_are_described() -> None:
    graph = PlannedGraph()
    tokens = graph.leaf("inp_tokens", offset=0)
    embd = graph.op("GET_ROWS", graph.leaf("token_embd.weight"), tokens, name="embd", offset=64)
    norm = graph.op("RMS_NORM", embd, name="norm", offset=128)
    graph.op("MUL_MAT", graph.leaf("output.weight"), norm, name="logits", offset=64, size_bytes=96)
    found = {t.tensor: t for t in PeakFinder().peak(graph.planned()).tensors}
    assert found["logits"].block == "lm_head" and found["logits"].layer is None
    assert found["logits"].shape == (24,) and found["logits"].type == "f32"
    # An input belongs to the op that reads it.
    first = PlannedGraph()
    tokens = first.leaf("inp_tokens", offset=64)
    first.op("GET_ROWS", first.leaf("token_embd.weight"), tokens, name="embd", offset=0)
    found = {t.tensor: t for t in PeakFinder().peak(first.planned()).tensors}
    assert found["inp_tokens"].block == "embedding" and found["inp_tokens"].op == "NONE"


def test_the_largest_of_several_buffers_counts() -> None:
    graph = PlannedGraph()
    x = graph.leaf("inp", offset=0)
    a = graph.op("MUL_MAT", x, x, name="a", offset=0, size_bytes=256)
    graph.op("MUL_MAT", a, a, name="b", offset=256)
    planned = graph.planned()
    planned["tensors"]["buffer"] = np.array([1, 1, 0], np.int32)
    peak = PeakFinder().peak(planned)
    assert [t.tensor for t in peak.tensors] == ["a", "b"]

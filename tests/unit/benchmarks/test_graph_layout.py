"""The replayed allocator of the paper's benchmark."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
from plan_builder import PlannedGraph

_BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def graph_layout(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(_BENCHMARKS / "paper"))
    for name in ("graph_layout", "fused_copies"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("graph_layout")


def test_what_is_made_for_mixed_batches_alone_is_told_apart(graph_layout: ModuleType) -> None:
    # As llama.cpp 0.6.0 begins a graph: for tokens, and for a batch that has embeddings as well.
    graph = PlannedGraph()
    weight = graph.leaf("token_embd.weight")
    tokens = graph.leaf("inp_tokens", offset=0)
    mixed_tokens = graph.leaf("inp_mixed_tokens", offset=64)
    mixed_embd = graph.leaf("GPU#inp_mixed_embd#0", offset=128, flags=0)
    embd = graph.op("GET_ROWS", weight, tokens, name="embd", offset=192)
    rows = graph.op("GET_ROWS", weight, mixed_tokens, name="node_1", offset=0, flags=0)
    copy = graph.op("DUP", mixed_embd, name="node_2", offset=64, flags=0)
    graph.op("SET_ROWS", rows, copy, view_of=copy, flags=0)
    graph.op("MUL_MAT", weight, embd, name="result_output", offset=128)
    planned = graph.planned()
    layout = graph_layout.GraphLayout(planned["tensors"], planned["strings"], 0)
    # Without: tokens at 0, embd at 64, and the output in the place of the tokens.
    assert layout.planned_and_without_mixed(on_gpu=False) == (256, 128)
    # Places of a GPU begin at multiples of 128.
    assert layout.planned_and_without_mixed(on_gpu=True) == (512, 256)

    elsewhere = graph_layout.GraphLayout(planned["tensors"], planned["strings"], 1)
    assert elsewhere.planned_and_without_mixed(on_gpu=False) == (0, 0)


def test_a_graph_without_them_loses_nothing(graph_layout: ModuleType) -> None:
    graph = PlannedGraph()
    weight = graph.leaf("token_embd.weight")
    tokens = graph.leaf("inp_tokens", offset=0)
    graph.leaf("inp_embd", offset=64)  # nobody reads it, but it is not of a mixed batch
    embd = graph.op("GET_ROWS", weight, tokens, name="embd", offset=128)
    graph.op("MUL_MAT", weight, embd, name="result_output", offset=0)
    planned = graph.planned()
    layout = graph_layout.GraphLayout(planned["tensors"], planned["strings"])
    assert layout.planned_and_without_mixed(on_gpu=False) == (192, 192)

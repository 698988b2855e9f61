"""What would be resident: of reserved buffers only what the steps of a run reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...profiles.records.resident import HEAP, ORIGINALS, RECORDER, Resident, ResidentLine
from ...profiles.schema import Int64
from ...settings.devices import is_host, is_mapped

_PAGE_BYTES = 4096
_N_CTX_STEP = 256
# Of ggml's graphs: llama.cpp has room for so many nodes for each tensor of the model, and all it
# keeps of a node (the tensor twice, the scheduler's and the allocator's notes) takes about so much.
_NODES_OF_TENSOR, _LEAST_NODES, _NODE_BYTES = 8, 1024, 1200
# llama.cpp's notes on a cell of a cache: its position, its shift, its sequences.
_CELL_BYTES = 40
# The recorder's buffers: an event, the least that a thread has room for, and what each ubatch of a
# prompt asks for, up to a limit.
_EVENT_BYTES, _LEAST_EVENTS, _EVENTS_OF_RUN, _MOST_EVENTS = 32, 1 << 16, 1 << 13, 1 << 22

Plan = Mapping[str, Any]
"""A plan of the native planner (`_core.Plan`)."""
Graph = Mapping[str, Any]
"""A planned graph: its work buffer, and the columns of its tensors' places."""
GraphOf = Callable[[int, int, int], Graph]
"""The prompt's graph, `placed`, with a context, a ubatch and a number of outputs."""
_PLACE_COLUMNS = ("node", "buffer", "offset_bytes", "view_src", "size_bytes")


@dataclass(frozen=True)
class Steps:
    """The steps that a run consists of.

    Attributes:
        n_prompt: tokens of the prompt; n_depth: tokens that are in the context before it.
        n_ctx: tokens that the context holds in the end.
    """

    n_prompt: int
    n_ctx: int
    n_depth: int = 0

    def ubatches(self, n_ubatch: int) -> list[tuple[int, int]]:
        """The largest ubatches: each its tokens, and the cells in use behind it, rounded up.

        Of what fills the context before the prompt, and of the prompt, those are the last full one
        and what is left behind it.
        """
        found = []
        for n_before, n_tokens in ((0, self.n_depth), (self.n_depth, self.n_prompt)):
            n_rest = n_tokens % n_ubatch
            if n_tokens >= n_ubatch:
                found.append((n_ubatch, n_before + n_tokens - n_rest))
            if n_rest:
                found.append((n_rest, n_before + n_tokens))
        return [(n, _rounded(min(n_cells, self.n_ctx))) for n, n_cells in found]


def _rounded(n_cells: int) -> int:
    return -(-n_cells // _N_CTX_STEP) * _N_CTX_STEP


def expect_resident(
    steps: Steps,
    plan: Plan,
    planned: Sequence[Graph],
    graph_of: GraphOf,
    weights: Mapping[str, Any],
    vocabulary_bytes: int,
) -> Resident:
    """What will be resident of a plan, but for the process itself.

    Args:
        plan: the whole context's.
        planned: its graphs, `placed`.
        graph_of: plans a smaller one on the same model.
        weights: the places of the weights.
        vocabulary_bytes: of the heap, for the vocabulary.
    """
    context = plan["context"]
    n_seq_max = int(context["n_seq_max"])
    n_ubatch = int(context["n_ubatch"])
    prompts = [graph_of(n_cells, n, n_seq_max) for n, n_cells in steps.ubatches(n_ubatch)]
    graphs = [*prompts, *planned[1:2]]
    lines = [
        *_weight_lines(plan["buffers"], weights),
        *_whole_lines(plan, steps.n_prompt),
        ResidentLine("compute", touched_bytes(planned[0], graphs)),
        ResidentLine("work", max(int(graph["work_bytes"]) for graph in graphs)),
        ResidentLine(HEAP, _heap_bytes(context, len(weights["name"]), vocabulary_bytes)),
        ResidentLine(RECORDER, _recorder_bytes(context, steps.n_prompt)),
    ]
    return Resident(steps.n_prompt, tuple(line for line in lines if line.size_bytes))


def placed(graph: Graph) -> Graph:
    """Of a planned graph what is worth keeping while others are planned."""
    places = {name: graph["tensors"][name] for name in _PLACE_COLUMNS}
    return {"tensors": places, "work_bytes": graph["work_bytes"]}


def touched_bytes(reserved: Graph, graphs: Iterable[Graph]) -> int:
    """Bytes in the pages of the compute buffers that these graphs write to.

    ggml keeps the places of the graph that it reserved for, as long as a graph has the same nodes
    and none of them is larger; else it places the graph anew.

    Args:
        reserved: the planned graph whose places are kept.
        graphs: those that run.
    """
    spans = [_spans(graph, _kept_offsets(reserved, graph)) for graph in graphs]
    return _pages_of(np.concatenate(spans)) * _PAGE_BYTES if spans else 0


def _kept_offsets(reserved: Graph, graph: Graph) -> Int64 | None:
    """Where the rows of a graph lie by the places reserved; None where it is placed anew."""
    places, rows = reserved["tensors"], graph["tensors"]
    if len(places["node"]) != len(rows["node"]) or not np.array_equal(places["node"], rows["node"]):
        return None
    is_placed = _is_owner(rows)
    if not np.array_equal(is_placed, _is_owner(places)):
        return None
    if (rows["size_bytes"][is_placed] > places["size_bytes"][is_placed]).any():
        return None
    offsets: Int64 = places["offset_bytes"]
    return offsets


def _is_owner(rows: Mapping[str, Any]) -> Any:
    return (rows["buffer"] >= 0) & (rows["offset_bytes"] >= 0) & (rows["view_src"] < 0)


def _spans(graph: Graph, offsets: Int64 | None) -> Int64:
    """Buffer, first page and page behind the last of each storage; int64[n, 3]."""
    rows = graph["tensors"]
    chosen = _is_owner(rows) & (rows["size_bytes"] > 0)
    begin = (rows["offset_bytes"] if offsets is None else offsets)[chosen].astype(np.int64)
    end = begin + rows["size_bytes"][chosen]
    return np.stack(
        [rows["buffer"][chosen].astype(np.int64), begin // _PAGE_BYTES, -(-end // _PAGE_BYTES)],
        axis=1,
    )


def _pages_of(spans: Int64) -> int:
    """Pages in the union of spans."""
    total, buffer, reached = 0, -1, 0
    for number, begin, end in sorted(map(tuple, spans.tolist())):
        if number != buffer:
            buffer, reached = number, 0
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _weight_lines(
    buffers: Sequence[Mapping[str, Any]], weights: Mapping[str, Any]
) -> list[ResidentLine]:
    """Mapped weights, the mapped originals of copies, and weights in memory of their own."""
    own = [b for b in buffers if b["kind"] == "weights" and is_host(b["device"])]
    mapped = sum(int(b["size_bytes"]) for b in own if is_mapped(b["buffer_type"]))
    copied = sum(int(b["size_bytes"]) for b in own) - mapped
    originals = min(originals_bytes(weights), mapped)
    return [
        ResidentLine("weights", mapped - originals, is_evictable=True),
        ResidentLine(ORIGINALS, originals, is_evictable=True, is_needed=False),
        ResidentLine("weights", copied),
    ]


def originals_bytes(weights: Mapping[str, Any]) -> int:
    """Bytes within the mapped ranges of a file whose weights are used from another buffer."""
    mapped: dict[int, list[tuple[int, int]]] = {}
    others: dict[int, set[tuple[int, int]]] = {}
    columns = ("file", "file_offset_bytes", "size_bytes")
    rows = zip(*(weights[name].tolist() for name in columns), weights["buffer_type"], strict=True)
    for file, offset, size, buffer_type in rows:
        if file < 0:
            continue
        if is_mapped(buffer_type):
            mapped.setdefault(file, []).append((offset, offset + size))
        else:
            others.setdefault(file, set()).add((offset, offset + size))
    total = 0
    for file, ranges in mapped.items():
        first, last = min(begin for begin, _ in ranges), max(end for _, end in ranges)
        used = set(ranges)
        total += sum(
            end - begin
            for begin, end in others.get(file, ())
            if first <= begin and end <= last and (begin, end) not in used
        )
    return total


def _whole_lines(plan: Plan, n_prompt: int) -> list[ResidentLine]:
    """Buffers that llama.cpp fills when it makes them: caches, states and outputs."""
    context = plan["context"]
    sums = dict.fromkeys(("kv_cache", "recurrent_state", "output"), 0)
    for buffer in plan["buffers"]:
        if buffer["kind"] in sums and is_host(buffer["device"]):
            sums[buffer["kind"]] += int(buffer["size_bytes"])
    if not context["has_memory"]:
        # A model that only encodes gives outputs for each token of a ubatch.
        n_tokens = min(n_prompt, int(context["n_ubatch"]))
        sums["output"] = sums["output"] // int(context["n_seq_max"]) * n_tokens
    return [ResidentLine(kind, size) for kind, size in sums.items()]


def _heap_bytes(context: Mapping[str, Any], n_tensors: int, vocabulary_bytes: int) -> int:
    nodes = max(_LEAST_NODES, _NODES_OF_TENSOR * n_tensors)
    return vocabulary_bytes + nodes * _NODE_BYTES + int(context["n_ctx"]) * _CELL_BYTES


def _recorder_bytes(context: Mapping[str, Any], n_prompt: int) -> int:
    n_runs = -(-n_prompt // int(context["n_ubatch"]))
    events = min(max(n_runs * _EVENTS_OF_RUN, _LEAST_EVENTS), _MOST_EVENTS)
    return int(context["n_threads"]) * events * _EVENT_BYTES

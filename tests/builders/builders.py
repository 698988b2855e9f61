"""A small profile whose every number can be worked out by hand.

One layer, five executed ops, two threads, two repeats. In milliseconds, an op step is: batch 1,
graph_build 2, graph_alloc 1, inputs 1, then one graph run of 20 (prefill) or 10 (decode), then
outputs 1, and 0.1 that nothing accounts for. Thread 0 works for 80 % of each op's span, thread 1
for 60 %: compute is 70 % of the span and wait 30 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from meta_builder import N_EMBD, N_GEN, N_PROMPT, N_REPEATS, N_VOCAB, example_meta
from rows import Rows

from slmprof.analysis.graphs.attribution import Attribution
from slmprof.analysis.graphs.edges import GraphEdges
from slmprof.analysis.graphs.nodes import CONVERSIONS
from slmprof.analysis.graphs.weight_roles import PARTS
from slmprof.profiles.kernel_tables import (
    CapturedNodeTable,
    CaptureTable,
    ClonedNodeTable,
    GraphVersionTable,
    IssueTable,
    LaunchTable,
    StrayKernelTable,
    TraceTable,
    TransferTable,
)
from slmprof.profiles.records.meta import Meta
from slmprof.profiles.storage.history import known_types
from slmprof.profiles.tables import (
    CopyTable,
    EventTable,
    GraphTable,
    LaneTable,
    MaskTable,
    PlaceTable,
    RunTable,
    SegmentTable,
    SplitTable,
    StatTable,
    StepTable,
    TensorTable,
    TypeTable,
)
from slmprof.profiles.vocabulary import PASS_OP, PASS_TIMING, PASS_WARMUP, SEGMENTS
from slmprof.views import Profile

MS = 1_000_000
PREFILL, DECODE = 0, 1

# node, n_fused, path, span of a prefill step in ms; a decode step takes half of it.
EXECUTED: list[tuple[int, int, str, int]] = [
    (0, 0, "", 1),
    (1, 1, "", 2),
    (3, 0, "repack gemv_q4_K_8x8_q8_K", 10),
    (5, 0, "vec_dot_f16", 4),
    (6, 0, "vec_dot_q6_K_q8_K", 3),
]
TIMING_MS = {PREFILL: [25, 27], DECODE: [14, 16]}
WARMUP_MS = 99
HOST_MS = {"batch": 1, "graph_build": 2, "graph_alloc": 1, "inputs": 1, "outputs": 1}

# name -> layer, block, part of the stub attribution.
PLACES = {
    "embd": (-1, "embedding", "embed"),
    "norm-0": (0, "attention", "norm"),
    "attn_norm-0": (0, "attention", "norm"),
    "Qcur-0": (0, "attention", "qkv"),
    "kq-0": (0, "attention", "scores"),
    "result_output": (-1, "lm_head", "head"),
}


def in_vocabulary(block: str, part: str) -> bool:
    """Whether attribution can give this; builders hold what they make up against it."""
    return part in (*PARTS[block], *CONVERSIONS) or (block, part) == ("other", "")


assert all(in_vocabulary(block, part) for _, block, part in PLACES.values())


@dataclass
class Strings:
    """The texts of a profile."""

    texts: list[str]

    def __call__(self, text: str) -> int:
        if not text:
            return -1
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)


class Builder:
    """Builds the profile step by step; tests change what they are about."""

    def __init__(self) -> None:
        self.text = Strings([])
        self.steps = Rows(StepTable)
        self.segments = Rows(SegmentTable)
        self.runs = Rows(RunTable)
        self.copies = Rows(CopyTable)
        self.events = Rows(EventTable)
        self.stats = Rows(StatTable)
        self.masks = Rows(MaskTable)
        self.traces = Rows(TraceTable)
        self.stray_kernels = Rows(StrayKernelTable)
        self.transfers = Rows(TransferTable)
        self.captures = Rows(CaptureTable)
        self.captured_nodes = Rows(CapturedNodeTable)
        self.cloned_nodes = Rows(ClonedNodeTable)
        self.graph_versions = Rows(GraphVersionTable)
        self.issues = Rows(IssueTable)
        self.launches = Rows(LaunchTable)
        self.graphs = Rows(GraphTable)
        self.splits = Rows(SplitTable)
        self.tensors = Rows(TensorTable)
        self.places = Rows(PlaceTable)
        self.lanes = Rows(LaneTable)
        self.types = Rows(TypeTable)
        self.now = 1_000 * MS

    def step(self, phase: int, pass_: int, repeat: int, index: int, duration_ns: int) -> int:
        begin, self.now = self.now, self.now + duration_ns
        return self.steps.add(
            phase=phase,
            **{"pass": pass_},
            repeat=repeat,
            index=index,
            depth=0,
            n_tokens=N_PROMPT if phase == PREFILL else 1,
            n_past=0 if phase == PREFILL else N_PROMPT + index,
            begin_ns=begin,
            end_ns=self.now,
        )

    def op_step(self, phase: int, repeat: int, index: int, graph: int) -> None:
        share = 2 if phase == PREFILL else 1
        begin = self.now
        spans = [span * share * MS // 2 for _, _, _, span in EXECUTED]
        duration = sum(HOST_MS.values()) * MS + sum(spans) + MS // 10
        step = self.step(phase, PASS_OP, repeat, index, duration)
        at = begin
        for name in ("batch", "graph_build", "graph_alloc", "inputs"):
            at = self.segment(step, name, at)
        end = at + sum(spans)
        run = self.runs.add(
            step=step, graph=graph, lane=0, n_threads=2, n_dropped=0, begin_ns=at, end_ns=end
        )
        for lane, busy in ((0, 8), (1, 6)):
            start = at
            for (node, n_fused, path, _), span in zip(EXECUTED, spans, strict=True):
                self.events.add(
                    run=run,
                    node=node,
                    n_fused=n_fused,
                    lane=lane,
                    path=self.text(path),
                    begin_ns=start,
                    end_ns=start + span * busy // 10,
                    convert=-1,
                    convert_ns=0,
                    resume_ns=0,
                    n_experts=0,
                )
                start += span
        self.segment(step, "outputs", end)

    def segment(self, step: int, name: str, begin: int) -> int:
        end = begin + HOST_MS[name] * MS
        self.segments.add(step=step, kind=SEGMENTS.index(name), begin_ns=begin, end_ns=end)
        return end

    def graph(self, n_tokens: int, n_kv: int) -> int:
        """A graph of seven nodes (one of them a view) and six leaves."""
        graph = self.graphs.add(hash=2**63 + n_kv, n_nodes=7, backend=self.text("CPU"))
        n = [N_EMBD, n_tokens]
        nodes: list[tuple[str, str, str, list[int], list[int]]] = [
            ("GET_ROWS", "embd", "f32", n, [7, 8]),
            ("RMS_NORM", "norm-0", "f32", n, [0]),
            ("MUL", "attn_norm-0", "f32", n, [1, 9]),
            ("MUL_MAT", "Qcur-0", "f32", n, [10, 2]),
            ("RESHAPE", "Qcur-0 (reshaped)", "f32", n, [3]),
            ("MUL_MAT", "kq-0", "f32", [n_kv, n_tokens], [11, 4]),
            ("MUL_MAT", "result_output", "f32", [N_VOCAB, n_tokens], [12, 2]),
        ]
        leaves: list[tuple[str, str, list[int], int]] = [
            ("token_embd.weight", "q4_K", [N_EMBD, N_VOCAB], 1),
            ("inp_tokens", "i32", [n_tokens], 0),
            ("blk.0.attn_norm.weight", "f32", [N_EMBD], 1),
            ("blk.0.attn_q.weight", "q4_K", [N_EMBD, N_EMBD], 1),
            ("cache_k_l0", "f16", [N_EMBD, n_kv], 3),
            ("output.weight", "q6_K", [N_EMBD, N_VOCAB], 1),
        ]
        for i, (op, name, type_name, shape, sources) in enumerate(nodes):
            self.tensor(graph, i, op, name, type_name, shape, sources, 2, view=3 if i == 4 else -1)
        for name, type_name, shape, usage in leaves:
            self.tensor(graph, -1, "NONE", name, type_name, shape, [], usage)
        return graph

    def tensor(
        self,
        graph: int,
        node: int,
        op: str,
        name: str,
        type_name: str,
        shape: list[int],
        sources: list[int],
        usage: int,
        view: int = -1,
    ) -> None:
        sizes = [*shape, 1, 1, 1, 1][:4]
        # Sizes that are easy to add up: 4 bytes an element, 1 for quantized and 2 for f16 ones.
        width = {"f32": 4, "i32": 4, "f16": 2}.get(type_name, 1)
        strides = [width, *(width * int(np.prod(sizes[:i])) for i in (1, 2, 3))]
        self.tensors.add(
            graph=graph,
            node=node,
            op=self.text(op),
            op_detail=-1,
            name=self.text(name),
            type=self.text(type_name),
            buffer_type=self.text("CPU"),
            usage=usage,
            buffer=0,
            offset_bytes=0,
            flags=16 if node >= 0 else 0,
            view_src=view,
            view_offset=0,
            **{f"ne{i}": size for i, size in enumerate(sizes)},
            **{f"nb{i}": stride for i, stride in enumerate(strides)},
            **{f"src{i}": (sources[i] if i < len(sources) else -1) for i in range(10)},
            size_bytes=width * int(np.prod(sizes)),
            **{f"param{i}": 0 for i in range(4)},
        )

    def warmup(self) -> None:
        for phase in (PREFILL, DECODE):
            self.step(phase, PASS_WARMUP, 0, 0, WARMUP_MS * MS)

    def repeat(self, repeat: int) -> None:
        """A timing pass and an op pass of both phases; decode uses graphs 1 and 2."""
        self.step(PREFILL, PASS_TIMING, repeat, 0, TIMING_MS[PREFILL][repeat] * MS)
        for index in range(N_GEN):
            self.step(DECODE, PASS_TIMING, repeat, index, TIMING_MS[DECODE][index] * MS)
        self.op_step(PREFILL, repeat, 0, graph=0)
        for index in range(N_GEN):
            self.op_step(DECODE, repeat, index, graph=1 + index)

    def fill(self) -> Builder:
        self.graph(N_PROMPT, n_kv=32)
        self.graph(1, n_kv=32)
        self.graph(1, n_kv=48)
        self.warmup()
        for repeat in range(N_REPEATS):
            self.repeat(repeat)
        self.device()
        return self

    def device(self) -> None:
        """Two threads of a CPU, and ggml's types."""
        for index in (0, 1):
            self.lanes.add(
                kind=self.text("cpu_thread"), device=self.text("CPU"), index=index, clock=0
            )
        types, names = known_types(0)
        for number, name in enumerate(names):
            columns = {key: int(values[number]) for key, values in types.columns().items()}
            self.types.add(**{**columns, "name": self.text(name)})

    def whole_graphs(self) -> None:
        """Each graph in one split."""
        for number, graph in enumerate(self.graphs.rows):
            self.splits.add(graph=number, device=graph["backend"], n_nodes=graph["n_nodes"])
        for run in self.runs.rows:
            run["split"] = run["graph"]

    def build(self, **run: Any) -> Profile:
        if not self.lanes.rows:
            self.device()
        if not self.splits.rows:
            self.whole_graphs()
        meta = example_meta()
        meta["run"].update(run)
        return Profile(
            meta=Meta.from_json(meta),
            strings=tuple(self.text.texts),
            steps=self.steps.build(),
            segments=self.segments.build(),
            runs=self.runs.build(),
            copies=self.copies.build(),
            events=self.events.build(),
            stats=self.stats.build(),
            masks=self.masks.build(),
            stray_kernels=self.stray_kernels.build(),
            transfers=self.transfers.build(),
            captures=self.captures.build(),
            captured_nodes=self.captured_nodes.build(),
            cloned_nodes=self.cloned_nodes.build(),
            graph_versions=self.graph_versions.build(),
            issues=self.issues.build(),
            launches=self.launches.build(),
            traces=self.traces.build(),
            graphs=self.graphs.build(),
            splits=self.splits.build(),
            tensors=self.tensors.build(),
            places=self.places.build(),
            lanes=self.lanes.build(),
            types=self.types.build(),
        )


def example_profile() -> Profile:
    """The profile that the module's docstring describes."""
    return Builder().fill().build()


def with_custom_type(profile: Profile) -> Profile:
    """Node 3 multiplies 96 columns of q5_X, whose blocks are 48 elements in 34 bytes."""
    strings = (*profile.strings, "q5_X")
    number = len(profile.strings)
    added = {
        "name": [number],
        "block_size": [48],
        "type_size": [34],
        "is_quantized": [1],
        "number": [-1],
    }
    tensors = profile.tensors
    columns = {name: values.copy() for name, values in tensors.columns().items()}
    for product in np.flatnonzero(tensors.node == 3).tolist():
        first = int(np.flatnonzero(tensors.graph == tensors.graph[product])[0])
        weight, x = (first + int(tensors.columns()[f"src{i}"][product]) for i in (0, 1))
        n_rows = {weight: int(tensors.ne1[weight]), x: int(tensors.ne1[x])}
        for row, block, row_bytes in ((weight, 34, 2 * 34), (x, 4, 4 * 96)):
            columns["ne0"][row], columns["nb0"][row] = 96, block
            for i in (1, 2, 3):
                columns[f"nb{i}"][row] = row_bytes * (1 if i == 1 else n_rows[row])
            columns["size_bytes"][row] = row_bytes * n_rows[row]
        columns["type"][weight] = number
    return replace(
        profile,
        strings=strings,
        tensors=TensorTable.from_columns(columns),
        types=TypeTable.concatenate([profile.types, TypeTable.from_columns(added)]),
    )


def with_conversion(profile: Profile) -> Profile:
    """Node 3 converts its activations first: a tenth of its span on thread 0, a fifth on 1."""
    events = profile.events
    chosen = events.node == 3
    span = np.where(profile.steps.phase[profile.runs.step[events.run]] == 0, 10 * MS, 5 * MS)
    share = np.where(events.lane == 0, span // 10, span // 5)
    texts = (*profile.strings, "quantize_row_q8_K")
    events = events.replace(
        convert=np.where(chosen, len(texts) - 1, -1).astype(np.int32),
        convert_ns=np.where(chosen, share, 0),
    )
    return replace(profile, events=events, strings=texts)


def stub_attribute(edges: GraphEdges) -> Attribution:
    """Places nodes by their names alone, so that these tests depend on nothing else."""
    places = [
        PLACES.get(name, (-1, "", "")) if row < edges.n_nodes else (-1, "", "")
        for row, name in enumerate(edges.name)
    ]
    return Attribution(
        layer=np.array([place[0] for place in places], np.int32),
        block=np.array([place[1] for place in places], np.str_),
        part=np.array([place[2] for place in places], np.str_),
    )

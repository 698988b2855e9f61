"""The tables of a profile: one class a table, one line a column (see `schema`).

docs/profile-format.md shows these lines as tables: `python docs/profile_tables.py` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .schema import (
    Float64,
    Int32,
    Int64,
    Meta,
    Table,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    column,
    enum,
    row,
    text,
    within,
)
from .vocabulary import MOST_FUSED

if TYPE_CHECKING:
    import numpy.typing as npt

N_DIMS = 4
N_SOURCES = 10

_SHAPE = "elements in each dimension, fastest first"
_STRIDES = "from one element to the next in each dimension, fastest first"
_SOURCES = (
    "the sources (0 is the graph's first row), or -1; a node reads leaves and earlier nodes, but "
    "for a cast, whose `src1` is itself"
)
_PARAMETERS = "first 32-bit operator parameters, as stored"
_DEPTH = "tokens in the context before the prompt of this repeat (`--n-depth`)"
_REPEAT = (
    "which repeat of the pass, counted on over all processes; warm-up passes count from 0 in each"
)
_CPU = "CPU time that all threads of the process had meanwhile, to the system's tick; 0: not known"
_PREEMPTED = "how often the system took one of the process's threads off its core meanwhile"
_SET_APART = "1 where it took so long that `stats` leave it out: another process had disturbed it"
_PASS = (
    "hooks are off in a timing pass and on in an op pass; in a split pass they are on, and devices "
    "that tell nothing of their ops run as they would unobserved, not op by op"
)
_EMPTY = (
    "what a graph with nothing to do took on a device that ran ops one by one, included in each of "
    "its events; 0 elsewhere"
)
_GAP = (
    "time of the run in which a device whose kernels are recorded ran none: it copied, waited for "
    "the host, for a launch, for its own scheduling, or for what is not on record"
)
_SEEN = (
    "0 where a device was told to run, and nothing of it was read before it was told the next: "
    "then `end_ns` is `begin_ns`"
)
_CONVERT = "which code converted the activations of a product first (`quantize_row_q8_K`)"
_RESUME = (
    "from `begin_ns` until this lane went on behind the barrier after that; 0 where it was not "
    "read (`clock` is `fast`): then all went on when the last one had converted"
)
_SPAN = (
    "span: the first lane's begin to its next op's begin, or the run's end; 0 where it lacks the op"
)
_MEAN = "sum over calls of the mean, over the lanes that have the op, of "
_WAIT = "the time from `end` to the lane's next begin, or the run's end"
_SLOWEST = "sum over calls of the slowest lane's time; 0 where it is not known (version 1)"


def trimmed_shape(shape: Iterable[int]) -> tuple[int, ...]:
    """A shape of N_DIMS without the ones at its end, as users write it; at least one dimension."""
    sizes = [int(size) for size in shape]
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


class TensorType(NamedTuple):
    """How ggml stores the elements of a type: so many in a block of so many bytes."""

    block_size: int
    type_size: int
    is_quantized: bool

    @property
    def element_bytes(self) -> int:
        """Bytes of an element that stands alone; 0 where several are stored together."""
        return self.type_size if self.block_size == 1 else 0


def _stacked(table: Table, name: str, n: int) -> npt.NDArray[Any]:
    columns = table.columns()
    return np.stack([columns[f"{name}{i}"] for i in range(n)], axis=1)


def _depth_of_config(meta: Meta) -> int:
    """The depth of a file whose steps do not say it yet."""
    config = meta.get("config")
    depth = config.get("n_depth") if isinstance(config, dict) else None
    return depth if isinstance(depth, int) and 0 <= depth < 2**31 else 0


class StepTable(Table, name="steps"):
    """One row for each step: one prompt, or one generated token."""

    phase: UInt8 = enum("phase")
    pass_: UInt8 = enum("pass", _PASS)
    repeat: Int32 = column(_REPEAT)
    index: Int32 = column("number of the step in its phase and pass: in decode, the token's number")
    depth: Int32 = column(_DEPTH, since=2, before=_depth_of_config)
    n_tokens: Int32 = column("tokens in this step")
    n_past: Int32 = column("tokens in the context before it")
    begin_ns: Int64 = column("before `llama_decode`")
    end_ns: Int64 = column("after its synchronisation")
    process: Int32 = column("which of the worker processes (`--processes`) ran it", since=5)
    cpu_ns: Int64 = column(_CPU, since=5)
    n_preempted: Int32 = column(_PREEMPTED, since=5)
    set_apart: UInt8 = column(_SET_APART, high=1, since=5)


class SegmentTable(Table, name="segments"):
    """What the host did in a step of an op pass, outside the graph runs."""

    step: Int32 = row("steps")
    kind: UInt8 = enum("segment")
    begin_ns: Int64 = column()
    end_ns: Int64 = column()


class RunTable(Table, name="runs"):
    """One row for each execution of a split of a graph in an op pass or split pass."""

    step: Int32 = row("steps")
    graph: Int32 = row("graphs")
    split: Int32 = row("splits", "of the graph", since=6)
    lane: Int32 = row("lanes", "the first of its `n_threads` lanes, which stand together", since=4)
    n_threads: Int32 = column("lanes that computed it", low=1, high=2**16 - 1)
    n_dropped: Int64 = column("events dropped because the recorder's buffer was full")
    begin_ns: Int64 = column("the first op's begin on the first lane; on a device, when told")
    end_ns: Int64 = column("when the last barrier is passed; on a device, when its end was seen")
    is_end_seen: UInt8 = column(_SEEN, high=1, since=6, before=1)
    empty_ns: Int64 = column(_EMPTY, since=6)
    gap_copy_ns: Int64 = column(_GAP, since=7)
    gap_host_ns: Int64 = column(_GAP, since=7)
    gap_launch_ns: Int64 = column(_GAP, since=7)
    gap_device_ns: Int64 = column(_GAP, since=7)
    gap_unknown_ns: Int64 = column(_GAP, since=7)


class CopyTable(Table, name="copies", since=6):
    """One row for each tensor that went to the device of a split, in an op pass or split pass."""

    step: Int32 = row("steps")
    split: Int32 = row("splits", "that read it")
    tensor: Int32 = text("ggml's name of it")
    source: Int32 = text("ggml's name of the device that it came from")
    target: Int32 = text("ggml's name of the device that it went to")
    size_bytes: Int64 = column("`ggml_nbytes`; of experts, only those are copied that are used")
    begin_ns: Int64 = column("when it did not have to wait for its source any more")
    end_ns: Int64 = column()


class EventTable(Table, name="events"):
    """One row for each executed op (or fused group) and lane, sorted by run, lane, begin.

    A run has events when `run.events` is `all`. On a lane of kind `gpu` an event is one kernel, of
    which an op may have several, and kernels of several streams may overlap.
    """

    run: Int32 = row("runs")
    node: Int32 = within("nodes", "the (first) node")
    n_fused: UInt16 = column(
        "how many following nodes ran fused with it; 0 for a plain op", high=MOST_FUSED
    )
    lane: Int32 = row("lanes", "one of its run's", since=4, was=("thread", "uint16"))
    path: Int32 = text(
        "which code ran (`vec_dot_q6_K_q8_K`, `repack gemv_q4_K_8x8_q8_K`, …); a kernel's full name"
    )
    begin_ns: Int64 = column("begin of this lane's own work")
    end_ns: Int64 = column("end of this lane's own work, without the barrier")
    convert: Int32 = text(_CONVERT, since=2, before=-1)
    convert_ns: Int64 = column("from `begin_ns` until its share was converted; 0: none is", since=2)
    resume_ns: Int64 = column(_RESUME, since=2)
    n_experts: Int32 = column(
        "on the first lane of a routed product, experts that it read", since=2
    )


class StatTable(Table, name="stats"):
    """The events reduced to one row for each op when `run.events` is `aggregate`.

    Rows differ in a column before `calls`.
    """

    phase: UInt8 = enum("phase")
    depth: Int32 = column(_DEPTH, since=2, before=_depth_of_config)
    graph: Int32 = row("graphs")
    lane: Int32 = row("lanes", "the first of the runs' lanes", since=4)
    node: Int32 = within("nodes")
    n_fused: UInt16 = column("as in `events`", high=MOST_FUSED)
    stage: UInt8 = enum("stage", "the op proper, or the conversion of its activations", since=2)
    path: Int32 = text("as in `events`; of a conversion, that of `convert`")
    calls: Int64 = column(merge="sum")
    span_sum_ns: Int64 = column(_SPAN, merge="sum")
    span_min_ns: Int64 = column(_SPAN, merge="min")
    span_max_ns: Int64 = column(_SPAN, merge="max")
    span_sq_sum: Float64 = column("sum of the squares of the spans", unit="ns²", merge="sum")
    compute_sum_ns: Float64 = column(_MEAN + "`end - begin`", merge="sum")
    compute_max_sum_ns: Float64 = column(_SLOWEST, since=2, merge="sum")
    wait_sum_ns: Float64 = column(_MEAN + _WAIT, merge="sum")
    n_experts_sum: Int64 = column("sum over calls of experts read", since=2, merge="sum")


class MaskTable(Table, name="masks", since=2):
    """One row for each run of an op pass and each mask that its attentions read from the host."""

    run: Int32 = row("runs")
    tensor: Int32 = within("tensors", "the mask")
    n_pairs: Int64 = column("query-key pairs that it lets through")
    n_keys: Int64 = column("keys that any query sees: the length of the cache really in use")


class GraphTable(Table, name="graphs", over_chunks=True):
    """One row for each distinct compute graph."""

    hash: UInt64 = column("over operators, shapes, names and sources", low=None)
    n_nodes: Int32 = column("as many as the engine's graph has")
    backend: Int32 = text("ggml's name of the device that computes it; -1 where several do")


class SplitTable(Table, name="splits", since=6, over_chunks=True):
    """One row for each split of a graph, in their order: what one device computes of it in one go.

    The splits of a graph stand together.
    """

    graph: Int32 = row("graphs")
    device: Int32 = text("ggml's name of the device that computes it")
    first_node: Int32 = column("position in the graph")
    n_nodes: Int32 = column()


class TensorTable(Table, name="tensors"):
    """Every tensor of every graph: a graph's nodes in execution order first, then its leaves."""

    graph: Int32 = row("graphs")
    node: Int32 = column("position in the graph, or -1 for a leaf (weight, input, cache)", low=-1)
    op: Int32 = text("ggml's operator name (`MUL_MAT`; `NONE` for a leaf)")
    op_detail: Int32 = text("the unary or gated operator (`SILU`, `SWIGLU`)")
    name: Int32 = text("ggml's tensor name")
    type: Int32 = text("ggml's type name (`q4_K`)")
    buffer_type: Int32 = text("`CPU`, `CPU_Mapped`, `CPU_REPACK`, …")
    usage: UInt8 = enum("usage", "state is a KV cache or a recurrent state")
    buffer: Int32 = column("number of the buffer; -1 where not allocated", low=-1)
    offset_bytes: Int64 = column("place in the buffer; -1 where not allocated", low=-1)
    flags: UInt32 = column("1 input, 2 output, 4 parameter, 8 loss, 16 compute", low=None)
    view_src: Int32 = within("tensors", "the viewed tensor, or -1", low=-1)
    view_offset: Int64 = column("from the begin of the viewed tensor", unit="bytes", low=None)
    ne0: Int64 = column(_SHAPE)
    ne1: Int64 = column(_SHAPE)
    ne2: Int64 = column(_SHAPE)
    ne3: Int64 = column(_SHAPE)
    nb0: Int64 = column(_STRIDES, unit="bytes", low=None)
    nb1: Int64 = column(_STRIDES, unit="bytes", low=None)
    nb2: Int64 = column(_STRIDES, unit="bytes", low=None)
    nb3: Int64 = column(_STRIDES, unit="bytes", low=None)
    src0: Int32 = within("tensors", _SOURCES, low=-1)
    src1: Int32 = within("tensors", _SOURCES, low=-1)
    src2: Int32 = within("tensors", _SOURCES, low=-1)
    src3: Int32 = within("tensors", _SOURCES, low=-1)
    src4: Int32 = within("tensors", _SOURCES, low=-1)
    src5: Int32 = within("tensors", _SOURCES, low=-1)
    src6: Int32 = within("tensors", _SOURCES, low=-1)
    src7: Int32 = within("tensors", _SOURCES, low=-1)
    src8: Int32 = within("tensors", _SOURCES, low=-1)
    src9: Int32 = within("tensors", _SOURCES, low=-1)
    size_bytes: Int64 = column("`ggml_nbytes`")
    param0: Int32 = column(_PARAMETERS, low=None)
    param1: Int32 = column(_PARAMETERS, low=None, since=2)
    param2: Int32 = column(_PARAMETERS, low=None, since=2)
    param3: Int32 = column(_PARAMETERS, low=None, since=2)

    def of_graph(self, graph: int) -> TensorTable:
        """The rows of one graph, in their order."""
        # The rows of a graph stand together, and graphs in their order.
        first, end = np.searchsorted(self.graph, (graph, graph + 1))
        return self.take(slice(int(first), int(end)))

    def shapes(self) -> Int64:
        """int64[n, 4]: elements in each dimension, fastest first."""
        return _stacked(self, "ne", N_DIMS)

    def strides(self) -> Int64:
        """int64[n, 4]: bytes from one element to the next in each dimension, fastest first."""
        return _stacked(self, "nb", N_DIMS)

    def sources(self) -> Int32:
        """int32[n, 10]: the sources, as rows of the tensor's graph, or -1."""
        return _stacked(self, "src", N_SOURCES)


class PlaceTable(Table, name="places", since=3):
    """One row for each tensor of weights or caches: where it lies while model and context live.

    A weight that is used in two ways may lie in two buffers and then has two rows of one name.
    """

    name: Int32 = text("ggml's tensor name")
    type: Int32 = text("ggml's type name")
    kind: Int32 = text("`weights`, `kv_cache` or `recurrent_state`")
    device: Int32 = text("of the buffer that holds it")
    buffer_type: Int32 = text("of the buffer that holds it")
    layer: Int32 = column("-1 outside the layers", low=-1)
    ne0: Int64 = column(_SHAPE)
    ne1: Int64 = column(_SHAPE)
    ne2: Int64 = column(_SHAPE)
    ne3: Int64 = column(_SHAPE)
    size_bytes: Int64 = column("`ggml_nbytes`")
    buffer: Int32 = column("number of the allocation; a buffer type may have several", low=-1)
    offset_bytes: Int64 = column("place in the buffer", low=-1)
    file: Int32 = column("part of a split model (from 0); -1 where it is from no file", low=-1)
    file_offset_bytes: Int64 = column("place in that file; -1 where it is from none", low=-1)
    n_cells: Int64 = column("tokens (of a recurrent state: rows) of one stream; 0 for weights")
    n_streams: Int64 = column("sequences that the cache keeps apart; 0 for weights")
    n_swa: Int64 = column("tokens of the sliding window; 0 where there is none")
    cache: Int32 = column(
        "number of the cache, of which those with a window are one; or -1", low=-1
    )

    def shapes(self) -> Int64:
        """int64[n, 4]: elements in each dimension, fastest first."""
        return _stacked(self, "ne", N_DIMS)


class LaneTable(Table, name="lanes", since=4, over_chunks=True):
    """One row for each lane: what executes one op after the other, and whose events never overlap;
    a GPU as a whole, whose streams' kernels may.

    The lanes of one device stand together.
    """

    kind: Int32 = text(
        "`cpu_thread`; `accelerator` or `device`, whose backend tells of ops or not; `gpu`, whose "
        "kernels are recorded"
    )
    device: Int32 = text("ggml's name of the device")
    index: Int32 = column("number of the thread on its device; 0 of others")
    clock: UInt8 = enum("clock", "whose times its events have")


class TypeTable(Table, name="types", since=4, over_chunks=True):
    """ggml's own table of tensor types."""

    name: Int32 = text("as in `tensors.type`")
    block_size: Int32 = column("elements of a block", low=1)
    type_size: Int32 = column("bytes of a block", unit="bytes")
    is_quantized: UInt8 = column("1 where a block is more than its elements one by one", high=1)
    number: Int32 = column(
        "ggml's number of it, as names of CUDA kernels have it; -1: none",
        low=-1,
        since=7,
        before=-1,
    )

    def by_name(self, strings: Sequence[str]) -> dict[str, TensorType]:
        """The types by ggml's names of them; `strings` are the profile's texts."""
        names = (strings[index] if index >= 0 else "" for index in self.name.tolist())
        columns = (self.block_size.tolist(), self.type_size.tolist(), self.is_quantized.tolist())
        return {
            name: TensorType(block_size, type_size, packed != 0)
            for name, block_size, type_size, packed in zip(names, *columns, strict=True)
        }

    def names_by_number(self, strings: Sequence[str]) -> dict[int, str]:
        """ggml's names of the types by its numbers of them; `strings` are the profile's texts."""
        return {
            number: strings[name]
            for number, name in zip(self.number.tolist(), self.name.tolist(), strict=True)
            if number >= 0 and name >= 0
        }

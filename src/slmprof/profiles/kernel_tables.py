"""The tables of what devices ran whose kernels are recorded, and of how it was joined to ops
(docs/cuda.md); `tables` has all others.
"""

from __future__ import annotations

from .schema import (
    Int32,
    Int64,
    Table,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    column,
    enum,
    row,
    text,
)
from .vocabulary import MOST_FUSED

_WAY = "how it was joined to its op; `none` of those that belong to no op"
_BY = "replayed kernels joined in this way (docs/cuda.md)"
_STEP_OF_KERNEL = "of its run, or in which it was collected"
_CUDA_ID = "CUPTI's id; 0 where it was launched directly, or CUPTI does not tell it"
_COLLECTED = "of the collection"
_NODE_ID = "CUPTI's id of it"
_OF_SPLIT = "the (first) node, counted in its run's split"


class TraceTable(Table, name="traces", since=7):
    """One row for each time that the records of devices were collected."""

    step: Int32 = row("steps", "the last one before")
    kernel_ns: Int64 = column("time of all kernels")
    joined_ns: Int64 = column("time of those that were joined to an op")
    n_stray: Int64 = column("kernels that belong to no op")
    n_launched: Int64 = column("kernels launched directly, while their op was issued")
    n_by_source: Int64 = column(_BY)
    n_by_node: Int64 = column(_BY)
    n_by_clone: Int64 = column(_BY)
    n_by_local: Int64 = column(_BY)
    n_by_order: Int64 = column(_BY)
    n_ordered: Int64 = column("replayed kernels that have a place in the order of the capture")
    n_misplaced: Int64 = column("of these, those whose place is another op's than their ids say")
    n_misnamed: Int64 = column("replayed kernels of another name than the captured one")
    n_unordered_replays: Int64 = column("replays that have no order")
    n_dropped: Int64 = column("records that the driver's buffers had no room for")
    n_untimed: Int64 = column("records without times")
    n_reversed: Int64 = column("records that end before they begin")
    n_broken: Int64 = column("buffers that could not be read to their end")
    clock_error_ns: Int64 = column("of a kernel's time on the host's clock; -1: not known", low=-1)


class StrayKernelTable(Table, name="stray_kernels", since=7):
    """One row for each name of kernels of no op, and each time that they were collected."""

    step: Int32 = row("steps", "the last one before they were collected")
    name: Int32 = text("the kernels' full name")
    calls: Int64 = column("how many of them there were")
    total_ns: Int64 = column()


class TransferTable(Table, name="transfers", since=8):
    """One row for each kind of copy or fill by devices, and each time that they were collected."""

    step: Int32 = row("steps", "the last one before they were collected")
    kind: UInt8 = enum("transfer")
    calls: Int64 = column("how many of them there were")
    n_joined: Int64 = column("how many of these belong to an op")
    size_bytes: Int64 = column("what all of them moved or filled")
    total_ns: Int64 = column("how long all of them took")


class CaptureTable(Table, name="captures", since=7):
    """One row for each CUDA graph that ggml captured and a collection's launches lead to.

    This table and the next ones are what launches were joined by, as it was when they were
    collected (docs/cuda.md). CUPTI's ids are used again, and mean something within one collection.
    """

    trace: Int32 = row("traces", _COLLECTED)
    cuda_graph: UInt32 = column("CUPTI's id of the graph; 0: not known", low=None)


class CapturedNodeTable(Table, name="captured_nodes", since=7):
    """One row for each node of a captured graph and of the graphs in it, in the order of capture.

    A node that was copied into the captured graph is known by several ids: so many rows.
    """

    capture: Int32 = row("captures")
    place: Int32 = column("of the node in the capture, from 0")
    cuda_node: UInt64 = column(_NODE_ID + "; 0 where the id has become another's", low=None)
    kind: UInt8 = enum("cuda_node")
    name: Int32 = text("of a kernel: its full name, where it was told")
    node: Int32 = column(_OF_SPLIT)
    n_fused: UInt16 = column("as in `events`", high=MOST_FUSED)


class ClonedNodeTable(Table, name="cloned_nodes", since=7):
    """One row for each node that was seen to be cloned, and that a replayed kernel leads to."""

    trace: Int32 = row("traces", _COLLECTED)
    cuda_node: UInt64 = column(_NODE_ID, low=None)
    original_cuda_node: UInt64 = column("that of what it was cloned from", low=None)


class GraphVersionTable(Table, name="graph_versions", since=7):
    """One row for each state of an executable CUDA graph that was launched, oldest first."""

    trace: Int32 = row("traces", _COLLECTED)
    cuda_graph: UInt32 = column("CUPTI's id of the executable graph", low=None)
    made_from: Int32 = row("captures", "or -1: not seen", low=-1)
    updated_from: Int32 = row("captures", "last; as `made_from` until then", low=-1)


class IssueTable(Table, name="issues", since=7):
    """One row for each time that ggml-cuda issued an op or replayed a graph, and kernels came of
    it."""

    run: Int32 = row("runs", "or -1", low=-1)
    node: Int32 = column(_OF_SPLIT + "; -1 for a replay", low=-1)
    n_fused: UInt16 = column("as in `events`", high=MOST_FUSED)
    version: Int32 = row("graph_versions", "that was replayed, or -1", low=-1)


class LaunchTable(Table, name="launches", since=7):
    """One row for each kernel that a device ran in an op pass, as its driver recorded it.

    A run has launches when `run.events` is `all`. Times are on the host's clock; 0 and 0 where the
    driver told none.
    """

    step: Int32 = row("steps", _STEP_OF_KERNEL)
    run: Int32 = row("runs", "that launched it, or -1", low=-1)
    node: Int32 = column("the (first) node of the run's graph, or -1", low=-1)
    n_fused: UInt16 = column("as in `events`", high=MOST_FUSED)
    way: UInt8 = enum("join", _WAY)
    name: Int32 = text("its full name")
    trace: Int32 = row("traces", "with which it was collected")
    issue: Int32 = row("issues", "that was open at the call that launched it, or -1", low=-1)
    begin_ns: Int64 = column()
    end_ns: Int64 = column()
    device: UInt32 = column("CUDA's number of it", low=None)
    stream: UInt32 = column("CUPTI's number of it", low=None)
    grid0: Int32 = column("blocks in each dimension")
    grid1: Int32 = column("blocks in each dimension")
    grid2: Int32 = column("blocks in each dimension")
    block0: Int32 = column("threads of a block in each dimension")
    block1: Int32 = column("threads of a block in each dimension")
    block2: Int32 = column("threads of a block in each dimension")
    registers: Int32 = column("of each thread")
    static_shared_bytes: Int32 = column("shared memory of a block")
    dynamic_shared_bytes: Int32 = column("shared memory of a block")
    correlation: UInt32 = column("names the call that launched it, or its graph", low=None)
    cuda_graph: UInt32 = column(_CUDA_ID, low=None)
    cuda_node: UInt64 = column(_CUDA_ID, low=None)
    source_cuda_node: UInt64 = column(_CUDA_ID, low=None)

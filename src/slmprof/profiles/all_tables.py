"""All tables of a profile, in the order of its file."""

from __future__ import annotations

from .kernel_tables import (
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
from .schema import Table
from .tables import (
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

# What a table refers to stands before it.
TABLES: tuple[type[Table], ...] = (
    StepTable,
    SegmentTable,
    RunTable,
    CopyTable,
    EventTable,
    StatTable,
    MaskTable,
    TraceTable,
    StrayKernelTable,
    TransferTable,
    CaptureTable,
    CapturedNodeTable,
    ClonedNodeTable,
    GraphVersionTable,
    IssueTable,
    LaunchTable,
    GraphTable,
    SplitTable,
    TensorTable,
    PlaceTable,
    LaneTable,
    TypeTable,
)

"""What one run gave: its meta data and tables, plain and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from ..errors import UsageError
from ..printable import printable
from ..settings.kinds import shown
from . import kernel_tables, tables
from .records.meta import Meta

_Profile = TypeVar("_Profile", bound="ProfileData")


@dataclass(frozen=True, eq=False, repr=False)
class ProfileData:
    """Meta data and tables of one run (docs/profile-format.md), with the raw samples."""

    meta: Meta
    strings: tuple[str, ...]
    steps: tables.StepTable
    segments: tables.SegmentTable
    runs: tables.RunTable
    copies: tables.CopyTable
    events: tables.EventTable
    stats: tables.StatTable
    masks: tables.MaskTable
    traces: kernel_tables.TraceTable
    stray_kernels: kernel_tables.StrayKernelTable
    transfers: kernel_tables.TransferTable
    captures: kernel_tables.CaptureTable
    captured_nodes: kernel_tables.CapturedNodeTable
    cloned_nodes: kernel_tables.ClonedNodeTable
    graph_versions: kernel_tables.GraphVersionTable
    issues: kernel_tables.IssueTable
    launches: kernel_tables.LaunchTable
    graphs: tables.GraphTable
    splits: tables.SplitTable
    tensors: tables.TensorTable
    places: tables.PlaceTable
    lanes: tables.LaneTable
    types: tables.TypeTable

    @classmethod
    def of_tables(
        cls, meta: Meta, strings: tuple[str, ...], named: Mapping[str, Any]
    ) -> ProfileData:
        """A profile with all its tables, by their names."""
        return cls(meta=meta, strings=strings, **named)

    def with_tables(self: _Profile, named: Mapping[str, Any]) -> _Profile:
        """The same with some tables exchanged, by their names.

        Raises:
            UsageError: there is no such table, or what is given is none of its kind.
        """
        if not isinstance(named, Mapping):
            raise UsageError(f"named: {shown(named)} is not tables by their names")
        known = {field.name for field in fields(self)}
        for name, table in named.items():
            if name not in known:
                raise UsageError(f"named: a profile has no table {shown(name)}")
            if not isinstance(table, type(getattr(self, name))):
                raise UsageError(f"named: {shown(table)} is not the {name} of a profile")
        return replace(self, **named)

    def __repr__(self) -> str:
        name = printable(self.meta.model.name or "unnamed model")
        return f"<Profile of {name}: {len(self.steps)} steps, {len(self.runs)} graph runs>"

    def text(self, index: int) -> str:
        """The text that a column's index means; empty for -1."""
        return self.strings[index] if index >= 0 else ""

"""What one run gave: its meta data and tables, plain and frozen."""

from __future__ import annotations

from dataclasses import dataclass

from . import tables
from .records.meta import Meta


@dataclass(frozen=True, eq=False, repr=False)
class ProfileData:
    """Meta data and tables of one run (docs/profile-format.md), with the raw samples."""

    meta: Meta
    strings: tuple[str, ...]
    steps: tables.StepTable
    segments: tables.SegmentTable
    runs: tables.RunTable
    events: tables.EventTable
    stats: tables.StatTable
    masks: tables.MaskTable
    graphs: tables.GraphTable
    tensors: tables.TensorTable
    places: tables.PlaceTable
    lanes: tables.LaneTable
    types: tables.TypeTable

    def __repr__(self) -> str:
        name = self.meta.model.name or "unnamed model"
        return f"<Profile of {name}: {len(self.steps)} steps, {len(self.runs)} graph runs>"

    def text(self, index: int) -> str:
        """The text that a column's index means; empty for -1."""
        return self.strings[index] if index >= 0 else ""

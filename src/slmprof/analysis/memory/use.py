"""Where the bytes are: the buffers that llama.cpp allocated, and what a report says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ...profiles.data import ProfileData
from ...profiles.records.meta import Buffer, Observation
from ...profiles.records.resident import Resident
from ...profiles.vocabulary import MEMORY_KINDS
from ...settings.devices import is_repacked
from ..tables.typed import typed_table
from .device_use import DeviceUse, device_uses
from .places import cache_table, deepest
from .reconciliation import Reconciliation, reconcile

_BUFFER_COLUMNS = {
    "device": "object", "buffer_type": "object", "kind": "object", "size_bytes": "int64",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class MemoryReport:
    """All figures of memory, in bytes.

    Attributes:
        buffers, predicted: what was allocated, and what llama.cpp's planner had said: device,
            buffer_type, kind, size_bytes.
        totals: allocated bytes of each kind.
        repacked_bytes: weights in a repacked layout.
        reconciliation: predicted, allocated and resident side by side.
        observations: the process at fixed points.
        caches: what the caches hold, see `cache_table`.
        n_past: the most tokens that the context held, which the caches are described at.
        rss_peak_bytes: the most that the process had resident, where it is known.
        expected: what was expected to be resident; None where the profile does not say.
        devices: what GPUs hold, where more is known of them than their buffers.
    """

    buffers: pd.DataFrame
    predicted: pd.DataFrame
    totals: dict[str, int]
    repacked_bytes: int
    reconciliation: Reconciliation
    observations: tuple[Observation, ...]
    caches: pd.DataFrame
    n_past: int
    rss_peak_bytes: int | None
    expected: Resident | None
    devices: tuple[DeviceUse, ...]


def memory_report(profile: ProfileData) -> MemoryReport:
    """All that a report says of a profile's memory."""
    return MemoryReport(
        buffers=buffer_table(profile),
        predicted=_buffers(profile.meta.memory.predicted),
        totals=memory_totals(profile),
        repacked_bytes=repacked_bytes(profile),
        reconciliation=reconcile(profile.meta, profile.places),
        observations=profile.meta.memory.observations,
        caches=cache_table(profile),
        n_past=deepest(profile),
        rss_peak_bytes=profile.meta.memory.rss_peak_bytes,
        expected=profile.meta.memory.resident_expected,
        devices=device_uses(profile.meta),
    )


def buffer_table(profile: ProfileData) -> pd.DataFrame:
    """One row a buffer: device, buffer_type, kind, size_bytes; in the order of the profile."""
    return _buffers(profile.meta.memory.buffers)


def memory_table(profile: ProfileData) -> pd.DataFrame:
    """One row for each device, type and kind of buffer: device, buffer_type, kind, size_bytes,
    predicted_bytes, allocated_bytes, resident_bytes; see `reconcile`."""
    rows = reconcile(profile.meta, profile.places).rows
    sizes = [f"{name}_bytes" for name in ("predicted", "allocated", "resident")]
    keys = ["device", "buffer_type", "kind"]
    # What is resident of one part of a buffer may not be known: then that of the whole is not.
    groups = rows[rows["buffer_type"].notna()].groupby(keys, sort=False)[sizes]
    table: pd.DataFrame = groups.agg(lambda own: own.sum(skipna=False)).reset_index()
    table.insert(len(keys), "size_bytes", table["allocated_bytes"])
    return table


def memory_totals(profile: ProfileData) -> dict[str, int]:
    """Bytes of each kind of memory; a kind that slmprof does not know counts as `other`."""
    totals = dict.fromkeys(MEMORY_KINDS, 0)
    for buffer in profile.meta.memory.buffers:
        kind = buffer.kind if buffer.kind in totals else "other"
        totals[kind] += buffer.size_bytes
    return totals


def repacked_bytes(profile: ProfileData) -> int:
    """Bytes of weights in a repacked layout, which a memory-mapped file holds a second time."""
    return sum(
        buffer.size_bytes
        for buffer in profile.meta.memory.buffers
        if buffer.kind == "weights" and is_repacked(buffer.buffer_type)
    )


def _buffers(buffers: Sequence[Buffer]) -> pd.DataFrame:
    return typed_table(
        [{n: getattr(b, n) for n in _BUFFER_COLUMNS} for b in buffers], _BUFFER_COLUMNS
    )

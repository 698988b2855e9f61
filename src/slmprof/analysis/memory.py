"""Where the bytes are: the buffers that llama.cpp allocated."""

from __future__ import annotations

import pandas as pd

from ..profiles.data import Profile
from ..profiles.vocabulary import MEMORY_KINDS

_REPACK = "REPACK"


def buffer_table(profile: Profile) -> pd.DataFrame:
    """One row a buffer: device, buffer_type, kind, size_bytes; in the order of the profile."""
    buffers = profile.meta.memory["buffers"]
    columns = {
        name: pd.Series([buffer[name] for buffer in buffers], dtype="object")
        for name in ("device", "buffer_type", "kind")
    }
    sizes = pd.Series([int(buffer["size_bytes"]) for buffer in buffers], dtype="int64")
    table: pd.DataFrame = pd.DataFrame({**columns, "size_bytes": sizes})
    return table


def memory_totals(profile: Profile) -> dict[str, int]:
    """Bytes of each kind of memory; a kind that slmprof does not know counts as `other`."""
    totals = dict.fromkeys(MEMORY_KINDS, 0)
    for buffer in profile.meta.memory["buffers"]:
        kind = buffer["kind"] if buffer["kind"] in totals else "other"
        totals[kind] += int(buffer["size_bytes"])
    return totals


def repacked_bytes(profile: Profile) -> int:
    """Bytes of weights in a repacked layout, which a memory-mapped file holds a second time."""
    return sum(
        int(buffer["size_bytes"])
        for buffer in profile.meta.memory["buffers"]
        if buffer["kind"] == "weights" and _REPACK in (buffer["buffer_type"] or "").upper()
    )

"""The lanes of a profile: what executed its ops one after the other."""

from __future__ import annotations

import pandas as pd

from ...profiles.data import ProfileData
from .typed import typed_table

COLUMNS: dict[str, str] = {"lane": "int64", "device": "object", "kind": "object"}


def lane_table(profile: ProfileData) -> pd.DataFrame:
    """One row for each lane: its number, which `lane` of an op names, device and kind."""
    lanes = profile.lanes
    kinds = zip(lanes.device.tolist(), lanes.kind.tolist(), strict=True)
    rows = [
        {"lane": number, "device": profile.text(device), "kind": profile.text(kind)}
        for number, (device, kind) in enumerate(kinds)
    ]
    return typed_table(rows, COLUMNS)

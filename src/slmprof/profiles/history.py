"""What older versions of the profile file did not have yet, and what stands in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Version -> table -> columns that it added. A table with all of its columns here is a new one.
_ADDED: dict[int, dict[str, tuple[str, ...]]] = {
    2: {
        "steps": ("depth",),
        "events": ("convert", "convert_ns", "resume_ns", "n_experts"),
        "stats": ("depth", "stage", "compute_max_sum_ns", "n_experts_sum"),
        "masks": ("run", "tensor", "n_pairs", "n_keys"),
        "tensors": ("param1", "param2", "param3"),
    },
    3: {
        "places": (
            *("name", "type", "kind", "device", "buffer_type", "layer"),
            *("ne0", "ne1", "ne2", "ne3", "size_bytes", "buffer", "offset_bytes"),
            *("file", "file_offset_bytes", "n_cells", "n_streams", "n_swa", "cache"),
        ),
    },
}


def added_since(version: int) -> dict[str, frozenset[str]]:
    """For each table the columns that a file of this version does not have."""
    added: dict[str, frozenset[str]] = {}
    for later, tables in _ADDED.items():
        if later > version:
            for table, columns in tables.items():
                added[table] = added.get(table, frozenset()) | frozenset(columns)
    return added


def stand_in(table: str, column: str, meta: Mapping[str, Any]) -> int:
    """The value that every row of a column has which the file's version did not have.

    It says "none" or "not known"; only the depth was known before it had a column.
    """
    if column == "depth":
        config = meta.get("config")
        depth = config.get("n_depth") if isinstance(config, Mapping) else None
        return depth if isinstance(depth, int) and 0 <= depth < 2**31 else 0
    return -1 if (table, column) == ("events", "convert") else 0

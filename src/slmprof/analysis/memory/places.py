"""Where each tensor of weights and caches lies, and how much of the caches is in use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...profiles.data import ProfileData
from ...profiles.tables import trimmed_shape
from ..tables.typed import typed_table

PLACE_COLUMNS: dict[str, str] = {
    "tensor": "object", "type": "object", "shape": "object", "size_bytes": "int64",
    "bits_per_weight": "float64", "layer": "Int64", "kind": "object", "device": "object",
    "buffer_type": "object", "buffer": "Int64", "offset_bytes": "Int64", "file": "Int64",
    "file_offset_bytes": "Int64", "cache": "Int64", "n_cells": "Int64",
}  # fmt: skip
CACHE_COLUMNS: dict[str, str] = {
    "cache": "int64", "kind": "object", "types": "object", "layers": "object", "n_layers": "int64",
    "n_swa": "Int64", "n_streams": "int64", "n_cells": "int64", "n_used": "int64",
    "size_bytes": "int64", "used_bytes": "int64",
}  # fmt: skip


def place_table(profile: ProfileData) -> pd.DataFrame:
    """One row for each tensor of weights and caches, in `PLACE_COLUMNS`, in the profile's order.

    `shape` has the row's length first, and no ones at its end. What does not apply is null: the
    layer outside the layers, the file of a cache, the cache of a weight.
    """
    places, shapes = profile.places, profile.places.shapes()
    n_elements = shapes.astype(np.float64).prod(axis=1)
    known = {
        name: [value if value >= 0 else None for value in getattr(places, name).tolist()]
        for name in ("layer", "buffer", "offset_bytes", "file", "file_offset_bytes", "cache")
    }
    columns: dict[str, Any] = {
        "tensor": map(profile.text, places.name.tolist()),
        **{
            name: map(profile.text, getattr(places, name).tolist())
            for name in ("type", "kind", "device", "buffer_type")
        },
        **known,
        "shape": [trimmed_shape(shape) for shape in shapes.tolist()],
        "size_bytes": places.size_bytes,
        "bits_per_weight": 8.0 * places.size_bytes / np.where(n_elements, n_elements, np.nan),
        "n_cells": [
            n if cache is not None else None
            for n, cache in zip(places.n_cells.tolist(), known["cache"], strict=True)
        ],
    }
    table: pd.DataFrame = pd.DataFrame(
        {n: pd.Series(list(columns[n]), dtype=dtype) for n, dtype in PLACE_COLUMNS.items()}
    )
    return table


def cache_table(profile: ProfileData) -> pd.DataFrame:
    """One row for each cache of the context, in `CACHE_COLUMNS`, at the deepest that was measured.

    Cells are tokens, of a recurrent state its rows. One sequence is measured: it uses as many
    cells as it has tokens, at most what the cache has, and the whole of a recurrent state. (A cache
    that keeps one cell for several tokens uses fewer.)
    """
    places = profile.places
    n_past = deepest(profile)
    made: list[dict[str, Any]] = []
    for cache in np.unique(places.cache[places.cache >= 0]).tolist():
        rows = np.flatnonzero(places.cache == cache)
        first = int(rows[0])
        kind = profile.text(int(places.kind[first]))
        n_cells, n_streams = int(places.n_cells[first]), int(places.n_streams[first])
        n_used = min(n_past, n_cells) if kind == "kv_cache" or n_past == 0 else n_cells
        size = int(places.size_bytes[rows].sum())
        layers = np.unique(places.layer[rows][places.layer[rows] >= 0]).tolist()
        made.append(
            {
                "cache": cache,
                "kind": kind,
                "types": tuple(sorted({profile.text(int(t)) for t in places.type[rows]})),
                "layers": tuple(layers),
                "n_layers": len(layers),
                "n_swa": int(places.n_swa[first]) or None,
                "n_streams": n_streams,
                "n_cells": n_cells,
                "n_used": n_used,
                "size_bytes": size,
                "used_bytes": size * n_used // max(n_cells * max(n_streams, 1), 1),
            }
        )
    return typed_table(made, CACHE_COLUMNS)


def deepest(profile: ProfileData) -> int:
    """The most tokens that the context held in any step."""
    steps = profile.steps
    if len(steps) == 0:
        return 0
    return int((steps.n_past.astype(np.int64) + steps.n_tokens).max())

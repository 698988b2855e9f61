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
    "cache": "int64", "kind": "object", "types": "object", "n_layers": "int64", "n_swa": "Int64",
    "n_streams": "int64", "n_cells": "int64", "n_used": "int64", "size_bytes": "int64",
    "used_bytes": "int64",
}  # fmt: skip


def place_table(profile: ProfileData) -> pd.DataFrame:
    """One row for each tensor of weights and caches, in `PLACE_COLUMNS`, in the profile's order.

    `shape` has the row's length first, and no ones at its end. What does not apply is null: the
    layer outside the layers, the file of a cache, the cache of a weight.
    """
    places = profile.places
    shapes = places.shapes()
    made = []
    for row in range(len(places)):
        size = int(places.size_bytes[row])
        n_elements = float(np.prod(shapes[row].astype(np.float64)))
        cache = int(places.cache[row])
        made.append(
            {
                "tensor": profile.text(int(places.name[row])),
                "type": profile.text(int(places.type[row])),
                "shape": list(trimmed_shape(shapes[row])),
                "size_bytes": size,
                "bits_per_weight": 8 * size / n_elements if n_elements else None,
                "layer": _known(places.layer[row]),
                "kind": profile.text(int(places.kind[row])),
                "device": profile.text(int(places.device[row])),
                "buffer_type": profile.text(int(places.buffer_type[row])),
                "buffer": _known(places.buffer[row]),
                "offset_bytes": _known(places.offset_bytes[row]),
                "file": _known(places.file[row]),
                "file_offset_bytes": _known(places.file_offset_bytes[row]),
                "cache": _known(cache),
                "n_cells": int(places.n_cells[row]) if cache >= 0 else None,
            }
        )
    return typed_table(made, PLACE_COLUMNS)


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
        layers = places.layer[rows]
        made.append(
            {
                "cache": cache,
                "kind": kind,
                "types": sorted({profile.text(int(t)) for t in places.type[rows]}),
                "n_layers": len(np.unique(layers[layers >= 0])),
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


def _known(value: Any) -> int | None:
    return int(value) if value >= 0 else None

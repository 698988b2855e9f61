"""How far back each layer's attention sees: the window of the cache that it reads."""

from __future__ import annotations

import numpy as np

from ...profiles.data import ProfileData

WHOLE_CONTEXT = 0


def layer_windows(profile: ProfileData) -> dict[int, int]:
    """Layer -> tokens that its attention sees, `WHOLE_CONTEXT` where nothing but the context limits
    it; without layers that have no KV cache, and empty where the profile knows no places."""
    places = profile.places
    kinds = [profile.text(kind) == "kv_cache" for kind in places.kind.tolist()]
    rows = np.flatnonzero(np.array(kinds, bool) & (places.layer >= 0))
    layers, windows = places.layer[rows].tolist(), places.n_swa[rows].tolist()
    return dict(sorted(zip(layers, windows, strict=True)))

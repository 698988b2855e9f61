"""What the graphs that were copied out tell of the context that they ran on."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..profiles.vocabulary import USAGES

_STATE = USAGES.index("state")


class SeenGraphs:
    """The graphs of one session's chunks."""

    def __init__(self) -> None:
        self.ops: set[str] = set()
        # Name and type of the tensors of the context's memory, by buffer and offset.
        self._state: dict[tuple[int, int], tuple[str, str]] = {}

    def add(self, chunk: dict[str, Any]) -> None:
        """Takes the graphs of a chunk in, which hold only what no chunk before it had."""
        texts, tensors = chunk["strings"], chunk["tensors"]
        self.ops.update(texts[op] for op in np.unique(tensors["op"]).tolist())
        is_state = (tensors["usage"] == _STATE) & (tensors["view_src"] < 0)
        for row in np.flatnonzero(is_state).tolist():
            place = (int(tensors["buffer"][row]), int(tensors["offset_bytes"][row]))
            self._state[place] = texts[tensors["name"][row]], texts[tensors["type"][row]]

    def state_types(self, prefix: str) -> list[str]:
        """Types of the memory's tensors whose names begin so (`cache_k`)."""
        return sorted({kind for name, kind in self._state.values() if name.startswith(prefix)})

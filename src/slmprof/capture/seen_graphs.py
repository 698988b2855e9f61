"""What the graphs that were copied out tell of the context that they ran on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..profiles.vocabulary import USAGES

_STATE = USAGES.index("state")


class StateTensor(NamedTuple):
    """A tensor of the context's memory."""

    name: str
    type: str


class SeenGraphs:
    """The graphs of one session's chunks."""

    def __init__(self) -> None:
        self.ops: set[str] = set()
        self._state: dict[tuple[int, int], StateTensor] = {}  # by buffer and offset

    def add(self, chunk: dict[str, Any]) -> None:
        """Takes the graphs of a chunk in, which hold only what no chunk before it had."""
        texts, tensors = chunk["strings"], chunk["tensors"]
        self.ops.update(texts[op] for op in np.unique(tensors["op"]).tolist())
        is_state = (tensors["usage"] == _STATE) & (tensors["view_src"] < 0)
        for row in np.flatnonzero(is_state).tolist():
            place = (int(tensors["buffer"][row]), int(tensors["offset_bytes"][row]))
            self._state[place] = StateTensor(
                name=texts[tensors["name"][row]],
                type=texts[tensors["type"][row]],
            )

    def state_types(self, prefix: str) -> list[str]:
        """Types of the memory's tensors whose names begin so (`cache_k`)."""
        return sorted({t.type for t in self._state.values() if t.name.startswith(prefix)})

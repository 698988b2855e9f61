"""What the graphs that were copied out tell of the context that they ran on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..profiles.vocabulary import USAGES

# Recurrent state in llama.cpp's names for the tensors of a memory; all other state is a KV cache.
_RECURRENT_NAMES = ("cache_r", "cache_s")
_STATE = USAGES.index("state")


class StateTensor(NamedTuple):
    """A tensor of the context's memory."""

    name: str
    type: str
    buffer_type: str
    size_bytes: int


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
                buffer_type=texts[tensors["buffer_type"][row]],
                size_bytes=int(tensors["size_bytes"][row]),
            )

    def state_types(self, prefix: str) -> list[str]:
        """Types of the memory's tensors whose names begin so (`cache_k`)."""
        return sorted({t.type for t in self._state.values() if t.name.startswith(prefix)})

    def recurrent_bytes(self) -> dict[str, int]:
        """Bytes of recurrent state in each buffer type."""
        totals: dict[str, int] = {}
        for tensor in self._state.values():
            if tensor.name.startswith(_RECURRENT_NAMES):
                size = totals.get(tensor.buffer_type, 0) + tensor.size_bytes
                totals[tensor.buffer_type] = size
        return totals

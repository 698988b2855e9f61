"""One op of a graph, as the rules of its work see it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from .storage import Tensor, UnknownWorkError

_HINT_HADAMARD = 1


@dataclass(frozen=True)
class Attended:
    """What the mask of an attention lets through, as means over the calls.

    Attributes:
        n_pairs: query-key pairs, over all queries of one head and all streams.
        n_keys: keys that any query sees, over all streams.
    """

    n_pairs: float
    n_keys: float


class Operation(NamedTuple):
    """An op with its operands.

    Attributes:
        op, detail: ggml's operator name, and the unary or gated operator's.
        sources: by their place; None where the op has none.
        params: the first four 32-bit parameters as stored; None where the profile lacks them.
        attended: of an attention, where known.
        n_experts: experts really routed to, mean over the calls, where known.
    """

    op: str
    detail: str
    result: Tensor
    sources: tuple[Tensor | None, ...]
    params: tuple[int | None, ...]
    attended: Attended | None = None
    n_experts: float | None = None

    def source(self, place: int) -> Tensor:
        """Raises UnknownWorkError where the op has no source there."""
        found = self.sources[place] if place < len(self.sources) else None
        if found is None:
            raise UnknownWorkError
        return found

    def has(self, place: int) -> bool:
        return place < len(self.sources) and self.sources[place] is not None

    def integer(self, place: int) -> int:
        """A parameter. Raises UnknownWorkError where the profile has not stored it."""
        value = self.params[place]
        if value is None:
            raise UnknownWorkError
        return value

    def is_set(self, place: int) -> bool:
        """Whether a parameter, read as a float, is there and not zero."""
        value = self.params[place]
        if value is None:
            return False
        number: float = struct.unpack("<f", struct.pack("<i", value))[0]
        return number != 0.0

    @property
    def in_place(self) -> bool:
        """Whether the result lies where the first source lies."""
        return self.has(0) and self.result.root == self.source(0).root

    @property
    def is_hadamard(self) -> bool:
        """Whether a product is marked as one with a Hadamard matrix, which needs no matrix."""
        return self.op == "MUL_MAT" and self.params[1] == _HINT_HADAMARD

"""How fast a model of a user's scheme could decode, from its bytes: nothing of it is measured."""

from __future__ import annotations

from ..machine.ceilings import find_ceilings
from ..profiles.records.ceilings import MEMORY
from ..profiles.records.decoding import Record
from .records import QuantizationPlan

_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"
_MOST_DIMENSIONS = 2


class ModelledDecode(Record, frozen=True):
    """The least time of a token, if its weights came as fast as memory gives them.

    Attributes:
        read_bytes: of weights for each token.
        gbps: 10^9 bytes per second that memory gave `n_threads`, when that was measured.
    """

    read_bytes: int
    gbps: float
    n_threads: int

    @property
    def ms(self) -> float:
        return self.read_bytes / self.gbps / 1e6


def modelled_decode(plan: QuantizationPlan, n_threads: int) -> ModelledDecode | None:
    """None where the ceilings of this machine are not known, and for experts, of which a token
    takes some."""
    ceilings = find_ceilings(n_threads)
    gbps = ceilings.gbps(MEMORY) if ceilings is not None else None
    has_experts = any(len(one.shape) > _MOST_DIMENSIONS for one in plan.tensors)
    if gbps is None or has_experts:
        return None
    is_tied = all(one.tensor != _HEAD for one in plan.tensors)
    n_bytes = sum(
        one.size_bytes
        if one.tensor != _EMBEDDING or is_tied
        else one.size_bytes * one.shape[0] // max(1, one.n_elements)
        for one in plan.tensors
    )
    return ModelledDecode(n_bytes, gbps, n_threads)

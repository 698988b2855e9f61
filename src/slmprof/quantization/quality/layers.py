"""How far each layer's output is from the reference's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from .records import LayerDeviation

# Of each of the first chunks: outputs of all layers are held at a time, of both models.
TOKENS = 64
CHUNKS = 8

Outputs = Mapping[int, NDArray[np.float32]]


class LayerSums:
    """What the deviations are made of, summed up over tokens."""

    def __init__(self) -> None:
        self._sums: dict[int, NDArray[np.float64]] = {}
        self.n_tokens = 0

    def add(self, own: Outputs, reference: Outputs) -> None:
        """The outputs of both models, float32 [n, n_embd] by layer, for the same tokens."""
        for layer in sorted(own.keys() & reference.keys()):
            a, b = (np.asarray(one[layer], np.float64).ravel() for one in (own, reference))
            if a.shape != b.shape:
                continue
            found = np.array([np.sum((a - b) ** 2), a @ a, b @ b, a @ b])
            self._sums[layer] = self._sums.get(layer, 0.0) + found
        self.n_tokens += max((len(one) for one in own.values()), default=0)

    def deviations(self) -> Iterable[LayerDeviation]:
        """One for each layer, in their order; None where an output is zero throughout."""
        for layer, (off, own, reference, product) in sorted(self._sums.items()):
            lengths = float(np.sqrt(own * reference))
            yield LayerDeviation(
                layer=layer,
                relative_error=_ratio(float(np.sqrt(off)), float(np.sqrt(reference))),
                cosine=_ratio(float(product), lengths),
            )


def _ratio(a: float, b: float) -> float | None:
    return float(a) / float(b) if b > 0 else None

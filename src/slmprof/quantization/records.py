"""What a recipe makes of a model, tensor by tensor.

The process that asks llama.cpp's quantizer hands it over as JSON, which `slmprof quant dry-run`
prints with `--format json`.
"""

from __future__ import annotations

import math

from ..profiles.records.decoding import Json, Record
from ..profiles.records.fallbacks import Fallbacks, StoredWeight, find_fallbacks

# Of a file in the making, which is renamed when it is whole.
FILE_NAME = "quantized.gguf"


class QuantizedTensor(Record, frozen=True):
    """A tensor before and after. `shape` has the row's length first.

    Attributes:
        source: its type in the source.
        asked: the type that the recipe would give it if every block divided its rows.
        type: the type that it gets.
        source_bytes, size_bytes: of its data, before and after.
        asked_bytes: what it would take in the type asked for.
        is_quantizable: false for what the quantizer leaves alone, whatever it is asked for: norms,
            biases, routers of experts, and other small tensors.
        needs_imatrix: whether the quantizer refuses to make it without an importance matrix.
    """

    tensor: str
    shape: tuple[int, ...]
    source: str
    asked: str
    type: str
    source_bytes: int
    size_bytes: int
    asked_bytes: int
    is_quantizable: bool
    needs_imatrix: bool

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bits_per_weight(self) -> float | None:
        """Bits of one element; None where there are none."""
        return 8 * self.size_bytes / self.n_elements if self.n_elements else None

    @property
    def is_converted(self) -> bool:
        return self.type != self.source

    @property
    def fell_back(self) -> bool:
        """Whether its rows do not allow what was asked for."""
        return self.type != self.asked

    def to_json(self) -> Json:
        """The fields, with `bits_per_weight` and `fell_back`."""
        derived = {"bits_per_weight": self.bits_per_weight, "fell_back": self.fell_back}
        return {**super().to_json(), **derived}


class QuantizedModel(Record, frozen=True):
    """The model that is quantized.

    Attributes:
        path: MODEL as it was asked for.
        file_type: of the source, as llama.cpp calls it.
        n_params: elements of all tensors.
        random_weights: whether its numbers mean nothing.
    """

    name: str
    path: str
    architecture: str
    file_type: str
    n_params: int
    random_weights: bool


class QuantizationPlan(Record, frozen=True):
    """What a recipe makes of a model.

    Attributes:
        recipe: the settings.
        tensors: in the order in which the quantizer takes them: by layer, then by name.
        notes: what a reader has to know of the recipe with this model.
    """

    model: QuantizedModel
    recipe: Json
    tensors: tuple[QuantizedTensor, ...]
    notes: tuple[str, ...] = ()

    @property
    def source_bytes(self) -> int:
        """Of all tensors, before."""
        return sum(tensor.source_bytes for tensor in self.tensors)

    @property
    def size_bytes(self) -> int:
        """Of all tensors, after."""
        return sum(tensor.size_bytes for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float | None:
        """On average, after."""
        n_params = self.model.n_params
        return 8 * self.size_bytes / n_params if n_params else None

    @property
    def fallbacks(self) -> Fallbacks | None:
        """The tensors that get another type than was asked for; None where they hardly count."""
        stored = [
            StoredWeight(one.asked, one.type, one.shape[0], one.size_bytes, one.asked_bytes)
            for one in self.tensors
        ]
        file_type, n_params = str(self.recipe["file_type"]), self.model.n_params
        return find_fallbacks(stored, file_type, len(stored), n_params, self.size_bytes)

    def to_json(self) -> Json:
        """The fields, with the totals."""
        found = self.fallbacks
        return {
            "model": self.model.to_json(),
            "recipe": dict(self.recipe),
            "totals": {
                "n_params": self.model.n_params,
                "source_bytes": self.source_bytes,
                "size_bytes": self.size_bytes,
                "bits_per_weight": self.bits_per_weight,
            },
            "tensors": [tensor.to_json() for tensor in self.tensors],
            "fallbacks": [group.to_json() for group in found.groups] if found else [],
            "notes": list(self.notes),
        }

"""What a recipe makes of a model, tensor by tensor.

The process that asks llama.cpp's quantizer hands it over as JSON, which `slmprof quant dry-run`
prints with `--format json`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from ..profiles.records.decoding import Json, Record
from ..profiles.records.fallbacks import Fallbacks, StoredWeight, find_fallbacks

# Of a file in the making, which is renamed when it is whole.
FILE_NAME = "quantized.gguf"

BLOCKS, VALUES = "blocks", "values"
CUSTOM = "custom:"
_KEY = "slmprof.scheme"
_LAYER = re.compile(r"^blk\.\d+\.")
# How a file holds what a scheme gives back, and how it holds blocks of its own: as bytes.
STORED = "f32"
_STORED_BYTES = 4
PACKED = "i8"


def role_of(tensor: str) -> str:
    """A weight's name without its layer: `attn_q`."""
    return _LAYER.sub("", tensor).removesuffix(".weight")


class QuantizedTensor(Record, frozen=True):
    """A tensor before and after. `shape` has the row's length first.

    Attributes:
        source: its type in the source.
        asked: the type that the recipe would give it if every block divided its rows.
        type: the type that it gets; `custom:NAME` is the user's scheme.
        source_bytes, size_bytes: of its data, before and after; of a scheme what its blocks take.
        asked_bytes: what it would take in the type asked for.
        is_quantizable: false for what the quantizer leaves alone, whatever it is asked for: norms,
            biases, routers of experts, and other small tensors.
        needs_imatrix: whether the quantizer refuses to make it without an importance matrix.
        is_packed: whether the file holds the scheme's own blocks.
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
    is_packed: bool = False

    @property
    def role(self) -> str:
        """Its name without its layer: `attn_q`."""
        return role_of(self.tensor)

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
    def stored(self) -> str:
        """Its type in the file."""
        if self.is_packed:
            return PACKED
        return STORED if self.type.startswith(CUSTOM) else self.type

    @property
    def stored_bytes(self) -> int:
        """What it takes in the file."""
        is_float = self.type.startswith(CUSTOM) and not self.is_packed
        return _STORED_BYTES * self.n_elements if is_float else self.size_bytes

    @property
    def row_bytes(self) -> int:
        """What a row of it takes in the file."""
        return self.stored_bytes // math.prod(self.shape[1:])

    @property
    def fell_back(self) -> bool:
        """Whether its rows do not allow what was asked for."""
        return self.type != self.asked

    def to_json(self) -> Json:
        """The fields, with `bits_per_weight` and `fell_back`."""
        derived = {"bits_per_weight": self.bits_per_weight, "fell_back": self.fell_back}
        return {**super().to_json(), **derived}


class SchemeInfo(Record, frozen=True):
    """A quantization scheme of the user's.

    Attributes:
        source: where it was found: `FILE.py:NAME`, without folders, or `MODULE:NAME`.
        digest: sha256 of the file.
        kind: `blocks`, or `values` of a function that has no blocks.
        block_size, type_size: weights and bytes of a block.
    """

    name: str
    source: str
    digest: str
    kind: str
    bits_per_weight: float
    block_size: int | None = None
    type_size: int | None = None

    @property
    def type(self) -> str:
        """What stands for it among the names of types."""
        return f"{CUSTOM}{self.name}"

    def metadata(self, tensors: Sequence[QuantizedTensor]) -> list[tuple[str, Any]]:
        """What a file says that holds the values that the scheme gives back, or its blocks."""
        own = [one for one in tensors if one.type == self.type]
        is_packed = any(one.is_packed for one in own)
        sizes = [(f"{_KEY}.{name}", value) for name, value in (
            ("block_size", self.block_size), ("type_size", self.type_size)
        ) if value is not None]  # fmt: skip
        return [
            (f"{_KEY}.name", self.name),
            (f"{_KEY}.source", self.source),
            (f"{_KEY}.digest", self.digest),
            (f"{_KEY}.kind", self.kind),
            (f"{_KEY}.bits_per_weight", float(self.bits_per_weight)),
            *sizes,
            *([(f"{_KEY}.is_packed", True)] if is_packed else []),
            (f"{_KEY}.tensors", [one.tensor for one in own]),
            (f"{_KEY}.size_bytes", sum(one.size_bytes for one in own)),
        ]


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
        scheme: the user's, where the recipe has one.
        notes: what a reader has to know of the recipe with this model.
        obstacle: why the file cannot be made; empty where it can.
    """

    model: QuantizedModel
    recipe: Json
    tensors: tuple[QuantizedTensor, ...]
    notes: tuple[str, ...] = ()
    scheme: SchemeInfo | None = None
    obstacle: str = ""

    @property
    def title(self) -> str:
        """What the result is called: the scheme, the file type, or both."""
        names = [self.scheme.type if self.scheme else None, self.recipe.get("file_type")]
        return " and ".join(map(str, filter(None, names)))

    @property
    def of_scheme(self) -> list[QuantizedTensor]:
        """The tensors that the scheme takes."""
        return [one for one in self.tensors if self.scheme and one.type == self.scheme.type]

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
        n_params = self.model.n_params
        return find_fallbacks(stored, self.title, len(stored), n_params, self.size_bytes)

    def to_json(self) -> Json:
        """The fields, with the totals."""
        found = self.fallbacks
        return {
            "model": self.model.to_json(),
            "recipe": dict(self.recipe),
            "scheme": self.scheme.to_json() if self.scheme else None,
            "totals": {
                "n_params": self.model.n_params,
                "source_bytes": self.source_bytes,
                "size_bytes": self.size_bytes,
                "bits_per_weight": self.bits_per_weight,
            },
            "tensors": [tensor.to_json() for tensor in self.tensors],
            "fallbacks": [group.to_json() for group in found.groups] if found else [],
            "notes": list(self.notes),
            "obstacle": self.obstacle,
        }

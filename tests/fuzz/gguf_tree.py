"""A GGUF file as a tree that can say what no honest file says, and its bytes."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from gguf import GGML_QUANT_SIZES

TEXT, ARRAY = 8, 9
# struct's letters of GGUF's kinds of values.
SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
FLOAT_KINDS = (6, 12)
# Elements and bytes of a block of each type of ggml.
BLOCKS = {int(number): sizes for number, sizes in GGML_QUANT_SIZES.items()}
ALIGNMENT = 32


class NotGgufError(ValueError):
    """Bytes that are not the header of a GGUF file."""


@dataclass
class Text:
    """A text, and the length that the file gives for it where that is another one."""

    data: bytes
    claimed: int | None = None


@dataclass
class Array:
    """Items of one kind, and the number that the file gives where that is another one."""

    kind: int
    items: list[object]
    claimed: int | None = None


@dataclass
class Pair:
    """A key of the metadata and its value; `kind` may be one that the value does not have."""

    key: Text
    kind: int
    value: object


@dataclass
class Tensor:
    """A line of the table of tensors; `n_dims` where it is not the number of `shape`."""

    name: Text
    shape: list[int]
    type: int
    offset: int = 0
    n_dims: int | None = None

    @property
    def size_bytes(self) -> int:
        elements, n_bytes = BLOCKS.get(self.type, (1, 4))
        return max(math.prod(self.shape), 0) // elements * n_bytes


@dataclass
class Gguf:
    """The header of a file, and how long the file is.

    Attributes:
        n_tensors, n_pairs: where the file claims other numbers than it has.
        data_bytes: of the data behind the header; None where nothing is said of it.
        tail: bytes between the padded header and the data.
    """

    pairs: list[Pair]
    tensors: list[Tensor]
    magic: bytes = b"GGUF"
    version: int = 3
    n_tensors: int | None = None
    n_pairs: int | None = None
    alignment: int = ALIGNMENT
    data_bytes: int | None = None
    tail: bytes = b""

    def find(self, key: bytes) -> Pair | None:
        """The pair of a key, by its end where it begins with the architecture's name."""
        return next((pair for pair in self.pairs if pair.key.data.endswith(key)), None)

    def lay_out(self) -> None:
        """Puts the tensors behind each other, as a file should have them."""
        offset, step = 0, max(self.alignment, 1)
        for tensor in self.tensors:
            tensor.offset = offset
            offset += -(-tensor.size_bytes // step) * step
        self.data_bytes = offset

    def header(self) -> bytes:
        """The bytes before the data, padded."""
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_pairs = len(self.pairs) if self.n_pairs is None else self.n_pairs
        parts = [self.magic, _packed("I", self.version), _packed("Q", n_tensors)]
        parts.append(_packed("Q", n_pairs))
        for pair in self.pairs:
            parts += [_text(pair.key), _packed("I", pair.kind), _value(pair.kind, pair.value)]
        for tensor in self.tensors:
            n_dims = len(tensor.shape) if tensor.n_dims is None else tensor.n_dims
            parts += [_text(tensor.name), _packed("I", n_dims)]
            parts += [_packed("Q", length) for length in tensor.shape]
            parts += [_packed("I", tensor.type), _packed("Q", tensor.offset)]
        data = b"".join(parts)
        return data + bytes(-len(data) % max(self.alignment, 1)) + self.tail


def read(data: bytes) -> Gguf:
    """The tree of a header; what stands behind it is left out. Raises NotGgufError."""
    try:
        return _Reader(data).gguf()
    except (struct.error, IndexError, KeyError, MemoryError, OverflowError) as error:
        raise NotGgufError(str(error)) from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def gguf(self) -> Gguf:
        magic = self._take(4)
        version, n_tensors, n_pairs = self._number("I"), self._number("Q"), self._number("Q")
        if magic != b"GGUF" or max(n_tensors, n_pairs) > len(self._data):
            raise NotGgufError("no header")
        pairs = []
        for _ in range(n_pairs):
            key = self._text()
            kind = self._number("I")
            pairs.append(Pair(key, kind, self._value(kind)))
        tensors = []
        for _ in range(n_tensors):
            name = self._text()
            shape = [self._number("Q") for _ in range(min(self._number("I"), 8))]
            tensors.append(Tensor(name, shape, self._number("I"), self._number("Q")))
        return Gguf(pairs, tensors, version=version)

    def _take(self, n_bytes: int) -> bytes:
        if n_bytes > len(self._data) - self._at:
            raise NotGgufError("it ends too early")
        self._at += n_bytes
        return self._data[self._at - n_bytes : self._at]

    def _number(self, letter: str) -> int:
        data = self._take(struct.calcsize(f"<{letter}"))
        number: int = struct.unpack(f"<{letter}", data)[0]
        return number

    def _text(self) -> Text:
        return Text(self._take(self._number("Q")))

    def _value(self, kind: int) -> object:
        if kind == TEXT:
            return self._text()
        if kind == ARRAY:
            kind, count = self._number("I"), self._number("Q")
            if count > len(self._data):
                raise NotGgufError("an array is longer than the file")
            return Array(kind, [self._value(kind) for _ in range(count)])
        return self._number(SCALARS[kind])


def _packed(letter: str, number: int) -> bytes:
    """A whole number in so many bytes, whatever of it they hold."""
    width = struct.calcsize(f"<{letter}")
    return (number % (1 << 8 * width)).to_bytes(width, "little")


def _text(text: Text) -> bytes:
    length = len(text.data) if text.claimed is None else text.claimed
    return _packed("Q", length) + text.data


def _value(kind: int, value: object) -> bytes:
    """A value as a kind has it; one of another kind as its own bytes."""
    if isinstance(value, Text):
        return _text(value)
    if isinstance(value, Array):
        count = len(value.items) if value.claimed is None else value.claimed
        items = b"".join(_value(value.kind, item) for item in value.items)
        return _packed("I", value.kind) + _packed("Q", count) + items
    assert isinstance(value, int | float)
    letter = SCALARS.get(kind, "I")
    if kind in FLOAT_KINDS:
        try:
            return struct.pack(f"<{letter}", value)
        except OverflowError:
            return struct.pack(f"<{letter}", math.inf)
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) else 0
    return _packed(letter, value)

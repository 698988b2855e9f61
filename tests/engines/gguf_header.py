"""Metadata and tensors of a GGUF file, read without slmprof, to hold its answers against."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_TEXT, _ARRAY = 8, 9
_SCALARS = "BbHhIif?__Qqd"  # struct's letters in the order of GGUF's types; _ is text or array

# Elements and bytes of a block of the types that the corpus and the small models have.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 26: (1, 4),
    30: (1, 2),
}  # fmt: skip


@dataclass(frozen=True)
class GgufTensor:
    """A tensor's place in the file: shape with the fastest dimension first."""

    name: str
    shape: tuple[int, ...]
    type: int

    @property
    def n_elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def size_bytes(self) -> int:
        elements, n_bytes = _BLOCKS[self.type]
        return self.n_elements // elements * n_bytes


@dataclass(frozen=True)
class GgufHeader:
    """What stands before the weights."""

    metadata: dict[str, object]
    tensors: dict[str, GgufTensor]
    begin_of_tensors: int  # in the file, of their table

    def number(self, key: str, default: int | None = None) -> int:
        """A count of the model's architecture: `block_count` is `llama.block_count`."""
        value = self.metadata.get(f"{self.metadata['general.architecture']}.{key}", default)
        assert isinstance(value, int), f"{key} is {value}"
        return value


def read_header(path: Path) -> GgufHeader:
    """Reads the header of a GGUF file of version 2 or 3."""
    with path.open("rb") as stream:
        assert stream.read(4) == b"GGUF"
        _version, n_tensors, n_values = struct.unpack("<IQQ", stream.read(20))
        metadata = {}
        for _ in range(n_values):
            key = _text(stream)
            metadata[key] = _value(stream, _number(stream, "I"))
        tensors = {}
        begin_of_tensors = stream.tell()
        for _ in range(n_tensors):
            name = _text(stream)
            shape = tuple(_number(stream, "Q") for _ in range(_number(stream, "I")))
            tensors[name] = GgufTensor(name, shape, _number(stream, "I"))
            _number(stream, "Q")  # offset
    return GgufHeader(metadata, tensors, begin_of_tensors)


def _number(stream: BinaryIO, letter: str) -> int:
    (value,) = struct.unpack(f"<{letter}", stream.read(struct.calcsize(f"<{letter}")))
    return value  # type: ignore[no-any-return]


def _text(stream: BinaryIO) -> str:
    return stream.read(_number(stream, "Q")).decode()


def _value(stream: BinaryIO, kind: int) -> object:
    if kind == _TEXT:
        return _text(stream)
    if kind == _ARRAY:
        kind, length = _number(stream, "I"), _number(stream, "Q")
        return [_value(stream, kind) for _ in range(length)]
    return _number(stream, _SCALARS[kind])

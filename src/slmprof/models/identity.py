"""Which file a model was read from: what tells it from any other, before and after a run."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ..errors import CaptureError, ModelError
from ..input_file import open_input
from ..profiles.records.meta import FileIdentity
from .parts import model_parts

# Longer headers are hashed as far as here.
_MOST_HEADER_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
# Sizes of GGUF's values by the number of their type; texts and arrays are of no fixed size.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9
_UINT32, _UINT64 = struct.Struct("<I"), struct.Struct("<Q")


def identify(path: Path) -> tuple[FileIdentity, ...]:
    """The identities of a model's file, or of each part of a split one, in their order.

    Raises:
        ModelError: a part cannot be read.
    """
    return tuple(_identify(part) for part in model_parts(path))


def check_unchanged(
    path: Path, before: Sequence[FileIdentity], when: str = "while it was measured"
) -> None:
    """Raises CaptureError where a model's files are no longer those that were identified before."""
    try:
        check_same(path, before, identify(path), when)
    except ModelError as error:
        raise CaptureError(f"{path.name} changed {when}: {error}") from None


def check_same(
    path: Path, before: Sequence[FileIdentity], now: Sequence[FileIdentity], when: str
) -> None:
    """As `check_unchanged`, of files that were identified again already."""
    for part, known, found in zip(model_parts(path), before, now, strict=False):
        if found != known:
            raise CaptureError(
                f"{part.name} changed {when} ({_difference(known, found)}); "
                "measure it again when nothing writes to it any more"
            )


def _difference(before: FileIdentity, now: FileIdentity) -> str:
    if (before.device, before.inode) != (now.device, now.inode):
        return "another file stands in its place"
    if before.size_bytes != now.size_bytes:
        return f"{before.size_bytes} bytes, now {now.size_bytes}"
    return "its header" if before.sha256 != now.sha256 else "its time of modification"


def _identify(path: Path) -> FileIdentity:
    try:
        with open_input(path) as file:
            # Of the file that is open, whatever stands under its name meanwhile.
            status = os.fstat(file.fileno())
            digest = _digest(file, min(_header_bytes(file, status.st_size), _MOST_HEADER_BYTES))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from None
    return FileIdentity(
        device=status.st_dev,
        inode=status.st_ino,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        sha256=digest,
    )


def _digest(file: BinaryIO, n_bytes: int) -> str:
    sha = hashlib.sha256()
    file.seek(0)
    while n_bytes > 0 and (chunk := file.read(min(n_bytes, _CHUNK_BYTES))):
        sha.update(chunk)
        n_bytes -= len(chunk)
    return sha.hexdigest()


def _header_bytes(file: BinaryIO, size_bytes: int) -> int:
    """Bytes of a GGUF's metadata and tensor table; of what is none, as far as it can be read."""
    reader = _Reader(file, min(size_bytes, _MOST_HEADER_BYTES))
    try:
        reader.skip(8)  # magic and version
        n_tensors, n_pairs = reader.uint64(), reader.uint64()
        for _ in range(n_pairs):
            reader.skip_text()
            reader.skip_value(reader.uint32())
        for _ in range(n_tensors):
            reader.skip_text()
            reader.skip(8 * reader.uint32() + 4 + 8)  # dimensions, type and offset
    except EOFError:
        return min(size_bytes, max(reader.place, _CHUNK_BYTES))
    return reader.place


class _Reader:
    """Steps through a header; EOFError where it would have to go beyond its end."""

    def __init__(self, file: BinaryIO, n_bytes: int) -> None:
        self._file = file
        self._n_bytes = n_bytes
        self._chunk = b""
        self._begin = 0  # of the chunk
        self.place = 0

    def skip(self, n_bytes: int) -> None:
        if n_bytes > self._n_bytes - self.place:
            raise EOFError
        self.place += n_bytes

    def uint32(self) -> int:
        return self._number(_UINT32)

    def uint64(self) -> int:
        return self._number(_UINT64)

    def skip_text(self) -> None:
        self.skip(self.uint64())

    def skip_value(self, kind: int) -> None:
        if kind == _TEXT:
            self.skip_text()
        elif kind == _ARRAY:
            of, count = self.uint32(), self.uint64()
            if of == _TEXT:
                for _ in range(count):
                    self.skip_text()
            else:
                self.skip(count * self._size(of))
        else:
            self.skip(self._size(kind))

    @staticmethod
    def _size(kind: int) -> int:
        if kind not in _SIZES:
            raise EOFError
        return _SIZES[kind]

    def _number(self, layout: struct.Struct) -> int:
        begin = self.place
        self.skip(layout.size)
        offset = begin - self._begin
        if offset < 0 or offset + layout.size > len(self._chunk):
            self._file.seek(begin)
            self._chunk, self._begin, offset = self._file.read(_CHUNK_BYTES), begin, 0
            if len(self._chunk) < layout.size:
                raise EOFError
        value: int = layout.unpack_from(self._chunk, offset)[0]
        return value

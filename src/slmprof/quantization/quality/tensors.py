"""How far each weight of a file is from the reference's."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ...children.native_errors import guarded
from ...input_file import open_input
from ...models.ggml_types import weight_types
from ..open_model import OpenModel
from ..records import PACKED
from ..schemes.loaded import PackingScheme
from ..slabs import SLAB, read_range
from .records import TensorDeviation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ... import _core

# Where the types of both sides have no blocks, errors are looked for in so many numbers.
_PLAIN_BLOCK = 32
_LEAST_DIMENSIONS = 2


@dataclass(frozen=True)
class WeightPair:
    """A matrix that both files have in one shape."""

    own: OpenTensors
    other: OpenTensors
    a: _core.SourceTensor
    b: _core.SourceTensor

    @property
    def row(self) -> int:
        """Numbers of a row."""
        return self.a["shape"][0]

    @property
    def n_rows(self) -> int:
        return math.prod(self.a["shape"][1:])

    def slabs(self) -> Iterator[tuple[int, int]]:
        """First row and number of rows of each slab."""
        step = max(1, SLAB // self.row)
        for first in range(0, self.n_rows, step):
            yield first, min(step, self.n_rows - first)


@contextlib.contextmanager
def weight_pairs(model: OpenModel, reference: OpenModel) -> Iterator[list[WeightPair]]:
    """The matrices of both, in the file's order, while the files are open.

    Raises:
        ModelError: a file is unusable.
    """
    from ... import _core

    with contextlib.ExitStack() as stack:
        opened = []
        for side in (model, reference):
            path = os.fsencode(side.path)
            found = guarded(side.path, functools.partial(_core.source_tensors, path, side.kernels))
            files = [stack.enter_context(open_input(part)) for part in found["parts"]]
            opened.append(OpenTensors(found["tensors"], files, side.scheme))
        own, other = opened
        yield [
            WeightPair(own, other, a, other.tensors[name])
            for name, a in own.tensors.items()
            if name in other.tensors
            and a["shape"] == other.tensors[name]["shape"]
            and len(a["shape"]) >= _LEAST_DIMENSIONS
        ]


def deviations(model: OpenModel, reference: OpenModel, n_threads: int) -> Iterator[TensorDeviation]:
    """The matrices that both files have in one shape and that differ, in the file's order.

    Raises:
        ModelError: a file is unusable.
    """
    with weight_pairs(model, reference) as pairs, ThreadPoolExecutor(n_threads) as pool:
        for deviation in pool.map(_deviation, pairs):
            if deviation is not None:
                yield deviation


class OpenTensors:
    """The tensors of a model by name, and the open files of its parts."""

    def __init__(
        self,
        tensors: Sequence[_core.SourceTensor],
        parts: Sequence[BinaryIO],
        scheme: PackingScheme | None,
    ) -> None:
        self._files = [part.fileno() for part in parts]
        self._scheme = scheme
        self.tensors = {one["tensor"]: self._named(one) for one in tensors}

    def _named(self, tensor: _core.SourceTensor) -> _core.SourceTensor:
        """A table of bytes as the matrix that the scheme has packed into it."""
        if self._scheme is None or tensor["source"] != PACKED:
            return tensor
        info = self._scheme.info
        assert info.block_size and info.type_size
        row, *more = tensor["shape"]
        shape = [row // info.type_size * info.block_size, *more]
        return {**tensor, "shape": shape, "source": info.type}

    def data(self, tensor: _core.SourceTensor, first_row: int, n_rows: int) -> bytes:
        """The bytes of some rows."""
        n_bytes = tensor["source_bytes"] // math.prod(tensor["shape"][1:])
        begin = tensor["source_begin"] + first_row * n_bytes
        return read_range(self._files[tensor["part"]], begin, n_rows * n_bytes, tensor["tensor"])

    def values(self, tensor: _core.SourceTensor, data: bytes) -> NDArray[np.float32]:
        """The numbers of some rows, from their bytes."""
        from ... import _core

        row = tensor["shape"][0]
        blocks = np.frombuffer(data, np.uint8)
        if self._scheme is not None and tensor["source"] == self._scheme.info.type:
            whole = blocks.reshape(-1, self._scheme.info.type_size or 1)
            return self._scheme.unpack(whole).reshape(-1, row)
        return _core.unpack_rows(tensor["source"], blocks, row)


@dataclass
class _Worst:
    error: float = 0.0
    row: int = 0
    column: int = 0


def _deviation(pair: WeightPair) -> TensorDeviation | None:
    a, b, row, n_rows = pair.a, pair.b, pair.row, pair.n_rows
    block = _block_of(a["source"], b["source"], row)
    noise = signal = 0.0
    worst = _Worst()
    for first, n in pair.slabs():
        data_a, data_b = pair.own.data(a, first, n), pair.other.data(b, first, n)
        if a["source"] == b["source"] and data_a == data_b:
            values = pair.other.values(b, data_b)
            signal += float(np.sum(np.square(values, dtype=np.float64)))
            continue
        values, off = pair.other.values(b, data_b), pair.own.values(a, data_a)
        off = off - values
        errors, powers = (
            np.sum(np.square(one.reshape(-1, block), dtype=np.float64), axis=1)
            for one in (off, values)
        )
        noise += float(errors.sum())
        signal += float(powers.sum())
        _look_for_worst(worst, errors, powers, first, row // block, block)
    n_elements = row * n_rows
    if noise == 0.0 and a["source"] == b["source"]:
        return None
    return TensorDeviation(
        tensor=a["tensor"],
        type=a["source"],
        reference_type=b["source"],
        n_elements=n_elements,
        rmse=math.sqrt(noise / n_elements),
        snr_db=10 * math.log10(signal / noise) if noise > 0 and signal > 0 else None,
        worst_block=worst.error,
        worst_row=worst.row,
        worst_column=worst.column,
    )


def _look_for_worst(
    worst: _Worst, errors: Any, powers: Any, first_row: int, n_per_row: int, block: int
) -> None:
    relative = np.sqrt(np.divide(errors, powers, out=np.zeros_like(errors), where=powers > 0))
    at = int(np.argmax(relative))
    if relative[at] > worst.error:
        worst.error = float(relative[at])
        worst.row, worst.column = first_row + at // n_per_row, at % n_per_row * block


def _block_of(a: str, b: str, row: int) -> int:
    """The larger of both types' blocks, if it divides the row."""
    types = weight_types()
    sizes = [types[name].block_size for name in (a, b) if name in types]
    block = max([*sizes, 1])
    if block == 1:
        block = _PLAIN_BLOCK
    return block if row % block == 0 else row

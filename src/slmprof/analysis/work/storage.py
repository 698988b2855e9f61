"""Which bytes of memory a tensor's elements are stored in, and how many of them are distinct."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...profiles.tables import TensorType

# Beyond so many pieces two overlapping views are not worked out: their union stays unknown.
_MOST_PIECES = 1 << 20
_LARGEST_OFFSET = 1 << 61


# Offset in the root, extent, row and lone element in bytes, elements and strides in each dimension.
Layout = tuple[int, int, int, int, tuple[int, ...], tuple[int, ...]]


class UnknownWorkError(Exception):
    """What an op does cannot be told exactly from the graph."""


class Tensor(NamedTuple):
    """One tensor of a graph, and where it is stored.

    Attributes:
        row: its row in the graph's table.
        element_bytes: bytes of an element, where each is stored alone; else 0.
        ne, nb: elements, and bytes from one to the next, in each of four dimensions.
        size_bytes: from the first byte to behind the last.
        row_bytes: bytes that one row (along the first dimension) is stored in.
        root: the row that owns the storage, for a view; else its own.
        offset: bytes from the root's first byte to this tensor's.
        is_weight: whether the storage is a weight of the model.
    """

    row: int
    element_bytes: int
    ne: tuple[int, ...]
    nb: tuple[int, ...]
    size_bytes: int
    row_bytes: int
    root: int
    offset: int
    is_weight: bool

    @property
    def n_elements(self) -> int:
        n0, n1, n2, n3 = self.ne
        return n0 * n1 * n2 * n3

    @property
    def n_rows(self) -> int:
        _, n1, n2, n3 = self.ne
        return n1 * n2 * n3

    @property
    def stored_bytes(self) -> int:
        """Distinct bytes that the elements are stored in; rows repeated by a stride of 0 once.

        Raises:
            UnknownWorkError: there are elements, but no bytes for them.
        """
        n_bytes = self.row_bytes if self.ne[0] else 0
        for n, step in zip(self.ne[1:], self.nb[1:], strict=True):
            if step != 0 or n == 0:
                n_bytes *= n
        if n_bytes <= 0 and self.n_elements:
            raise UnknownWorkError
        return min(self.size_bytes, n_bytes)

    def rows_bytes(self, n_rows: float) -> float:
        """Bytes of some rows, each another one while there are others."""
        return min(n_rows * self.row_bytes, self.stored_bytes)

    @property
    def layout(self) -> Layout:
        """Where the elements lie within the root."""
        return self.offset, self.size_bytes, self.row_bytes, self.element_bytes, self.ne, self.nb


def row_bytes(element_bytes: int, ne: tuple[int, ...], nb: tuple[int, ...], size_bytes: int) -> int:
    """Bytes that the elements of one row of a tensor are stored in.

    Args:
        element_bytes: bytes of an element, where each is stored alone; else 0.
        ne, nb: elements, and bytes from one to the next, in each dimension.
        size_bytes: from the first byte to behind the last (`ggml_nbytes`).
    """
    if 0 < element_bytes < nb[0]:
        return ne[0] * element_bytes
    # Less the steps from row to row, what is left of the extent is one row, packed or not.
    row = size_bytes
    for n, step in zip(ne[1:], nb[1:], strict=True):
        row -= (n - 1) * step
    return row if row > 0 else size_bytes


def distinct_bytes(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Bytes in which some tensors are stored together, by the root that owns the storage.

    Two views of one tensor that show the same bytes, as the values of a low-rank attention lie
    within its keys, have them once.

    Raises:
        UnknownWorkError: the overlap cannot be worked out.
    """
    groups: dict[int, dict[int, Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.root, {}).setdefault(tensor.row, tensor)
    return {root: _union_bytes(list(group.values())) for root, group in groups.items()}


def _union_bytes(views: list[Tensor]) -> int:
    """Bytes that views of one root cover."""
    if len(views) == 1:
        return views[0].stored_bytes
    views = [view for view in views if view.stored_bytes]
    spans = sorted((view.offset, view.offset + view.size_bytes) for view in views)
    if all(end <= begin for (_, end), (begin, _) in pairwise(spans)):
        return sum(view.stored_bytes for view in views)
    layouts = frozenset(view.layout for view in views)
    return views[0].stored_bytes if len(layouts) == 1 else _overlapped_bytes(layouts)


# The layers of a model have the same layouts, and so have their graphs.
@lru_cache(maxsize=1024)
def _overlapped_bytes(layouts: frozenset[Layout]) -> int:
    begins, ends = [], []
    for layout in layouts:
        begin, length = _pieces(layout)
        begins.append(begin)
        ends.append(begin + length)
    begin, end = np.concatenate(begins), np.concatenate(ends)
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], np.maximum.accumulate(end[order])
    # What each piece adds beyond everything that began before it.
    before = np.concatenate(([begin[0]], end[:-1]))
    return int((end - np.maximum(begin, before)).clip(0).sum())


def _pieces(layout: Layout) -> tuple[npt.NDArray[np.int64], int]:
    """Where the contiguous pieces of a tensor begin within the root, and the bytes of each."""
    offset, size_bytes, length, element_bytes, ne, nb = layout
    dims = list(zip(ne[1:], nb[1:], strict=True))
    if 0 < element_bytes < nb[0]:
        dims, length = list(zip(ne, nb, strict=True)), element_bytes
    steps = []
    for n, step in sorted(dims, key=lambda dim: dim[1]):
        if n == 1 or step == 0:
            continue
        if step == length:
            length *= n
        else:
            steps.append((n, step))
    if math.prod(n for n, _ in steps) > _MOST_PIECES or offset < 0:
        raise UnknownWorkError
    if max(offset + size_bytes, length, *(n * step for n, step in steps)) > _LARGEST_OFFSET:
        raise UnknownWorkError
    begins = np.full(1, offset, np.int64)
    for n, step in steps:
        begins = (begins[:, None] + np.arange(n, dtype=np.int64) * step).ravel()
    return begins, length


def row_size(stored: TensorType | None, n_elements: int) -> int:
    """Bytes of a row of a type that ggml converts activations to.

    Raises:
        UnknownWorkError: the type is not known, or the row is a broken number of blocks.
    """
    if stored is None or n_elements % stored.block_size:
        raise UnknownWorkError
    return n_elements // stored.block_size * stored.type_size

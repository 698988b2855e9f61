"""What an op has to do: floating-point operations, and distinct bytes read plus written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..profiles.tables import TensorTable
from .kernels import PRODUCTS


@dataclass(frozen=True)
class Work:
    """Work of one call. None where slmprof has no exact count: null rather than wrong."""

    flops: float | None = None
    bytes: float | None = None
    weight_bytes: float | None = None


def product_work(
    op: str,
    shape: tuple[int, ...],
    n_inner: int,
    source_bytes: tuple[int, ...],
    result_bytes: int,
) -> Work:
    """Work of a matrix product: 2·M·N·K, and every byte of both factors and of the result once.

    Args:
        op: ggml's operator name; anything but a product has unknown work.
        shape: shape of the result, M first; all dimensions above the second are batches.
        n_inner: K, the length of the products' sums.
        source_bytes: `stored_bytes` of the factors, the matrix first.
        result_bytes: the same of the result.
    """
    if op not in PRODUCTS:
        return Work()
    flops = 2.0 * n_inner
    for n in shape:
        flops *= n
    # Which experts a router chose is not in the graph, so the matrix bytes of MUL_MAT_ID are not.
    known = op == "MUL_MAT" and len(source_bytes) >= 2
    return Work(flops, float(sum(source_bytes[:2]) + result_bytes) if known else None)


def stored_bytes(shape: Sequence[int], strides: Sequence[int], extent_bytes: int) -> int:
    """Distinct bytes that the elements of a tensor are stored in.

    A view of a cache reaches over what lies between its rows: the values of 256 tokens, cached
    transposed in a context of 2048, have an extent of eight times their bytes.

    Args:
        shape: elements in each dimension, fastest first.
        strides: bytes from one element to the next in each dimension.
        extent_bytes: from the first byte to behind the last (`ggml_nbytes`).
    """
    # What is left without the steps from row to row is one row, in blocks or not.
    row = extent_bytes - sum((n - 1) * step for n, step in zip(shape[1:], strides[1:], strict=True))
    if row <= 0:
        return extent_bytes
    # Rows that are read several times (a stride of 0) are stored once.
    return min(extent_bytes, row * math.prod(shape[1:]))


@dataclass(frozen=True)
class Attended:
    n_pairs: float
    n_keys: float


class GraphWork:
    def __init__(self, tensors: TensorTable, strings: Sequence[str]) -> None:
        self.t, self.s = tensors, strings
        self.src, self.shp, self.st = tensors.sources(), tensors.shapes(), tensors.strides()

    def mask_of(self, node: int) -> int:
        return -1

    def _b(self, r: int) -> int:
        return stored_bytes(self.shp[r].tolist(), self.st[r].tolist(), int(self.t.size_bytes[r]))

    def of(
        self,
        node: int,
        n_fused: int = 0,
        *,
        attended: Attended | None = None,
        n_experts: float | None = None,
    ) -> Work:
        op = self.s[int(self.t.op[node])]
        src = [int(r) for r in self.src[node] if r >= 0]
        if n_fused or op not in PRODUCTS or not src:
            return Work()
        return product_work(
            op,
            tuple(self.shp[node].tolist()),
            int(self.shp[src[0]][0]),
            tuple(self._b(r) for r in src),
            self._b(node),
        )

    def of_conversion(
        self, node: int, converted_type: str, *, n_experts: float | None = None
    ) -> Work:
        return Work()

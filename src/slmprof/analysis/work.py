"""What an op has to do: floating-point operations, and distinct bytes read plus written."""

from __future__ import annotations

from dataclasses import dataclass

from .kernels import PRODUCTS


@dataclass(frozen=True)
class Work:
    """Work of one call. None where slmprof has no exact count: null rather than wrong."""

    flops: float | None = None
    bytes: float | None = None


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
        source_bytes: sizes of the factors as stored, the matrix first.
        result_bytes: size of the result.
    """
    if op not in PRODUCTS:
        return Work()
    flops = 2.0 * n_inner
    for n in shape:
        flops *= n
    # Which experts a router chose is not in the graph, so the matrix bytes of MUL_MAT_ID are not.
    known = op == "MUL_MAT" and len(source_bytes) >= 2
    return Work(flops, float(sum(source_bytes[:2]) + result_bytes) if known else None)

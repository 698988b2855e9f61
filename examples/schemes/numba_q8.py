"""8 bits a weight and a float scale for each 32: a scheme in Python whose kernel is numba's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray, cfunc, types

from slmprof.quant import Scheme

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 32
BYTES = BLOCK + 4  # the scale comes first

_DOT = types.void(
    types.uintp, types.CPointer(types.uint8), types.CPointer(types.float32),
    types.CPointer(types.float32),
)  # fmt: skip


@cfunc(_DOT)
def dot(n: Any, row: Any, activations: Any, result: Any) -> None:
    """A row times a column of floats, as slmprof_scheme.h has it."""
    n_blocks = n // BLOCK
    scales = carray(row, n_blocks * BYTES).view(np.float32)  # every ninth of them is one
    codes = carray(row, n_blocks * BYTES).view(np.int8)
    values = carray(activations, n)
    total = np.float32(0)
    for block in range(n_blocks):
        products = np.float32(0)
        for i in range(BLOCK):
            products += codes[block * BYTES + 4 + i] * values[block * BLOCK + i]
        total += scales[block * BYTES // 4] * products
    result[0] = total


@Scheme(name="numba_q8", block_size=BLOCK, type_size=BYTES)
class NumbaQ8:
    """What packs, and the kernel as an attribute."""

    activations = "f32"
    dot = dot

    def quantize_blocks(self, blocks: NDArray[np.float32]) -> NDArray[np.uint8]:
        scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
        inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
        codes = np.round(blocks * inverse).astype(np.int8)
        return np.hstack([scale.view(np.uint8), codes.view(np.uint8)])

    def dequantize_blocks(self, blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
        scale = blocks[:, :4].copy().view(np.float32)
        return blocks[:, 4:].view(np.int8).astype(np.float32) * scale

"""How ggml stores each type that weights can have, asked without a model."""

from __future__ import annotations

import functools

from ..profiles.tables import TensorType

_BLOCK_SIZES = (1, 32, 64, 128, 256)


@functools.cache
def weight_types() -> dict[str, TensorType]:
    """The types by ggml's names."""
    from .. import _core

    found = {}
    for name in _core.arithmetic_types():
        for block_size in _BLOCK_SIZES:
            try:
                type_size = _core.tensor_size_bytes(name, (block_size,))
            except ValueError:
                continue  # the row does not divide
            found[name] = TensorType(block_size, type_size, is_quantized=block_size > 1)
            break
    return found

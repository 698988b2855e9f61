"""How ggml stores each type that weights can have, asked without a model."""

from __future__ import annotations

import functools

from ..profiles.tables import TensorType


@functools.cache
def weight_types() -> dict[str, TensorType]:
    """The types by ggml's names, with those of a fork."""
    from .. import _core

    return {
        name: TensorType(block_size, type_size, is_quantized=is_quantized)
        for name, block_size, type_size, is_quantized in _core.weight_types()
    }

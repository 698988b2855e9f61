"""Tensors are read a slab at a time, so that no memory grows with a model."""

from __future__ import annotations

import os

from ..errors import ModelError

# Elements that a thread works on at a time: numpy's temporaries of so many stay near the caches.
SLAB = 1 << 20


def read_range(file: int, begin: int, n_bytes: int, tensor: str) -> bytes:
    """Bytes of an open file. Raises ModelError where it ends in them."""
    data = os.pread(file, n_bytes, begin)
    while len(data) < n_bytes:
        more = os.pread(file, n_bytes - len(data), begin + len(data))
        if not more:
            raise ModelError(f"the file ends in the middle of {tensor}")
        data += more
    return data

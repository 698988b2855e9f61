"""Schemes whose file is in C or C++: all that they do, their kernels do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import SchemeInfo
from .loaded import PackingScheme, of_blocks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ... import _core
    from .loaded import Values


class CompiledScheme(PackingScheme):
    """What a file says by `SLMPROF_SCHEME`."""

    takes_importance = True

    def __init__(self, info: SchemeInfo, native: _core.KernelScheme) -> None:
        super().__init__(info)
        self.native = self._native = native

    def pack(self, values: Values, importance: Values | None = None) -> NDArray[np.uint8]:
        return self._native.pack(
            values, of_blocks(importance, values.shape, self._native.block_size)
        )

    def unpack(self, blocks: NDArray[np.uint8]) -> Values:
        return self._native.unpack(blocks)

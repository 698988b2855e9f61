"""Classes of `gguf.quants` that only read blocks: ggml itself makes these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..records import SchemeInfo
from .block_scheme import BlockScheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .loaded import Values


class GgmlScheme(BlockScheme):
    """A class for one of ggml's types. Columns without importances count alike."""

    def __init__(self, info: SchemeInfo, implementation: Any) -> None:
        super().__init__(info, implementation)
        self.takes_importance = True
        self._type = str(implementation.qtype.name)

    def pack(self, values: Values, importance: Values | None = None) -> NDArray[np.uint8]:
        import numpy as np

        from ... import _core

        weights = np.ones(values.shape[-1], np.float32) if importance is None else importance
        packed = self.call("ggml", _core.pack_rows, self._type, values, weights)
        blocks: NDArray[np.uint8] = packed.reshape(-1, self._type_size)
        return blocks


def is_read_only(implementation: Any) -> bool:
    """Whether a class is one of gguf's that has no `quantize_blocks` of its own."""
    return (
        getattr(implementation, "__module__", "") == "gguf.quants"
        and "quantize_blocks" not in vars(implementation)
        and hasattr(implementation, "qtype")
    )

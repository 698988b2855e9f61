"""Schemes of blocks, by the contract of the classes in `gguf.quants`."""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any

from ...errors import SchemeError
from ..records import SchemeInfo
from .given_kernels import kernels_of
from .loaded import PackingScheme, checked, of_blocks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .loaded import Values


class BlockScheme(PackingScheme):
    """A class with `quantize_blocks` and `dequantize_blocks`, and perhaps with kernels."""

    def __init__(self, info: SchemeInfo, implementation: type) -> None:
        super().__init__(info)
        assert info.block_size and info.type_size
        self._block_size, self._type_size = info.block_size, info.type_size
        self._implementation = implementation
        self.takes_importance = hasattr(implementation, "calibrate")
        # A class of class methods, as gguf's are, is not made to have instances.
        self._needs_instance = any(
            inspect.isfunction(inspect.getattr_static(implementation, name, None))
            for name in ("quantize_blocks", "dequantize_blocks", "calibrate")
        )
        self._of_thread = threading.local()
        self._prepare()
        self.native = kernels_of(info, implementation)

    def pack(self, values: Values, importance: Values | None = None) -> NDArray[np.uint8]:
        import numpy as np

        blocks = values.reshape(-1, self._block_size)
        if self.takes_importance:
            weights = of_blocks(importance, values.shape, self._block_size)
            self.call("calibrate", self._own.calibrate, weights)
        packed = self.call("quantize_blocks", self._own.quantize_blocks, blocks)
        shape = (len(blocks), self._type_size)
        return checked(f"{self.info.name}: quantize_blocks", packed, shape, np.uint8)

    def unpack(self, blocks: NDArray[np.uint8]) -> Values:
        import numpy as np

        values = self.call("dequantize_blocks", self._own.dequantize_blocks, blocks)
        shape = (len(blocks), self._block_size)
        return checked(f"{self.info.name}: dequantize_blocks", values, shape, np.float32)

    @property
    def _own(self) -> Any:
        """What this thread calls: the class, or an instance of its own, which may keep a state."""
        if not self._needs_instance:
            return self._implementation
        if not hasattr(self._of_thread, "instance"):
            self._of_thread.instance = self.call("its constructor", self._implementation)
        return self._of_thread.instance

    def _prepare(self) -> None:
        # gguf's classes make their tables when an array is dequantized, not a block.
        if init := getattr(self._implementation, "init_grid", None):
            self.call("init_grid", init)


def check_blocks(name: str, block_size: Any, type_size: Any) -> None:
    """Raises SchemeError where these cannot be the numbers and bytes of a block."""
    for what, value in (("block_size", block_size), ("type_size", type_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SchemeError(f"{name}: {what} is {value!r}, not a whole number above 0")

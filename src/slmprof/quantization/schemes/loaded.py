"""A scheme at work: numbers in, and the numbers that it gives back."""

from __future__ import annotations

import signal
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import SchemeError
from ..records import SchemeInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ... import _core

    Values = NDArray[np.float32]


class LoadedScheme(ABC):
    """A scheme that was found in a file.

    Attributes:
        info: what it is.
        whole_tensors: whether it has to see a whole matrix at once.
        takes_importance: whether importances change anything.
        native: its kernels; None where it has none.
    """

    whole_tensors = False
    takes_importance = False
    native: _core.KernelScheme | None = None

    def __init__(self, info: SchemeInfo) -> None:
        self.info = info

    def holds(self, n_per_row: int) -> bool:
        """Whether its blocks divide a row."""
        return n_per_row % (self.info.block_size or 1) == 0

    def packed_bytes(self, n_elements: int) -> int:
        """What so many weights would take."""
        return round(n_elements * self.info.bits_per_weight / 8)

    @abstractmethod
    def give_back(self, values: Values, importance: Values | None = None) -> Values:
        """What is left of numbers after they were quantized.

        Args:
            values: float32 [n, row], which the scheme may overwrite.
            importance: float32 [row], how much each column counts.

        Raises:
            SchemeError: the scheme failed, or what it returned is no answer.
        """

    def call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the user's code. Raises SchemeError with the line that failed."""
        try:
            return function(*arguments)
        except BaseException as error:
            if is_from_outside(error):
                raise
            raise SchemeError(f"{self.info.name}: {name} {explain(error)}") from None


class PackingScheme(LoadedScheme):
    """A scheme of blocks, each of them some bytes."""

    def give_back(self, values: Values, importance: Values | None = None) -> Values:
        return self.unpack(self.pack(values, importance)).reshape(values.shape)

    @abstractmethod
    def pack(self, values: Values, importance: Values | None = None) -> NDArray[np.uint8]:
        """The blocks, uint8 [n, type_size], of float32 [n, row]. Raises SchemeError."""

    @abstractmethod
    def unpack(self, blocks: NDArray[np.uint8]) -> Values:
        """The numbers, float32 [n, block_size], of blocks. Raises SchemeError."""


def of_blocks(importance: Values | None, shape: tuple[int, ...], block_size: int) -> Values | None:
    """The importances of columns as those of each number of the blocks, float32 [n, block_size]."""
    import numpy as np

    if importance is None:
        return None
    return np.array(np.broadcast_to(importance, shape), np.float32).reshape(-1, block_size)


def is_from_outside(error: BaseException) -> bool:
    """Whether what ended a user's code may have come from somebody else: from a Ctrl-C, say.

    Where SIGINT has no handler of Python's, as in workers, all that it raises is its own.
    """
    is_usual = isinstance(error, (Exception, SystemExit))
    return not is_usual and callable(signal.getsignal(signal.SIGINT))


def explain(error: BaseException) -> str:
    """What an exception of a user's code says, with the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    text = str(error).strip().splitlines()
    return f"raised {type(error).__name__}{where}" + (f": {text[0]}" if text else "")


def checked(who: str, found: Any, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array that a scheme returned, which may also be a torch tensor. Raises SchemeError."""
    import numpy as np

    if not isinstance(found, np.ndarray) and hasattr(found, "numpy"):
        found = found.detach().cpu().numpy() if hasattr(found, "detach") else found.numpy()
    if not isinstance(found, np.ndarray):
        raise SchemeError(f"{who} returned {type(found).__name__}, not an array")
    if found.dtype != dtype:
        raise SchemeError(f"{who} returned {found.dtype}, not {np.dtype(dtype)}")
    if found.shape != shape:
        raise SchemeError(f"{who} returned the shape {list(found.shape)}, not {list(shape)}")
    return found

"""Schemes that are a function from numbers to the numbers that quantization would give back."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import SchemeError
from ..records import SchemeInfo
from .loaded import LoadedScheme, checked

if TYPE_CHECKING:
    from .loaded import Values

MOST_BITS = 32.0


class ValueScheme(LoadedScheme):
    """A function (fake quantization) of numpy arrays, or of torch tensors where its argument says
    so. One with a second parameter gets the importances, float32 [row] or None."""

    def __init__(
        self, info: SchemeInfo, function: Callable[..., Any], *, whole_tensors: bool
    ) -> None:
        super().__init__(info)
        self.whole_tensors = whole_tensors
        self._function = function
        parameters = _parameters(info.name, function)
        self.takes_importance = len(parameters) > 1
        self._torch = "Tensor" in str(parameters[0].annotation)

    def give_back(self, values: Values, importance: Values | None = None) -> Values:
        import numpy as np

        given: list[Any] = [values, importance] if self.takes_importance else [values]
        context: Any = contextlib.nullcontext()
        if self._torch:
            torch: Any = importlib.import_module("torch")
            given = [None if one is None else torch.from_numpy(one) for one in given]
            context = torch.inference_mode()
        with context:
            found = self.call("it", self._function, *given)
        return checked(f"{self.info.name}: it", found, values.shape, np.float32)


def check_bits(name: str, bits: Any) -> None:
    """Raises SchemeError where a function does not declare its bits per weight."""
    is_number = isinstance(bits, (int, float)) and not isinstance(bits, bool)
    if not is_number or not 0 < bits <= MOST_BITS:
        raise SchemeError(
            f"{name}: a function declares its size: @Scheme(bits_per_weight=…), above 0 and at "
            f"most {MOST_BITS:g}; it is {bits!r}"
        )


def _parameters(name: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        found = []
    if not found:
        raise SchemeError(f"{name}: a function takes values, float32 [n, row]; it takes nothing")
    return found

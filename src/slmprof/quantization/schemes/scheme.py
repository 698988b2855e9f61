"""How a class or a function becomes a quantization scheme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from ...errors import UsageError
from ...settings.kinds import shown

T = TypeVar("T")

_ATTRIBUTE = "__slmprof_scheme__"


@dataclass(frozen=True)
class Declaration:
    """What a scheme says of itself; None where it says nothing.

    Attributes:
        block_size, type_size: numbers and bytes of a block.
        bits_per_weight: of a function, which has no blocks.
        whole_tensors: whether a function has to see a whole matrix at once.
    """

    name: str | None = None
    block_size: int | None = None
    type_size: int | None = None
    bits_per_weight: float | None = None
    whole_tensors: bool = False


class Scheme:
    """Declares a quantization scheme; a decorator.

    A class has `quantize_blocks(blocks)`, float32 [n, block_size] to uint8 [n, type_size], and
    `dequantize_blocks(blocks)`, back; both as methods, class methods or static methods. With
    `calibrate(importance)` it is told before each call of `quantize_blocks` how much each number of
    those blocks counts: float32 [n, block_size], or None where there are no importances. Blocks are
    quantized each for itself, in any order and by several threads with an instance each.

    A function takes and returns float32 [n, row]: values, and what quantization would give back
    (fake quantization); tensors of torch where its argument is annotated so. A second parameter
    gets the importances, float32 [row] or None. It needs `bits_per_weight`, and sees some rows of a
    matrix at a time, or with `whole_tensors` all of them.

    Args:
        name: without it that of the class or function.
        block_size, type_size: weights and bytes of a block; the class may have them as attributes.
        bits_per_weight: of a function.
        whole_tensors: of a function, which has scales for whole matrices, say.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        block_size: int | None = None,
        type_size: int | None = None,
        bits_per_weight: float | None = None,
        whole_tensors: bool = False,
    ) -> None:
        self._declaration = Declaration(name, block_size, type_size, bits_per_weight, whole_tensors)

    def __call__(self, implementation: T) -> T:
        """The class or function itself. Raises UsageError for what is neither."""
        try:
            setattr(implementation, _ATTRIBUTE, self._declaration)
        except (AttributeError, TypeError):
            raise UsageError(
                f"Scheme: {shown(implementation)} is no class and no function of yours"
            ) from None
        return implementation


def declaration(implementation: Any) -> Declaration:
    """What a class or function declares: by the decorator, or as its own attributes."""
    found = vars(implementation).get(_ATTRIBUTE)
    if not isinstance(found, Declaration):
        found = Declaration()
    return Declaration(
        name=found.name or implementation.__name__,
        block_size=_first(found.block_size, getattr(implementation, "block_size", None)),
        type_size=_first(found.type_size, getattr(implementation, "type_size", None)),
        bits_per_weight=found.bits_per_weight,
        whole_tensors=found.whole_tensors,
    )


def is_declared(implementation: Any) -> bool:
    """Whether something in a file is meant as a scheme."""
    try:
        return isinstance(vars(implementation).get(_ATTRIBUTE), Declaration)
    except Exception:  # what it is asked for is code of its own
        return False


def _first(declared: Any, own: Any) -> Any:
    return own if declared is None else declared

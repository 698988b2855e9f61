"""Which weights a user's scheme takes, and what becomes of the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from ..errors import UsageError
from .records import QuantizedTensor
from .schemes.loaded import LoadedScheme

Packable: TypeAlias = Callable[[list[str]], Iterable[str]]


def kept(tensor: QuantizedTensor) -> QuantizedTensor:
    """A tensor that stays as it is."""
    return tensor.replace(
        asked=tensor.source,
        type=tensor.source,
        size_bytes=tensor.source_bytes,
        asked_bytes=tensor.source_bytes,
        needs_imatrix=False,
    )


def choose_for_scheme(
    tensors: Sequence[QuantizedTensor],
    scheme: LoadedScheme,
    pattern: str | None,
    packable: Packable | None = None,
) -> tuple[QuantizedTensor, ...]:
    """The tensors with the scheme where it is asked for and its blocks divide the rows.

    Args:
        tensors: as they are without it.
        pattern: a regular expression that finds the names of those that it is asked for; None for
            all that are ever quantized.
        packable: which of some weights the scheme's own kernels can take; None where what it gives
            back is stored instead of its blocks.

    Raises:
        UsageError: the pattern is none, or finds no weight that is ever quantized.
    """
    try:
        finds = re.compile(pattern or "").search
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"scheme_tensors: {pattern!r} is no regular expression: {error}") from None
    found = {one.tensor for one in tensors if one.is_quantizable and finds(one.tensor)}
    if not found:
        never = any(finds(one.tensor) for one in tensors)
        what = "only tensors that are never quantized" if never else "no tensor"
        raise UsageError(f"scheme_tensors: {pattern or 'the scheme'} finds {what}")
    held = [one.tensor for one in tensors if one.tensor in found and scheme.holds(one.shape[0])]
    taken = set(held if packable is None else packable(held))
    return tuple(
        _given(one, scheme, one.tensor in taken, packable is not None)
        if one.tensor in found
        else one
        for one in tensors
    )


def _given(
    tensor: QuantizedTensor, scheme: LoadedScheme, is_taken: bool, is_packed: bool
) -> QuantizedTensor:
    n_bytes = scheme.packed_bytes(tensor.n_elements)
    asked = tensor.replace(asked=scheme.info.type, asked_bytes=n_bytes)
    if not is_taken:
        return asked
    return asked.replace(
        type=scheme.info.type, size_bytes=n_bytes, needs_imatrix=False, is_packed=is_packed
    )

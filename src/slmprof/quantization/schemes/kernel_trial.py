"""Whether the kernels of a scheme compute what its blocks mean, before they are let near a model.

Memory around everything that they get is guarded, so that what reads or writes beyond ends the
process: call it in a child, and tell how far it is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from ...children.protocol import OnProgress, Progress
from ...errors import SchemeError
from .loaded import PackingScheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ... import _core
    from .loaded import Values

# Of the sum of the absolute values of the products: float32 in any order of adding stays far below.
_MOST_ERROR = 1e-3
_LONGEST_SECONDS = 10.0  # where microseconds are usual
_MANY, _LONG = 37, 2048
_GUARDS = ("behind", "before")
_PACK = "pack and unpack"


def try_kernels(scheme: PackingScheme, n_per_rows: list[int], on_progress: OnProgress) -> None:
    """Multiplies random rows and columns, of odd numbers and of the lengths of a model's rows.

    Raises:
        SchemeError: a kernel disagrees with `unpack`, or does not return.
    """
    native = scheme.native
    assert native is not None
    lengths = _lengths(native, n_per_rows)
    names = [*([_PACK] if native.packs else []), *native.kernels]
    steps = [(name, n, guard) for n in lengths for name in names for guard in _GUARDS]
    for number, (kernel, n, guard) in enumerate(steps):
        stage = f"trying {kernel} of {scheme.info.name} on rows of {n}"
        on_progress(Progress(stage, number, len(steps)))
        limit = _limited(
            f"{scheme.info.name}: {kernel} does not return on rows of {n}", on_progress
        )
        _try(scheme, kernel, n, guard, limit)


def _lengths(native: _core.KernelScheme, n_per_rows: list[int]) -> list[int]:
    block = native.block_size
    # The shortest rows that activations can have, too, and odd numbers of blocks.
    few = [n * block for n in range(1, 65) if native.takes(n * block)]
    return sorted({*few[:3], *few[4:5], *(n for n in n_per_rows if native.takes(n))})


def _try(
    scheme: PackingScheme, kernel: str, n: int, guard: str, limit: AbstractContextManager[None]
) -> None:
    import numpy as np

    native = scheme.native
    assert native is not None
    rng = np.random.default_rng(n)
    if kernel == _PACK:
        with limit:
            packed = native.pack(rng.standard_normal(n).astype(np.float32), guard=guard)
            native.unpack(packed, guard)
        return
    # More than any tile of rows or columns has, and numbers that leave rests of it.
    group = native.group_rows or 1
    n_rows = 3 if kernel == "dot" else -(-(_MANY if n < _LONG else 3) // group) * group + group
    n_columns = _MANY // 2 if kernel == "gemm" and n < _LONG else 3
    rows = rng.standard_normal((n_rows, n)).astype(np.float32)
    columns = rng.standard_normal((n_columns, n)).astype(np.float32)
    blocks = np.ascontiguousarray(scheme.pack(rows.copy()))
    weights = scheme.unpack(blocks).reshape(n_rows, n).astype(np.float64)
    activations = native.converted(columns).astype(np.float64)
    with limit:
        found = _multiplied(scheme, kernel, blocks, columns, guard)
    expected = activations @ weights.T
    size = np.abs(activations) @ np.abs(weights).T
    _check(scheme, kernel, n, found, expected, size)


def _multiplied(
    scheme: PackingScheme, kernel: str, blocks: NDArray[np.uint8], columns: Values, guard: str
) -> Values:
    """All columns, of gemm once more in pairs and alone: its last tiles are short ones."""
    import numpy as np

    from ... import _core

    native = scheme.native
    assert native is not None
    try:
        found = native.multiply(kernel, blocks, columns, guard)
        if kernel == "gemm":
            found[:2] = native.multiply(kernel, blocks, columns[:2], guard)
            found[2:3] = native.multiply(kernel, blocks, columns[2:3], guard)
    except _core.NativeSchemeError as error:
        raise SchemeError(f"{scheme.info.name}: {error}") from None
    return np.ascontiguousarray(found)


def _check(
    scheme: PackingScheme,
    kernel: str,
    n: int,
    found: Values,
    expected: np.ndarray,
    size: np.ndarray,
) -> None:
    import numpy as np

    off = np.abs(found - expected) / np.maximum(size, 1e-30)
    off[~np.isfinite(found)] = np.inf
    if not (off > _MOST_ERROR).any():
        return
    column, row = np.unravel_index(int(np.argmax(off)), off.shape)
    raise SchemeError(
        f"{scheme.info.name}: {kernel} disagrees with what the blocks mean: of rows of {n}, row "
        f"{row} times column {column} is {expected[column, row]:.6g}, and it gives "
        f"{float(found[column, row]):.6g}"
    )


@contextmanager
def _limited(what: str, on_progress: OnProgress) -> Iterator[None]:
    """Ends this process, and says why, where native code takes too long: nothing else can."""

    def end() -> None:
        on_progress(Progress(f"{what} within {_LONGEST_SECONDS:.0f} s", 0, 1))
        os._exit(1)

    timer = threading.Timer(_LONGEST_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

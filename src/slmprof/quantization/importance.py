"""Importance matrices: how much each column of a weight counts, as llama-imatrix stores them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..models.resolve import check_gguf
from ..models.synthesis import native_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SUMS, _COUNTS = ".in_sum2", ".counts"


@dataclass(frozen=True, eq=False)
class Imatrix:
    """An importance matrix.

    Attributes:
        path: the file.
        weights: by the name of the tensor, float32 [n_matrices, row]: the mean square of the
            activations that each column was multiplied with. Ones where nothing was (an expert that
            no token reached).
        datasets: names of the texts that it was measured on.
        n_chunks: of these texts.
    """

    path: str
    weights: dict[str, NDArray[np.float32]]
    datasets: tuple[str, ...] = ()
    n_chunks: int = 0


def read_imatrix(path: Path) -> Imatrix:
    """Reads a file of importances.

    Raises:
        UsageError: the file is none: another GGUF, an older format, or damaged.
    """
    import gguf

    from .. import _core

    check_gguf(path)
    try:
        # The package believes every length in a file, and may never come to an end.
        _core.check_header(native_path(path))
        reader = gguf.GGUFReader(path)
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        weights = {
            name.removesuffix(_SUMS): _means(tensors, name.removesuffix(_SUMS))
            for name in tensors
            if name.endswith(_SUMS)
        }
        datasets = _value(reader, "imatrix.datasets", [])
        n_chunks = int(_value(reader, "imatrix.chunk_count", 0))
    except (
        ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, OSError,
        _core.NativeModelError,
    ) as error:  # fmt: skip
        raise UsageError(f"{path} is no importance matrix: {error}") from None
    if not weights:
        raise UsageError(
            f"{path} is no importance matrix: it holds no tensors NAME{_SUMS}; make one with "
            "`llama-imatrix`"
        )
    for name, mean in weights.items():
        if not np.isfinite(mean).all():
            raise UsageError(f"{path}: the importances of {name} are not finite")
    return Imatrix(str(path), weights, tuple(map(str, datasets)), n_chunks)


def _means(tensors: dict[str, Any], name: str) -> NDArray[np.float32]:
    sums = np.array(tensors[name + _SUMS].data, np.float32)
    counts = np.array(tensors[name + _COUNTS].data, np.float32).reshape(-1, 1)
    rows = sums.reshape(len(counts), -1)
    means: NDArray[np.float32] = np.ones_like(rows)
    with np.errstate(all="ignore"):  # what is not finite is refused
        np.divide(rows, counts, out=means, where=counts > 0)
    return means


def _value(reader: Any, key: str, default: Any) -> Any:
    field = reader.get_field(key)
    return default if field is None else field.contents()

"""Importance matrices: how much each column of a weight counts, as llama-imatrix stores them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..input_file import open_input
from ..models.resolve import check_gguf

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SUMS, _COUNTS = ".in_sum2", ".counts"
# The largest mixtures of experts have some hundred MiB.
_MOST_BYTES = 8 << 30


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
        _core.check_header(os.fsencode(path))
        with open_input(path) as file:
            if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                raise ValueError(f"it is larger than {_MOST_BYTES >> 30} GiB")
            opened: Any = file  # numpy maps an open file, too
            reader = gguf.GGUFReader(opened)
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
            "`slmprof quant imatrix`"
        )
    for name, mean in weights.items():
        if not np.isfinite(mean).all():
            raise UsageError(f"{path}: the importances of {name} are not finite")
    return Imatrix(str(path), weights, tuple(map(str, datasets)), n_chunks)


def write_imatrix(
    path: Path,
    sums: Mapping[str, Mapping[str, NDArray[np.float32]]],
    *,
    dataset: str,
    n_chunks: int,
    n_ctx: int,
) -> None:
    """Writes sums of squares as llama-imatrix does, synced.

    Args:
        sums: by the name of the tensor, `squares` float32 [n_matrices, row] and `counts` float32
            [n_matrices, 1], of the activations that were summed up.
        dataset: the name of the text.
        n_chunks, n_ctx: of the text, and tokens of each.

    Raises:
        OSError: it cannot be written.
    """
    import gguf

    writer = gguf.GGUFWriter(path, arch="")
    writer.kv_data[0].clear()  # it is no model, and has no architecture
    writer.add_string("general.type", "imatrix")
    writer.add_array("imatrix.datasets", [dataset])
    writer.add_uint32("imatrix.chunk_count", n_chunks)
    writer.add_uint32("imatrix.chunk_size", n_ctx)
    for name in sorted(sums):
        writer.add_tensor(name + _SUMS, np.ascontiguousarray(sums[name]["squares"]))
        writer.add_tensor(name + _COUNTS, np.ascontiguousarray(sums[name]["counts"]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open_input(path) as file:
        os.fsync(file.fileno())


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

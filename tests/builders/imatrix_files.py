"""Importance matrices as llama-imatrix writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np


def write_imatrix(
    path: Path, rows: Mapping[str, Sequence[int]], *, seed: int = 0, n_unseen: int = 0
) -> Path:
    """A file with random importances.

    Args:
        rows: by the name of each tensor its columns and, where it holds several, its matrices.
        n_unseen: so many matrices of each that holds several were multiplied with nothing.
    """
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, arch="")
    writer.kv_data[0].clear()
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["calibration.txt"])
    writer.add_uint32("imatrix.chunk_count", 3)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, (n_columns, *more) in rows.items():
        n_matrices = more[0] if more else 1
        counts = np.full((n_matrices, 1), 1536, np.float32)
        counts[: n_unseen if n_matrices > 1 else 0] = 0
        sums = rng.exponential(1.0, (n_matrices, n_columns)).astype(np.float32) * counts
        writer.add_tensor(f"{name}.in_sum2", sums)
        writer.add_tensor(f"{name}.counts", counts)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

"""Importance matrices: what is read of a file, and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from imatrix_files import write_imatrix

from slmprof.errors import ModelError, UsageError
from slmprof.quantization.importance import read_imatrix

ROWS = {"blk.0.ffn_up.weight": (64,), "blk.0.ffn_up_exps.weight": (32, 4)}


def test_a_mean_for_each_column_of_each_matrix(tmp_path: Path) -> None:
    found = read_imatrix(write_imatrix(tmp_path / "a.gguf", ROWS, n_unseen=1))
    assert {name: of.shape for name, of in found.weights.items()} == {
        "blk.0.ffn_up.weight": (1, 64),
        "blk.0.ffn_up_exps.weight": (4, 32),
    }
    assert (found.datasets, found.n_chunks) == (("calibration.txt",), 3)
    rng = np.random.default_rng(0)
    expected = rng.exponential(1.0, (1, 64)).astype(np.float32)
    np.testing.assert_allclose(found.weights["blk.0.ffn_up.weight"], expected, rtol=1e-6)
    experts = found.weights["blk.0.ffn_up_exps.weight"]
    assert (experts[0] == 1).all() and (experts[1:] != 1).all()


def test_another_gguf_is_none(tmp_path: Path) -> None:
    path = write_imatrix(tmp_path / "a.gguf", {})
    with pytest.raises(UsageError, match=r"a\.gguf is no importance matrix"):
        read_imatrix(path)


def test_what_is_not_finite_is_refused(tmp_path: Path) -> None:
    path = write_imatrix(tmp_path / "a.gguf", {"x": (8,)})
    data = path.read_bytes()
    value = read_imatrix(path).weights["x"][0, 0] * np.float32(1536)
    at = data.index(np.float32(value).tobytes())
    path.write_bytes(data[:at] + np.float32(np.nan).tobytes() + data[at + 4 :])
    with pytest.raises(UsageError, match="importances of x are not finite"):
        read_imatrix(path)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.95])
def test_a_file_that_is_cut_off(tmp_path: Path, share: float) -> None:
    path = write_imatrix(tmp_path / "a.gguf", ROWS)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UsageError, match="is no importance matrix"):
        read_imatrix(path)


def test_every_byte_may_be_wrong(tmp_path: Path) -> None:
    path = write_imatrix(tmp_path / "a.gguf", {"x": (8,), "y": (8, 2)})
    data = bytearray(path.read_bytes())
    for at in range(len(data)):
        for value in (0, 255, data[at] ^ 1):
            changed = bytearray(data)
            changed[at] = value
            path.write_bytes(changed)
            try:
                read_imatrix(path)
            except (UsageError, ModelError) as error:
                assert str(path) in str(error)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(100), b"old imatrix.dat"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises((UsageError, ModelError)):
        read_imatrix(path)
    with pytest.raises(ModelError, match="no such"):
        read_imatrix(tmp_path / "missing.gguf")
    with pytest.raises(ModelError, match="directory"):
        read_imatrix(tmp_path)

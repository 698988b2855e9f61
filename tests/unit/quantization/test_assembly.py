"""How tensors are cut into slabs."""

from __future__ import annotations

from typing import Any

import pytest
from scheme_files import write_scheme

from slmprof.quantization import assembly
from slmprof.quantization.schemes.loading import load_scheme


@pytest.mark.parametrize(("name", "n_slabs"), [("Mine", 3 * 4), ("signs", 3)])
def test_no_slab_has_rows_of_two_matrices(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, name: str, n_slabs: int
) -> None:
    """Experts are matrices of their own; a function of whole matrices sees each at once."""
    monkeypatch.setattr(assembly, "SLAB", 64 * 3)
    scheme = load_scheme(f"{write_scheme(tmp_path)}:{name}")
    tensor: Any = {"tensor": "ffn_up_exps", "shape": [64, 10, 3]}
    slabs = list(assembly._slabs(tensor, {"ffn_up_exps": scheme.info.type}, scheme))
    assert len(slabs) == n_slabs
    rows = [(s.matrix, row) for s in slabs for row in range(s.first_row, s.first_row + s.n_rows)]
    assert rows == [(matrix, row) for matrix in range(3) for row in range(10)]


def test_vectors_have_one_row(tmp_path: Any) -> None:
    scheme = load_scheme(f"{write_scheme(tmp_path)}:Mine")
    tensor: Any = {"tensor": "norm", "shape": [64]}
    (slab,) = assembly._slabs(tensor, {"norm": "f32"}, scheme)
    assert (slab.n_rows, slab.type) == (1, "f32")

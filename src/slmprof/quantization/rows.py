"""The tensors of a plan as rows of plain values, for DataFrames and CSV."""

from __future__ import annotations

from typing import Any

from .records import QuantizationPlan

# pandas' nullable dtype of each column; tuples are `object`.
DTYPES = {
    "tensor": "string",
    "shape": "object",
    "source": "string",
    "asked": "string",
    "type": "string",
    "source_bytes": "Int64",
    "size_bytes": "Int64",
    "bits_per_weight": "Float64",
    "is_quantizable": "boolean",
    "fell_back": "boolean",
}


def tensor_rows(plan: QuantizationPlan) -> list[dict[str, Any]]:
    """A row for each tensor, in the order of the plan; `shape` is a tuple."""
    return [{name: getattr(one, name) for name in DTYPES} for one in plan.tensors]

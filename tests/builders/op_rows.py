"""Op rows made by hand, for analyses that start from them."""

from __future__ import annotations

from typing import Any

import pandas as pd
from builders import in_vocabulary

from slmprof.analysis.tables.ops import COLUMNS

_PLAIN: dict[str, Any] = {
    "phase": "decode",
    "op": "MUL_MAT",
    "kernel": "mul_mat_vec_q",
    "impl": "generic",
    "tensor": "t",
    "layer": 0,
    "block": "ffn",
    "dtypes": "q4_K,f32->f32",
    "shape": [64],
    "fused": [],
    "backend": "CPU",
    "calls": 1.0,
    "time_ms": 1.0,
    "compute_ms": 0.8,
    "wait_ms": 0.2,
    "slowest_ms": 0.9,
    "share": 0.1,
}
# A plain part of each block, of a row that names its block alone.
_PARTS = {
    "embedding": "embed",
    "attention": "qkv",
    "ffn": "down",
    "recurrent": "in_proj",
    "lm_head": "head",
    "other": "unknown",
}


def op_rows(*rows: dict[str, Any]) -> pd.DataFrame:
    """Op rows in `analysis.tables.ops.COLUMNS`; what a row does not say is plain, or null."""
    full = [{**dict.fromkeys(COLUMNS), **_PLAIN, **row} for row in rows]
    full = [{**row, "part": row["part"] or _PARTS[row["block"]]} for row in full]
    for row in full:
        assert row.keys() == COLUMNS.keys() and in_vocabulary(row["block"], row["part"]), row
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in full], dtype=t) for name, t in COLUMNS.items()}
    )


def in_layers(n_layers: int, **values: Any) -> list[dict[str, Any]]:
    """One row a layer with the same values; a callable is called with the layer's number."""
    return [
        {"layer": n, **{k: v(n) if callable(v) else v for k, v in values.items()}}
        for n in range(n_layers)
    ]


def weight_rows(*rows: tuple[str, int | None, str, str, list[int]], **read: str) -> pd.DataFrame:
    """Rows of `weight_table` from (stem, layer, block, type, shape); `read` says how by stem.

    Half a byte an element in q4_K, one in q8_0 and q6_K, four in f32."""
    widths = {"f32": 4.0, "f16": 2.0, "q4_K": 0.5}
    made = []
    for stem, layer, block, type_name, shape in rows:
        n_elements = 1.0
        for n in shape:
            n_elements *= n
        made.append(
            {
                "name": stem if layer is None else f"blk.{layer}.{stem}",
                "stem": stem,
                "layer": layer,
                "block": block,
                "type": type_name,
                "shape": [*shape, 1, 1, 1][:4],
                "n_elements": n_elements,
                "size_bytes": int(n_elements * widths.get(type_name, 1.0)),
                "read": read.get(stem, "whole"),
            }
        )
    from slmprof.analysis.memory.weights import COLUMNS as WEIGHT_COLUMNS

    return pd.DataFrame(
        {n: pd.Series([row[n] for row in made], dtype=t) for n, t in WEIGHT_COLUMNS.items()}
    )

"""Tables that a file of an older version does not have, made from what it does have.

What single columns of an older file lack is said with the column (`schema`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..schema import Table
from ..tables import GraphTable, LaneTable, RunTable, SplitTable, TypeTable

# ggml's types when files before version 4 were written: elements and bytes of a block.
_PLAIN = "f64 1 8, f32 1 4, f16 1 2, bf16 1 2, i8 1 1, i16 1 2, i32 1 4, i64 1 8"
_QUANTIZED = (
    "q1_0 128 18, q2_0 64 18, q4_0 32 18, q4_1 32 20, q5_0 32 22, q5_1 32 24, q8_0 32 34, "
    "q8_1 32 36, mxfp4 32 17, nvfp4 64 36, q2_K 256 84, q3_K 256 110, q4_K 256 144, q5_K 256 176, "
    "q6_K 256 210, q8_K 256 292, iq1_s 256 50, iq1_m 256 56, iq2_xxs 256 66, iq2_xs 256 74, "
    "iq2_s 256 82, iq3_xxs 256 98, iq3_s 256 110, iq4_nl 32 18, iq4_xs 256 136, tq1_0 256 54, "
    "tq2_0 256 66"
)


def with_lanes_and_types(
    tables: Mapping[str, Table], strings: tuple[str, ...]
) -> tuple[dict[str, Table], tuple[str, ...]]:
    """The tables and texts of a file before version 4, whose lanes are threads."""
    runs, graphs = tables["runs"], tables["graphs"]
    assert isinstance(runs, RunTable) and isinstance(graphs, GraphTable)
    # A number that cannot be is for `validation` to tell.
    n_lanes = int(runs.n_threads.clip(0, 2**16).max(initial=1))
    device = int(graphs.backend[0]) if len(graphs) else -1
    kind, texts = len(strings), [*strings, "cpu_thread"]
    lanes = LaneTable.from_columns(
        {
            "kind": np.full(n_lanes, kind),
            "device": np.full(n_lanes, device),
            "index": np.arange(n_lanes),
            "clock": np.zeros(n_lanes, np.uint8),
        }
    )
    types, names = known_types(len(texts))
    return {**tables, "lanes": lanes, "types": types}, (*texts, *names)


def with_splits(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The tables of a file before version 6, whose graphs one device computed whole."""
    runs, graphs = tables["runs"], tables["graphs"]
    assert isinstance(runs, RunTable) and isinstance(graphs, GraphTable)
    splits = SplitTable.from_columns(
        {
            "graph": np.arange(len(graphs)),
            "device": graphs.backend,
            "first_node": np.zeros(len(graphs), np.int32),
            "n_nodes": graphs.n_nodes,
        }
    )
    return {**tables, "splits": splits, "runs": runs.replace(split=runs.graph)}


def known_types(n_strings: int) -> tuple[TypeTable, tuple[str, ...]]:
    """The types that ggml had before version 4, and their names as texts from `n_strings` on."""
    plain, quantized = (
        [entry.split() for entry in text.split(", ")] for text in (_PLAIN, _QUANTIZED)
    )
    entries = plain + quantized
    types = TypeTable.from_columns(
        {
            "name": np.arange(n_strings, n_strings + len(entries)),
            "block_size": [int(entry[1]) for entry in entries],
            "type_size": [int(entry[2]) for entry in entries],
            "is_quantized": [i >= len(plain) for i in range(len(entries))],
            "number": np.full(len(entries), -1),
        }
    )
    return types, tuple(entry[0] for entry in entries)


GGML_TYPES = frozenset(known_types(0)[1])

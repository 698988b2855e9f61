"""The weights that a profile's graphs read: where they belong, their types and sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...profiles.data import ProfileData
from ...profiles.vocabulary import USAGES
from ..graphs.weight_roles import role_of_name, stem_and_layer
from ..tables.typed import typed_table

# How the ops of all graphs read a weight, the strongest last.
LOOKED_UP, ROUTED, WHOLE = "rows", "experts", "whole"

COLUMNS: dict[str, str] = {
    "name": "object", "stem": "object", "layer": "Int64", "block": "object", "type": "object",
    "shape": "object", "n_elements": "float64", "size_bytes": "int64", "read": "object",
}  # fmt: skip


def weight_table(profile: ProfileData) -> pd.DataFrame:
    """One row for each weight that a graph reads, in `COLUMNS`, by name.

    `stem` is the name without its layer; `layer` and `block` are what the name says (null and
    empty where it says nothing). `shape` has the row's length first, and four dimensions. `read`
    tells whether the graphs read single rows only (`rows`), routed experts (`experts`) or all of
    it (`whole`).
    """
    tensors = profile.tensors
    is_weight = (tensors.node < 0) & (tensors.usage == USAGES.index("weights"))
    chosen = np.flatnonzero(is_weight & (tensors.name >= 0))
    names, first = np.unique(tensors.name[chosen], return_index=True)
    rows = chosen[first]
    read = _strongest_use(profile, chosen)
    shapes = tensors.shapes()[rows].tolist()
    made: list[dict[str, Any]] = []
    for name, row, shape in zip(names.tolist(), rows.tolist(), shapes, strict=True):
        text = profile.text(name)
        stem, layer = stem_and_layer(text)
        role = role_of_name(text)
        made.append(
            {
                "name": text,
                "stem": _whole_stem(text, layer) if layer >= 0 else stem,
                "layer": layer if layer >= 0 else None,
                "block": role.block if role is not None else "",
                "type": profile.text(int(tensors.type[row])),
                "shape": tuple(shape),
                "n_elements": float(np.prod(np.array(shape, np.float64))),
                "size_bytes": int(tensors.size_bytes[row]),
                "read": read.get(name, WHOLE),
            }
        )
    return typed_table(made, COLUMNS)


def weight_place(name: str) -> tuple[str, int | None]:
    """The block and the layer that a weight's name says; empty and None where it says nothing."""
    role, layer = role_of_name(name), stem_and_layer(name)[1]
    return role.block if role is not None else "", layer if layer >= 0 else None


def _whole_stem(name: str, layer: int) -> str:
    """The name with its layer taken out; `.weight` is left off, `.bias` is not."""
    before, _, after = name.partition(f".{layer}.")
    group = before.rpartition(".")[0]
    stem = f"{group}.{after}" if group else after
    return stem.removesuffix(".weight")


def _strongest_use(profile: ProfileData, chosen: npt.NDArray[np.intp]) -> dict[int, str]:
    """Name -> how the weight is read, over all graphs."""
    tensors = profile.tensors
    uses: dict[int, str] = {}
    if len(chosen) == 0:
        return uses
    # Sources count from a graph's first row; the rows of a graph stand together.
    first_of = np.zeros(int(tensors.graph.max()) + 1, np.int64)
    graphs, starts = np.unique(tensors.graph, return_index=True)
    first_of[graphs] = starts
    offset = first_of[tensors.graph]
    sources = tensors.sources()
    known = sources >= 0
    absolute = np.where(known, sources + offset[:, None], -1)
    viewed = np.where(tensors.view_src >= 0, tensors.view_src + offset, -1)
    is_view = viewed[absolute] >= 0
    absolute = np.where(known & is_view, viewed[absolute], absolute)
    is_weight = np.zeros(len(tensors), bool)
    is_weight[chosen] = True
    reader, place = np.nonzero(known & is_weight[absolute] & (tensors.node >= 0)[:, None])
    op = tensors.op[reader]
    for kind, name in ((LOOKED_UP, "GET_ROWS"), (ROUTED, "MUL_MAT_ID")):
        number = profile.strings.index(name) if name in profile.strings else -2
        of_kind = (op == number) & (place == 0)
        for weight in np.unique(tensors.name[absolute[reader[of_kind], place[of_kind]]]).tolist():
            uses[weight] = kind
        reader, place, op = reader[~of_kind], place[~of_kind], op[~of_kind]
    for weight in np.unique(tensors.name[absolute[reader, place]]).tolist():
        uses[weight] = WHOLE
    return uses

"""The model's weights one by one: type, shape and size, and what reading each costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...profiles.data import ProfileData
from ...profiles.tables import trimmed_shape
from ...profiles.vocabulary import PHASES
from ..tables.typed import typed_table
from .places import place_table
from .weights import weight_place, weight_table

_ABOUT: dict[str, str] = {
    "tensor": "object", "layer": "Int64", "block": "object", "type": "object", "shape": "object",
    "size_bytes": "int64", "bits_per_weight": "float64",
}  # fmt: skip
_OF_PHASE: dict[str, str] = {
    "calls": "float64", "ms": "float64", "share": "float64", "gbps": "float64",
    "ceiling_share": "float64", "bound": "object", "impl": "object",
}  # fmt: skip
COLUMNS: dict[str, str] = {
    **_ABOUT,
    **{f"{phase}_{name}": dtype for phase in PHASES for name, dtype in _OF_PHASE.items()},
}
# Code that took less of a weight's time is not named.
_LEAST_SHARE = 0.01


def weight_times(profile: ProfileData, ops: pd.DataFrame) -> pd.DataFrame:
    """One row for each weight, in `COLUMNS`: those with the largest share of a phase first, those
    that no op reads last and null in the phases.

    Of each phase: how often ops read the weight, and their milliseconds, per step; their share of
    all op time; the bytes of these ops, over their time; `ceiling_share`, the mean of theirs by
    time; the bound of the costliest; the code that ran. A weight that is used in two ways, as one
    that is both embedding and head, is one row. An op that reads several weights counts for the
    largest of them.

    Args:
        ops: rows of `analysis.tables.ops`, of both phases or of one.
    """
    used = ops[ops["weight"].notna() & (ops["weight"] != "")]
    costs = {
        (str(phase), str(weight)): _cost(str(phase), rows)
        for (phase, weight), rows in used.groupby(["phase", "weight"], sort=False)
    }
    blocks = dict(zip(used["weight"][::-1], used["block"][::-1], strict=True))
    made = []
    for about in _weights(profile):
        name = about["tensor"]
        row = {**dict.fromkeys(COLUMNS), **about}
        for phase in PHASES:
            row.update(costs.get((phase, name), {}))
        made.append({**row, "block": blocks.get(name, about["block"])})
    return typed_table(sorted(made, key=_costliness, reverse=True), COLUMNS)


def _costliness(row: Mapping[str, Any]) -> tuple[float, float]:
    """The larger of a weight's shares; where these are withheld, its milliseconds decide."""
    largest = [
        max(-1.0 if (v := row[f"{phase}_{name}"]) is None else float(v) for phase in PHASES)
        for name in ("share", "ms")
    ]
    return largest[0], largest[1]


def _weights(profile: ProfileData) -> list[dict[str, Any]]:
    """Every weight by name, in the order of the profile's places; those of graphs alone after."""
    places = place_table(profile)
    # A weight that lies in two buffers stands in both, but in the file once.
    places = places[places["kind"] == "weights"].drop_duplicates("tensor")
    rows: list[dict[Any, Any]] = places[[n for n in _ABOUT if n in places]].to_dict("records")
    found = {row["tensor"]: row for row in rows}
    rows = weight_table(profile).to_dict("records")
    for row in rows:
        bits = 8.0 * row["size_bytes"] / row["n_elements"] if row["n_elements"] else None
        row.update(tensor=row["name"], bits_per_weight=bits, shape=trimmed_shape(row["shape"]))
        found.setdefault(row["name"], {name: row[name] for name in _ABOUT})
    for name, about in found.items():
        block, layer = weight_place(name)
        about["block"] = block
        about["layer"] = layer if pd.isna(about["layer"]) else about["layer"]
    return list(found.values())


def _cost(phase: str, rows: pd.DataFrame) -> dict[str, Any]:
    """What the ops that read one weight take in a phase."""
    time_ms = rows["time_ms"].to_numpy(np.float64)
    total = float(time_ms.sum())
    running = total > 0
    n_bytes = float(rows["bytes"].sum(skipna=False))
    shares = rows["ceiling_share"].to_numpy(np.float64)
    known = ~np.isnan(shares)
    by_impl = rows.groupby("impl", sort=False)["time_ms"].sum().sort_values(ascending=False)
    codes = [str(code) for code, ms in by_impl.items() if code and ms >= _LEAST_SHARE * total]
    bound = rows["bound"].iloc[int(np.argmax(time_ms))]
    weighed = float(time_ms[known].sum())
    values = {
        "calls": float(rows["calls"].sum()),
        "ms": total,
        "share": None if rows["share"].isna().any() else float(rows["share"].sum()),
        "gbps": n_bytes / total / 1e6 if running else None,
        "ceiling_share": float((shares * time_ms)[known].sum()) / weighed if weighed > 0 else None,
        "bound": bound if isinstance(bound, str) else None,
        "impl": " + ".join(codes) or None,
    }
    return {f"{phase}_{name}": value for name, value in values.items()}

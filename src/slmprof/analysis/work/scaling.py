"""How much faster kernels get from one thread to several: evidence for what bounds them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ...profiles.records.scaling import Scaling
from ..graphs.kernel_names import OF_NO_OP
from .bounds import scales_like_arithmetic

Key = tuple[str, str, str]

COLUMNS: dict[str, str] = {
    "phase": "object", "kernel": "object", "impl": "object", "n_threads": "Int64",
    "single_ms": "float64", "time_ms": "float64", "speedup": "float64", "efficiency": "float64",
}  # fmt: skip


def scaling_table(ops: pd.DataFrame, scaling: Scaling | None, n_threads: int) -> pd.DataFrame:
    """One row for each phase, kernel and code, in `COLUMNS`, the largest time of the run first.

    single_ms: per step on one thread; time_ms: on `n_threads`, as many as were compared with one.
    speedup: the former over the latter; efficiency: that over the threads. What ran in only one
    of the two has the other's time and what follows from it null.

    Args:
        ops: rows of the ops table, of a run on `n_threads`.
        scaling: the other run; without it, and where neither of the two had one thread, no rows.
    """
    if scaling is None or (n_threads == 1) == (scaling.n_threads == 1):
        nothing: pd.DataFrame = pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
        return nothing
    known = ops[~ops["kernel"].isin(OF_NO_OP)]
    own = {
        (str(phase), str(kernel), str(impl)): float(time)
        for (phase, kernel, impl), time in known.groupby(
            ["phase", "kernel", "impl"], sort=False, dropna=False
        )["time_ms"]
        .sum()
        .items()
    }
    phases = dict.fromkeys(phase for phase, _, _ in own)
    other = {
        (row.phase, row.kernel, row.impl): row.time_ms
        for row in scaling.kernels
        if row.phase in phases
    }
    single, several = (own, other) if n_threads == 1 else (other, own)
    keys = sorted({**own, **other}, key=lambda key: -own.get(key, 0.0))
    rows = [
        {
            **dict(zip(("phase", "kernel", "impl"), key, strict=True)),
            "n_threads": max(n_threads, scaling.n_threads),
            "single_ms": single.get(key),
            "time_ms": several.get(key),
        }
        for phase in phases
        for key in keys
        if key[0] == phase
    ]
    names = [name for name in COLUMNS if name not in ("speedup", "efficiency")]
    table = pd.DataFrame({n: pd.Series([r[n] for r in rows], dtype=COLUMNS[n]) for n in names})
    speedup = table["single_ms"] / table["time_ms"].where(table["time_ms"] > 0)
    threads = table["n_threads"].astype("float64")
    made: pd.DataFrame = table.assign(speedup=speedup, efficiency=speedup / threads)
    return made


def phase_speedups(table: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """For each phase how much faster its ops are together, and on how many threads."""
    found = {}
    for phase, rows in table.groupby("phase", sort=False):
        single, several = float(rows["single_ms"].sum()), float(rows["time_ms"].sum())
        if single > 0 and several > 0:
            found[str(phase)] = (single / several, int(rows["n_threads"].iloc[0]))
    return found


def scales(table: pd.DataFrame) -> Mapping[Key, bool]:
    """Whether each phase, kernel and code gets faster as arithmetic does, where that is known."""
    known = table[table["speedup"].notna()]
    return {
        (row.phase, row.kernel, row.impl): scales_like_arithmetic(row.speedup, int(row.n_threads))
        for row in known.itertuples(index=False)
    }

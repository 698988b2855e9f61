"""Op rows added up: by block, by part of a block, and by kernel."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def block_table(ops: pd.DataFrame) -> pd.DataFrame:
    """Op rows added up by block: phase, block, time_ms, share."""
    return sum_by(ops, ["block"], ["time_ms", "share"])


def part_table(ops: pd.DataFrame) -> pd.DataFrame:
    """Op rows added up by part of a block: phase, block, part, calls, time_ms, share."""
    return sum_by(ops, ["block", "part"], ["calls", "time_ms", "share"])


def kernel_table(ops: pd.DataFrame) -> pd.DataFrame:
    """Op rows added up by kernel: phase, kernel, calls, time_ms, share."""
    return sum_by(ops, ["kernel"], ["calls", "time_ms", "share"])


def sum_by(ops: pd.DataFrame, by: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Sums of `values` for each (phase, *by); phases in their order, largest time first.

    A sum of no number at all (flops of a group where none is known) is null, not zero.
    """
    keys = ["phase", *by]
    if ops.empty:
        nothing: pd.DataFrame = ops.loc[:, [*keys, *values]].copy()
        return nothing
    sums = ops.groupby(keys, sort=False, dropna=False, observed=True)[list(values)]
    return by_time(sums.sum(min_count=1).reset_index())


def by_time(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the largest time first within each phase; prefill stands before decode."""
    # Among the names of phases, the reverse of the alphabet is the order of time.
    ordered: pd.DataFrame = rows.sort_values(
        ["phase", "time_ms"], ascending=[False, False], kind="stable"
    ).reset_index(drop=True)
    return ordered

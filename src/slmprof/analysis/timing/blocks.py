"""Time by block: embedding, attention, ffn, recurrent, lm_head, other."""

from __future__ import annotations

import pandas as pd

from .grouping import sum_by


def block_table(ops: pd.DataFrame) -> pd.DataFrame:
    """Op rows added up by block: phase, block, time_ms, share."""
    return sum_by(ops, ["block"], ["time_ms", "share"])


def part_table(ops: pd.DataFrame) -> pd.DataFrame:
    """Op rows added up by part of a block: phase, block, part, calls, time_ms, share."""
    return sum_by(ops, ["block", "part"], ["calls", "time_ms", "share"])

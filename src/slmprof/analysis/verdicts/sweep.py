"""The points of a sweep side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...profiles.meta import Meta
from ...settings.resolved import ResolvedConfig
from ...settings.table import NEVER, table
from ..tables.depth import COST_BLOCKS, DepthReport, report_depths
from ..tables.derived import Derived
from ..tables.typed import typed_table
from .caveats import caveats

# What two points can differ in. Depths do not count: each has rows of its own.
SETTINGS: tuple[str, ...] = tuple(
    name
    for name, setting in table(ResolvedConfig).items()
    if setting.tells_apart != NEVER and name != "n_depth"
)
_COSTS = tuple(f"{name}_ms" for name in (*COST_BLOCKS, "rest", "total"))
_MEASURED = ("latency_ms", "mad_ms", "tokens_per_s", "overhead_ratio", *_COSTS)


@dataclass(frozen=True, eq=False)
class SweepPoint:
    """One profile of a sweep, without its events.

    Attributes:
        file: name of the profile's file.
        depths: its phases and blocks at each depth, and the lines through them.
        caveats: one sentence for each doubt.
    """

    file: str
    meta: Meta
    depths: DepthReport
    caveats: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as used; None where a profile does not say."""
        values = self.meta.config.to_json()
        return {name: values[name] for name in SETTINGS}


def summarize_point(file: str, profile: Derived) -> SweepPoint:
    """What a sweep shows of one profile."""
    return SweepPoint(file, profile.data.meta, report_depths(profile), caveats(profile))


def in_order(points: Iterable[SweepPoint]) -> list[SweepPoint]:
    """The points by model, then by their settings in the order of `SETTINGS`."""
    return sorted(
        points,
        key=lambda p: (
            str(p.meta.model.name),
            str(p.meta.model.file_type),
            *(_rank(value) for value in p.settings.values()),
            p.file,
        ),
    )


def varying(points: Sequence[SweepPoint]) -> tuple[str, ...]:
    """Columns of `sweep_table` that tell the points apart: model, file_type and settings.

    `file` stands last where they do not suffice.
    """
    labels = [_label(point) for point in points]
    if not labels:
        return ()
    names = [name for name in labels[0] if len({_text(row[name]) for row in labels}) > 1]
    if len({_text([row[name] for name in names]) for row in labels}) < len(points):
        names.append("file")
    return tuple(names)


def sweep_table(points: Sequence[SweepPoint]) -> pd.DataFrame:
    """One row for each point, phase and depth.

    Columns file, model, file_type, random_weights, the `SETTINGS` as used, phase, n_depth;
    latency_ms (median of an unprofiled step), mad_ms, tokens_per_s, overhead_ratio; milliseconds of
    ops per token: attention_ms, ffn_ms, recurrent_ms, lm_head_ms, rest_ms, total_ms; and
    rss_peak_bytes of the whole run.
    """
    rows: list[dict[str, Any]] = []
    for point in points:
        costs = {(row["phase"], row["n_depth"]): row for row in _rows(point.depths.cost_rows)}
        for part in point.depths.slices:
            for summary in part.phases:
                latency, over = summary.latency_ms, summary.overhead
                cost = costs.get((summary.phase, part.n_depth), {})
                rows.append(
                    {
                        "file": point.file,
                        **_label(point),
                        "random_weights": point.meta.model.random_weights,
                        "phase": summary.phase,
                        "n_depth": part.n_depth,
                        "latency_ms": latency.median if latency else None,
                        "mad_ms": latency.mad if latency else None,
                        "tokens_per_s": summary.tokens_per_s,
                        "overhead_ratio": over.ratio if over else None,
                        **{name: cost.get(name) for name in _COSTS},
                        "rss_peak_bytes": point.meta.memory.rss_peak_bytes,
                    }
                )
    names = ["file", "model", "file_type", "random_weights", *SETTINGS, "phase", "n_depth"]
    dtypes = {
        **dict.fromkeys(names, "object"),
        **dict.fromkeys(_MEASURED, "float64"),
        "rss_peak_bytes": "Int64",
    }
    return typed_table(rows, dtypes)


def _label(point: SweepPoint) -> dict[str, Any]:
    model = point.meta.model
    return {"model": model.name, "file_type": model.file_type, **point.settings}


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _rank(value: Any) -> tuple[bool, float, str]:
    """Sorts numbers by size and texts by the alphabet, what is missing last."""
    number = float(value) if isinstance(value, (int, float)) else 0.0
    return value is None, number, "" if isinstance(value, (int, float)) else _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)

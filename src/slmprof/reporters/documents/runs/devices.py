"""Which device computed what of a step, and what went from one to the other."""

from __future__ import annotations

from itertools import chain

import pandas as pd

from ....analysis.timing.phases import PhaseSummary
from ....analysis.verdicts.breakdown import Breakdown
from ..parts import Column, Note, Row, Section, Table, listed, notes
from ..records import records

_MOST_SPLITS = 20
_MOST_COPIES = 10
_NAME_WIDTH, _LAYERS_WIDTH = 28, 16


def device_summary(breakdown: Breakdown) -> Section:
    """One row for each device and one for the copies, one group of columns a phase; empty for one
    device."""
    if len(breakdown.devices) < 2:
        return Section("Devices", ())
    phases = [summary.phase for summary in breakdown.phases]
    columns = [Column("device"), Column("layers", most=_LAYERS_WIDTH)]
    for phase in phases:
        columns += [Column(f"{phase} ms", "ms"), Column("of step", "share")]
    splits = breakdown.splits
    rows: list[Row] = []
    for device in breakdown.devices:
        mine = splits[splits["device"] == device]
        sums = mine.groupby("phase")[["time_ms", "share"]].sum()
        cells = [
            sums.loc[phase].tolist() if phase in sums.index else [None] * 2 for phase in phases
        ]
        rows.append((device, _layers(mine), *chain.from_iterable(cells)))
    rows.append(
        ("copies", None, *chain.from_iterable(_copies(breakdown, s) for s in breakdown.phases))
    )
    sizes = breakdown.copies.groupby("phase")["bytes"].sum() / 1024
    said = [f"{sizes[phase]:.4g} KiB a step of {phase}" for phase in phases if phase in sizes.index]
    text = f"Splits as they run. Copied: {listed(said)}." if said else "Splits as they run."
    return Section("Devices", (Table(tuple(columns), rows), Note(text)))


def _copies(breakdown: Breakdown, summary: PhaseSummary) -> list[float | None]:
    """Milliseconds of a step, and their share."""
    copies = breakdown.copies
    time_ms = float(copies.loc[copies["phase"] == summary.phase, "time_ms"].sum())
    whole = summary.recorded_ms.mean if summary.recorded_ms is not None else 0.0
    return [time_ms, time_ms / whole if whole > 0 else None]


def split_section(breakdown: Breakdown) -> Section:
    """One row for each split."""
    columns = (
        Column("phase"), Column("split", "plain"), Column("device"),
        Column("nodes", "plain", "n_nodes"), Column("layers"),
        Column("per step", "count", "calls"), Column("ms", "ms", "time_ms"),
        Column("of step", "share", "share"),
    )  # fmt: skip
    is_shown = len(breakdown.devices) > 1
    all_rows = records(breakdown.splits) if is_shown else []
    for row in all_rows:
        row["layers"] = _span(row["first_layer"], row["last_layer"])
    return Section(
        _title("Splits", len(all_rows), _MOST_SPLITS),
        (
            Table.of(columns, all_rows[:_MOST_SPLITS]),
            *notes(
                "A split is what one device computes in one go; times are those of steps as they "
                "run."
            ),
        ),
    )


def copy_section(breakdown: Breakdown) -> Section:
    """One row for each tensor that goes from one device to another."""
    columns = (
        Column("phase"), Column("tensor", most=_NAME_WIDTH), Column("from", key="source"),
        Column("to", key="target"), Column("per step", "count", "calls"),
        Column("KiB", "count", "kib"), Column("ms", "ms", "time_ms"),
    )  # fmt: skip
    all_rows = records(breakdown.copies) if len(breakdown.devices) > 1 else []
    for row in all_rows:
        row["kib"] = row["bytes"] / 1024
    return Section(
        _title("Copies", len(all_rows), _MOST_COPIES),
        (Table.of(columns, all_rows[:_MOST_COPIES]),),
    )


def _title(what: str, n_all: int, most: int) -> str:
    return f"{what} ({most} of {n_all})" if n_all > most else what


def _layers(rows: pd.DataFrame) -> str:
    """The layers of several splits, which may interleave with those of other devices."""
    spans = rows[["first_layer", "last_layer"]].dropna().drop_duplicates()
    if spans.empty:
        return ""
    return _span(int(spans["first_layer"].min()), int(spans["last_layer"].max()))


def _span(first: int | None, last: int | None) -> str:
    if first is None or last is None:
        return ""
    return str(first) if first == last else f"{first}-{last}"

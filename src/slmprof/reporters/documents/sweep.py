"""The report of a sweep: its points side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...analysis.verdicts.sweep import SweepPoint, sweep_table, varying
from ...profiles.decoding import finite
from ...profiles.vocabulary import PHASES
from .depths import depth_data
from .parts import (
    Caveat,
    Column,
    Document,
    Headline,
    Part,
    Rows,
    Section,
    Table,
    notes,
    said,
    setting_text,
)
from .quantities import milliseconds, rate
from .records import records
from .run import SCHEMA_VERSION, random_weights_note

_BLOCKS = ("attention", "ffn", "recurrent", "lm_head")
_NAME_WIDTH = 24
# Columns of a terminal, and how many of them the settings may take.
_NARROW = 80
_LABELS_WIDTH = 44


def sweep_document(points: Sequence[SweepPoint], failures: Sequence[tuple[str, str]]) -> Document:
    """The report of a sweep.

    Args:
        points: in the order to show them.
        failures: file name and message of each point that could not be measured.
    """
    return Document(lambda: _parts(points), lambda: _data(points, failures), lambda: _rows(points))


def _data(points: Sequence[SweepPoint], failures: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The points as plain values; see `sweep --format json` in the documentation."""
    result = {
        "schema_version": SCHEMA_VERSION,
        "varying": list(varying(points)),
        "points": [
            {
                "file": point.file,
                "slmprof": point.meta.slmprof.to_json(),
                "environment": point.meta.environment.replace(warnings=point.caveats).to_json(),
                "model": point.meta.model.to_json(),
                "config": point.meta.config.to_json(),
                "run": point.meta.run.to_json(),
                **depth_data(point.depths),
                "rss_peak_bytes": point.meta.memory.rss_peak_bytes,
            }
            for point in points
        ],
        "failures": [{"file": file, "message": message} for file, message in failures],
    }
    cleaned: dict[str, Any] = finite(result)
    return cleaned


def _rows(points: Sequence[SweepPoint]) -> Rows:
    table = sweep_table(points)
    warnings = {point.file: "; ".join(point.caveats) for point in points}
    names = [*map(str, table.columns), "warnings"]
    return Rows(names, ({**row, "warnings": warnings[row["file"]]} for row in records(table)))


def _parts(points: Sequence[SweepPoint]) -> list[Part]:
    """A table for each phase, and notes; nothing where there is no point."""
    if not points:
        return []
    rows = records(sweep_table(points))
    names = varying(points)
    models = list(dict.fromkeys(str(point.meta.model.name) for point in points))
    n = len(points)
    made: list[Part] = [
        Headline(((f"Sweep of {', '.join(models)}: {n} point{'s' if n > 1 else ''}",),))
    ]
    of_phases = {phase: [row for row in rows if row["phase"] == phase] for phase in PHASES}
    made += said(_section(phase, of_phase, names) for phase, of_phase in of_phases.items())
    doubtful = sum(bool(point.caveats) for point in points)
    if doubtful:
        text = (
            f"{doubtful} of {n} points carry warnings; --format json or `slmprof show` of their "
            "files tells them"
        )
        made.append(Caveat(text))
    if any(point.meta.model.random_weights for point in points):
        made.append(random_weights_note())
    return made


def _section(phase: str, rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Section:
    blocks = [block for block in _BLOCKS if any(row[f"{block}_ms"] for row in rows)]
    labels = {name: [setting_text(row[name], "+") for row in rows] for name in names}
    most = _NAME_WIDTH
    if sum(_width(name, own, most) for name, own in labels.items()) > _LABELS_WIDTH:
        # So many settings fit no terminal; the file's name tells them as well.
        labels, most = {"file": [row["file"] for row in rows]}, _LABELS_WIDTH
    if any(row["n_depth"] for row in rows):
        labels["depth"] = [str(row["n_depth"]) for row in rows]
    measured = {"ms/step": "latency_ms", "±MAD": "mad_ms", "tokens/s": "tokens_per_s"}
    costs = {block: f"{block}_ms" for block in blocks}
    width = sum(_width(name, own, most) for name, own in labels.items()) - 2
    for title, key in {**measured, **costs}.items():
        shown = rate if title == "tokens/s" else milliseconds
        width += _width(title, [shown(row[key]) for row in rows], _NARROW)
    columns = (
        *(Column(name, "plain" if name == "depth" else "text", most=most) for name in labels),
        *(Column(title, "rate" if title == "tokens/s" else "ms") for title in measured),
        *(Column(block, "ms", is_wide=width > _NARROW) for block in blocks),
        Column("peak RSS", "bytes", is_wide=True),
    )
    keys = (*measured.values(), *costs.values(), "rss_peak_bytes")
    cells = [
        (*(own[i] for own in labels.values()), *(row[key] for key in keys))
        for i, row in enumerate(rows)
    ]
    text = "Blocks: milliseconds of ops per token, profiled; the rest is measured unprofiled."
    return Section(phase.capitalize(), (Table(columns, cells), *notes(text)))


def _width(title: str, cells: Sequence[str], most: int) -> int:
    """Of a column, with the two blanks after it."""
    return max(map(len, [title, *(cell[:most] for cell in cells)])) + 2

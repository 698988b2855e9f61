"""The points of a sweep as a table, JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, TextIO

from ...analysis.verdicts.sweep import SweepPoint, sweep_table, varying
from ...profiles.decoding import finite
from ...profiles.vocabulary import PHASES
from ..renderers import markdown, terminal
from ..renderers.json import SCHEMA_VERSION
from .depth_records import depth_document
from .quantities import (
    NONE,
    UNICODE,
    Glyphs,
    bytes_text,
    milliseconds,
    printable,
    rate,
    shortened,
)
from .records import records
from .section import Column, Section

_BLOCKS = ("attention", "ffn", "recurrent", "lm_head")
_NAME_WIDTH = 24
# Columns of a terminal, and how many of them the settings may take.
_NARROW = 80
_LABELS_WIDTH = 44


def render(
    points: Sequence[SweepPoint], failures: Sequence[tuple[str, str]], form: str, stream: TextIO
) -> None:
    """Writes the points in one of the formats.

    Args:
        points: at least one, in the order to show them.
        failures: file name and message of each point that could not be measured.
        form: `table`, `json`, `csv` or `markdown`.
    """
    if form == "json":
        stream.write(json.dumps(document(points, failures), indent=1, allow_nan=False) + "\n")
    elif form == "csv":
        stream.write(_csv(points))
    elif form == "markdown":
        stream.write(markdown.render_document(_document(points, UNICODE)))
    else:
        terminal.render_document(lambda glyphs: _document(points, glyphs), stream)


def document(points: Sequence[SweepPoint], failures: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The points as plain Python values; see `sweep --format json` in the documentation."""
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
                **depth_document(point.depths),
                "rss_peak_bytes": point.meta.memory.rss_peak_bytes,
            }
            for point in points
        ],
        "failures": [{"file": file, "message": message} for file, message in failures],
    }
    cleaned: dict[str, Any] = finite(result)
    return cleaned


def _csv(points: Sequence[SweepPoint]) -> str:
    table = sweep_table(points)
    warnings = {point.file: "; ".join(point.caveats) for point in points}
    stream = io.StringIO()
    names = [*map(str, table.columns), "warnings"]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    for row in records(table):
        cells = {name: _cell(value) for name, value in row.items()}
        writer.writerow({**cells, "warnings": warnings[row["file"]]})
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _document(
    points: Sequence[SweepPoint], glyphs: Glyphs
) -> tuple[list[str], list[Section], list[str]]:
    """Header lines, one table a phase, and notes."""
    rows = records(sweep_table(points))
    names = varying(points)
    models = list(dict.fromkeys(str(point.meta.model.name) for point in points))
    n = len(points)
    header = f"Sweep of {', '.join(models)}: {n} point{'s' if n > 1 else ''}"
    sections = [
        _section(phase, [row for row in rows if row["phase"] == phase], names, glyphs)
        for phase in PHASES
    ]
    notes = []
    doubtful = sum(bool(point.caveats) for point in points)
    if doubtful:
        notes.append(
            f"warning: {doubtful} of {n} points carry warnings; --format json or `slmprof show` "
            "of their files tells them"
        )
    if any(point.meta.model.random_weights for point in points):
        notes.append("note: random weights; time and memory are real, the text would not be")
    return (
        [printable(header, glyphs)],
        [section for section in sections if section.rows],
        [printable(note, glyphs) for note in notes],
    )


def _section(
    phase: str, rows: Sequence[dict[str, Any]], names: Sequence[str], glyphs: Glyphs
) -> Section:
    blocks = [block for block in _BLOCKS if any(row[f"{block}_ms"] for row in rows)]
    labels = {name: [_label(row[name], glyphs) for row in rows] for name in names}
    if sum(_width(name, cells) for name, cells in labels.items()) > _LABELS_WIDTH:
        # So many settings fit no terminal; the file's name tells them as well.
        labels = {"file": [shortened(row["file"], _LABELS_WIDTH, glyphs) for row in rows]}
    if any(row["n_depth"] for row in rows):
        labels["depth"] = [str(row["n_depth"]) for row in rows]
    measured = {
        "ms/step": [milliseconds(row["latency_ms"]) for row in rows],
        f"{glyphs.plus_minus}MAD": [milliseconds(row["mad_ms"]) for row in rows],
        "tokens/s": [rate(row["tokens_per_s"]) for row in rows],
    }
    costs = {block: [milliseconds(row[f"{block}_ms"]) for row in rows] for block in blocks}
    table = {**labels, **measured, **costs}
    is_wide = sum(_width(title, cells) for title, cells in table.items()) - 2 > _NARROW
    columns = (
        *(Column(name, number=name == "depth") for name in labels),
        *(Column(title, number=True) for title in measured),
        *(Column(block, number=True, wide=is_wide) for block in blocks),
        Column("peak RSS", number=True, wide=True),
    )
    peaks = [bytes_text(row["rss_peak_bytes"]) for row in rows]
    cells = list(zip(*table.values(), peaks, strict=True))
    note = "Blocks: milliseconds of ops per token, profiled; the rest is measured unprofiled."
    return Section(phase.capitalize(), columns, cells, notes=(note,))


def _label(value: Any, glyphs: Glyphs) -> str:
    return shortened(printable(_setting(value), glyphs), _NAME_WIDTH, glyphs)


def _width(title: str, cells: Sequence[str]) -> int:
    """Of a column, with the two blanks after it."""
    return max(map(len, [title, *cells])) + 2


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return "+".join(map(str, value)) or NONE
    return NONE if value is None else str(value)

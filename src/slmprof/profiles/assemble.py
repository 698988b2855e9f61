"""A profile put together from what a worker process spooled: one header, one chunk a repeat.

Every file is written under a temporary name and renamed, so a killed worker leaves complete
repeats only. Within a chunk, `segments.step`, `runs.step`, `events.run` and `masks.run` count rows
of the chunk's own tables and texts are indices into the chunk's own `strings`; graph numbers count
over all chunks, and a chunk holds only the graphs (and their tensors) and places that no chunk
before had.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ProfileFormatError
from .archive import read_archive, write_archive
from .data import Profile
from .meta import Meta, finite
from .reduction import merge_stats
from .tables import (
    TABLES,
    EventTable,
    GraphTable,
    Int32,
    MaskTable,
    PlaceTable,
    RunTable,
    SegmentTable,
    StatTable,
    StepTable,
    Table,
    TensorTable,
)
from .validation import check_profile
from .vocabulary import PASS_OP, PASS_TIMING

_HEADER = "header.slmpart"
_CHUNK = re.compile(r"chunk-(\d+)\.slmpart")
_TEXT_COLUMNS: dict[str, tuple[str, ...]] = {
    "events": ("path", "convert"),
    "stats": ("path",),
    "graphs": ("backend",),
    "tensors": ("op", "op_detail", "name", "type", "buffer_type"),
    "places": ("name", "type", "kind", "device", "buffer_type"),
}


def write_header(directory: str | os.PathLike[str], meta: Mapping[str, Any]) -> None:
    """Writes the parts of `meta` (docs/profile-format.md) but `strings`; again to replace them.

    Raises:
        ProfileFormatError: a known key has the wrong type.
        OSError: the file cannot be written.
    """
    Meta.from_json(meta)
    write_archive(Path(directory) / _HEADER, finite(dict(meta)), {}, durable=False)


def write_chunk(directory: str | os.PathLike[str], number: int, chunk: Mapping[str, Any]) -> None:
    """Writes one complete repeat.

    Args:
        directory: where the header is.
        number: place of the chunk in the order of all chunks, from 0.
        chunk: `strings` (a list of texts) and columns by name for each table; a table that is
            absent has no rows.

    Raises:
        ValueError: a column is missing, unknown, of the wrong type or length.
        OSError: the file cannot be written.
    """
    tables = {
        table.NAME: table.from_columns(chunk[table.NAME])
        if chunk.get(table.NAME)
        else table.empty()
        for table in TABLES
    }
    meta = {"strings": list(chunk.get("strings", ()))}
    write_archive(Path(directory) / f"chunk-{number:06d}.slmpart", meta, tables, durable=False)


def count_chunks(directory: str | os.PathLike[str]) -> int:
    """How many chunks there are."""
    return len(_chunk_paths(Path(directory)))


def assemble(directory: str | os.PathLike[str], error: str | None = None) -> Profile:
    """Puts the chunks together in their order.

    `run.n_repeats_done`, `run.complete` and `run.n_dropped` are counted from the tables:
    a repeat is done when it has steps of a timing pass and of an op pass; the run is complete when
    there is no error and `run.n_repeats` repeats are done.

    Args:
        directory: where `write_header` and `write_chunk` wrote.
        error: why the run ended early, for `run.error`.

    Raises:
        ProfileFormatError: there is no header, or what is there does not fit together.
        OSError: a file cannot be read.
    """
    folder = Path(directory)
    if not (folder / _HEADER).is_file():
        raise ProfileFormatError("the worker ended before it had described its run")
    header, _ = read_archive(folder / _HEADER, only_meta=True)
    strings = _Strings()
    parts: dict[str, list[Any]] = {table.NAME: [] for table in TABLES}
    n_steps = n_runs = 0
    for path in _chunk_paths(folder):
        meta, tables = read_archive(path)
        tables = strings.rename(tables, meta.get("strings"))
        tables = _renumber(tables, n_steps, n_runs)
        n_steps += len(tables["steps"])
        n_runs += len(tables["runs"])
        for name, table in tables.items():
            parts[name].append(table)
    profile = Profile(
        meta=Meta.from_json(header),
        strings=tuple(strings.texts),
        steps=StepTable.concatenate(parts["steps"]),
        segments=SegmentTable.concatenate(parts["segments"]),
        runs=RunTable.concatenate(parts["runs"]),
        events=EventTable.concatenate(parts["events"]),
        stats=merge_stats(StatTable.concatenate(parts["stats"])),
        masks=MaskTable.concatenate(parts["masks"]),
        graphs=GraphTable.concatenate(parts["graphs"]),
        tensors=TensorTable.concatenate(parts["tensors"]),
        places=PlaceTable.concatenate(parts["places"]),
    )
    check_profile(profile)
    return _with_outcome(profile, error)


class _Strings:
    """The texts of all chunks, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def rename(self, tables: Mapping[str, Table], texts: Any) -> dict[str, Table]:
        """The tables with a chunk's text numbers exchanged for those of the whole profile."""
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ProfileFormatError("the strings of a chunk are not a list of texts")
        # One more entry at the end, so that -1 (no text) leads to -1.
        numbers = np.array([*(self._number(text) for text in texts), -1], dtype=np.int32)
        result = dict(tables)
        for name, columns in _TEXT_COLUMNS.items():
            renamed = {c: self._look_up(numbers, getattr(tables[name], c)) for c in columns}
            result[name] = tables[name].replace(**renamed)
        return result

    def _number(self, text: str) -> int:
        number = self._numbers.setdefault(text, len(self.texts))
        if number == len(self.texts):
            self.texts.append(text)
        return number

    @staticmethod
    def _look_up(numbers: Int32, column: Int32) -> Int32:
        if np.any(column < -1) or np.any(column >= len(numbers) - 1):
            raise ProfileFormatError("a chunk refers to a text that it does not have")
        return numbers[column]


def _renumber(tables: dict[str, Table], n_steps: int, n_runs: int) -> dict[str, Table]:
    segments, runs, events = tables["segments"], tables["runs"], tables["events"]
    masks = tables["masks"]
    assert isinstance(segments, SegmentTable)
    assert isinstance(runs, RunTable)
    assert isinstance(events, EventTable)
    assert isinstance(masks, MaskTable)
    return {
        **tables,
        "segments": segments.replace(step=segments.step + np.int32(n_steps)),
        "runs": runs.replace(step=runs.step + np.int32(n_steps)),
        "events": events.replace(run=events.run + np.int32(n_runs)),
        "masks": masks.replace(run=masks.run + np.int32(n_runs)),
    }


def _with_outcome(profile: Profile, error: str | None) -> Profile:
    steps, run = profile.steps, profile.meta.run
    timed = set(steps.repeat[steps.pass_ == PASS_TIMING].tolist())
    observed = set(steps.repeat[steps.pass_ == PASS_OP].tolist())
    done = len(timed & observed)
    error = error if error is not None else run["error"]
    meta = profile.meta.replace_run(
        n_repeats_done=done,
        complete=error is None and done > 0 and done >= (run["n_repeats"] or 0),
        n_dropped=max(int(profile.runs.n_dropped.sum()), run["n_dropped"] or 0),
        error=error,
    )
    values = {table.NAME: getattr(profile, table.NAME) for table in TABLES}
    return Profile(meta=meta, strings=profile.strings, **values)


def _chunk_paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _CHUNK.fullmatch(path.name))

"""A profile put together from what a worker process spooled: one header, one chunk a repeat.

Every file is written under a temporary name and renamed, so a killed worker leaves complete
repeats only. Within a chunk, `step` and `run` columns count rows of the chunk's own tables and
texts are indices into the chunk's own `strings`; rows of tables that are OVER_CHUNKS (graphs,
lanes, types) count over all chunks, and a chunk holds only those of them (and of tensors and
places) that no chunk before had.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import ProfileFormatError
from ...input_file import open_input
from ..all_tables import TABLES
from ..data import ProfileData
from ..records.meta import Meta
from ..reduction import merge_stats
from ..renumbering import Texts, renumbered
from ..schema import Table
from ..validation import check_profile
from ..vocabulary import PASS_OP, PASS_TIMING
from .archive import read_archive, write_archive

_HEADER = "header.slmpart"
_CHUNK = re.compile(r"chunk-(\d+)\.slmpart")
# Tables whose rows each chunk counts from 0.
_OF_CHUNK = [table.NAME for table in TABLES if not table.OVER_CHUNKS]


def write_header(directory: str | os.PathLike[str], meta: Meta) -> None:
    """Writes what the profile says about its run; again to replace it.

    Raises:
        OSError: the file cannot be written.
    """
    write_archive(Path(directory) / _HEADER, meta.to_json(), {}, durable=False)


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


def assemble(directory: str | os.PathLike[str], error: str | None = None) -> ProfileData:
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
    with open_input(folder / _HEADER) as stream:
        header, _ = read_archive(stream, only_meta=True)
    strings = Texts()
    parts: dict[str, list[Table]] = {table.NAME: [] for table in TABLES}
    for path in _chunk_paths(folder):
        with open_input(path) as stream:
            meta, tables = read_archive(stream)
        texts = strings.numbers(_texts_of(meta.get("strings")))
        first = {name: sum(map(len, parts[name])) for name in _OF_CHUNK}
        for name, table in tables.items():
            parts[name].append(renumbered(table, texts, first))
    tables = {table.NAME: table.concatenate(parts[table.NAME]) for table in TABLES}
    profile = ProfileData.of_tables(Meta.from_json(header), tuple(strings.texts), tables)
    profile = replace(profile, stats=merge_stats(profile.stats))
    check_profile(profile)
    return _with_outcome(profile, error)


def _texts_of(texts: Any) -> list[str]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ProfileFormatError("the strings of a chunk are not a list of texts")
    return texts


def _with_outcome(profile: ProfileData, error: str | None) -> ProfileData:
    steps, run = profile.steps, profile.meta.run
    timed = set(steps.repeat[steps.pass_ == PASS_TIMING].tolist())
    observed = set(steps.repeat[steps.pass_ == PASS_OP].tolist())
    done = len(timed & observed)
    error = error if error is not None else run.error
    meta = profile.meta.replace_run(
        n_repeats_done=done,
        complete=error is None and done > 0 and done >= (run.n_repeats or 0),
        n_dropped=max(int(profile.runs.n_dropped.sum()), run.n_dropped or 0),
        error=error,
    )
    return replace(profile, meta=meta)


def _chunk_paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _CHUNK.fullmatch(path.name))

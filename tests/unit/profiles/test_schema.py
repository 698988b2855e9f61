"""The schema of the tables: what follows from one line a column."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from builders import Rows, example_profile
from device_builder import device_profile
from memory_builder import with_memory

from slmprof.analysis.timing.spans import op_stats
from slmprof.errors import ProfileFormatError
from slmprof.profiles.all_tables import TABLES
from slmprof.profiles.data import ProfileData
from slmprof.profiles.kernel_tables import LaunchTable
from slmprof.profiles.schema import Column, Int32, Int64, Table, UInt8, column, enum, row
from slmprof.profiles.storage import archive
from slmprof.profiles.storage.file import save
from slmprof.profiles.tables import MaskTable
from slmprof.profiles.validation import check_profile
from slmprof.profiles.vocabulary import ENUMS

DOCS = Path(__file__).resolve().parents[3] / "docs"
RECORDED_SINCE = LaunchTable.SINCE
COLUMNS = [(table.NAME, column) for table in TABLES for column in table.schema().values()]


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_format_shows_the_schema() -> None:
    made = script(DOCS / "profile_tables.py").page()
    assert made == (DOCS / "profile-format.md").read_text(encoding="utf-8"), (
        "run PYTHONPATH=src python docs/profile_tables.py"
    )


def full_profile() -> ProfileData:
    """A profile in which every table has rows."""
    profile = with_memory()
    masks = {"run": [0], "tensor": [8], "n_pairs": [1], "n_keys": [1]}
    # Those of a device whose kernels are recorded: one row each, which refer to each other.
    recorded = {
        table.NAME: table.from_columns({name: [0] for name in table.schema()})
        for table in TABLES
        if table.SINCE >= RECORDED_SINCE
    }
    return replace(
        profile,
        **recorded,
        stats=op_stats(profile),
        masks=MaskTable.from_columns(masks),
        copies=device_profile()
        .copies.take(slice(0, 1))
        .replace(split=[0], tensor=[0], source=[0], target=[0]),
    )


def outside(profile: ProfileData, column: Column) -> list[float]:
    """Numbers that no row of a column may hold."""
    end = column.end
    if column.is_text:
        end = len(profile.strings)
    elif column.row_of:
        end = len(getattr(profile, column.row_of))
    elif column.within:
        end = 10_000
    low = [] if column.low is None else [column.low - 1]
    limits = np.iinfo(column.dtype) if column.dtype.kind in "iu" else np.finfo(column.dtype)
    return [n for n in (*low, *([] if end is None else [end])) if limits.min <= n <= limits.max]


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda part: getattr(part, "name", part))
def test_what_a_column_cannot_hold_is_refused_by_its_name(table: str, column: Column) -> None:
    profile = full_profile()
    check_profile(profile)
    rows = getattr(profile, table)
    for number in outside(profile, column):
        values = rows.columns()[column.name].copy()
        values[-1] = number
        changed = replace(profile, **{table: rows.replace(**{column.name: values})})
        with pytest.raises(ProfileFormatError, match=rf"column {table}\.{column.name} holds"):
            check_profile(changed)


def test_every_kind_of_limit_is_tried() -> None:
    profile = full_profile()
    unlimited = {
        f"{name}.{column.name}" for name, column in COLUMNS if not outside(profile, column)
    }
    assert unlimited == {
        *("graphs.hash", "tensors.flags", "tensors.view_offset"),
        *(f"tensors.{name}{i}" for name in ("nb", "param") for i in range(4)),
        *(f"launches.{name}" for name in ("device", "stream", "correlation")),
        *(f"launches.{name}" for name in ("cuda_graph", "cuda_node", "source_cuda_node")),
        *("captures.cuda_graph", "captured_nodes.cuda_node", "graph_versions.cuda_graph"),
        *("cloned_nodes.cuda_node", "cloned_nodes.original_cuda_node"),
    }


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda part: getattr(part, "name", part))
def test_columns_refer_to_what_there_is(table: str, column: Column) -> None:
    assert not column.row_of or column.row_of in {known.NAME for known in TABLES}
    assert not column.enum or column.enum in ENUMS
    assert column.since > 1 or column.in_version(1) == (column.name, column.dtype), table


class LaterSegments(Table, name="segments"):
    """Segments of a version to come: with one line more."""

    step: Int32 = row("steps")
    kind: UInt8 = enum("segment")
    begin_ns: Int64 = column()
    end_ns: Int64 = column()
    lane: Int32 = row("lanes", "which lane waited for it", since=5, before=1)


def test_a_new_column_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p"
    save(example_profile(), path)
    tables = tuple(LaterSegments if table.NAME == "segments" else table for table in TABLES)
    monkeypatch.setattr(archive, "TABLES", tables)
    segments = archive.read_archive(path, version=4)[1]["segments"]
    assert isinstance(segments, LaterSegments) and len(segments) > 0
    assert set(segments.lane.tolist()) == {1}
    with pytest.raises(ProfileFormatError, match=r"no column segments\.lane"):
        archive.read_archive(path, version=5)
    # The builders of the tests need no line for it.
    rows = Rows(LaterSegments)
    rows.add(step=0, begin_ns=3)
    assert rows.columns() == {"step": [0], "kind": [0], "begin_ns": [3], "end_ns": [0], "lane": [0]}


def test_tables_are_frozen() -> None:
    steps = example_profile().steps
    with pytest.raises(AttributeError, match="table steps is frozen"):
        steps.depth = steps.repeat

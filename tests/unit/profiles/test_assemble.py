"""Chunks of a worker put together to a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import Builder, example_profile
from meta_builder import example_meta

from slmprof.errors import ProfileFormatError
from slmprof.profiles.all_tables import TABLES
from slmprof.profiles.records.meta import Meta
from slmprof.profiles.reduction import merge_stats
from slmprof.profiles.storage.assemble import assemble, write_chunk, write_header
from slmprof.profiles.tables import StatTable
from slmprof.views import Profile


def chunk_of(builder: Builder) -> dict[str, Any]:
    tables = {t.NAME: getattr(builder, t.NAME).columns() for t in TABLES}
    return {"strings": list(builder.text.texts), **tables}


def spool(directory: Path, n_repeats: int = 2) -> None:
    """What a worker writes for the example: warm-up and the first repeat, then the second."""
    write_header(directory, Meta.from_json(example_meta()))
    first = Builder()
    first.graph(16, n_kv=32)
    first.graph(1, n_kv=32)
    first.graph(1, n_kv=48)
    first.warmup()
    first.repeat(0)
    first.device()
    first.whole_graphs()
    write_chunk(directory, 0, chunk_of(first))
    if n_repeats > 1:
        second = Builder()
        second.now = first.now
        # Other texts than the first chunk's, in another order.
        second.text("a text of its own")
        second.repeat(1)
        second.whole_graphs()
        write_chunk(directory, 1, chunk_of(second))


def test_chunks_give_the_same_profile(profile: Profile, tmp_path: Path) -> None:
    spool(tmp_path)
    made = Profile.of(assemble(tmp_path))
    assert len(list(tmp_path.glob("chunk-*.slmpart"))) == 2
    assert made.meta == profile.meta
    for table in TABLES:
        for name, column in getattr(profile, table.NAME).columns().items():
            if name != "path":
                np.testing.assert_array_equal(getattr(made, table.NAME).columns()[name], column)
    for view in ("phases", "ops", "blocks", "memory"):
        pd.testing.assert_frame_equal(getattr(made, view)(), getattr(profile, view)())


@pytest.mark.usefixtures("by_name")
def test_a_chunk_may_refer_to_graphs_of_earlier_chunks(tmp_path: Path) -> None:
    spool(tmp_path)
    assert assemble(tmp_path).runs.graph.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.usefixtures("by_name")
def test_an_early_end_keeps_complete_repeats(tmp_path: Path) -> None:
    spool(tmp_path, n_repeats=1)
    made = Profile.of(assemble(tmp_path, error="killed"))
    assert made.meta.run.complete is False
    assert made.meta.run.n_repeats_done == 1
    assert made.meta.run.error == "killed"
    assert made.phases()["n_samples"].tolist() == [1, 2]


def test_fewer_repeats_than_asked_are_incomplete_without_an_error(tmp_path: Path) -> None:
    spool(tmp_path, n_repeats=1)
    assert assemble(tmp_path).meta.run.complete is False


def test_nothing_but_a_header(tmp_path: Path) -> None:
    write_header(tmp_path, Meta.from_json(example_meta()))
    made = assemble(tmp_path)
    assert not list(tmp_path.glob("chunk-*.slmpart"))
    assert len(made.steps) == 0 and made.meta.run.n_repeats_done == 0
    assert made.meta.run.complete is False


def test_no_header(tmp_path: Path) -> None:
    with pytest.raises(ProfileFormatError, match="before it had described"):
        assemble(tmp_path)


def test_a_header_may_be_written_again(tmp_path: Path) -> None:
    spool(tmp_path)
    meta = example_meta()
    meta["memory"]["rss_peak_bytes"] = 7
    write_header(tmp_path, Meta.from_json(meta))
    assert assemble(tmp_path).meta.memory.rss_peak_bytes == 7


def test_a_temporary_file_of_a_killed_worker_is_no_chunk(tmp_path: Path) -> None:
    spool(tmp_path)
    (tmp_path / ".chunk-000002.slmpart.abc.tmp").write_bytes(b"half")
    assert len(list(tmp_path.glob("chunk-*.slmpart"))) == 2
    assemble(tmp_path)


def test_absent_tables_have_no_rows(tmp_path: Path) -> None:
    write_header(tmp_path, Meta.from_json(example_meta()))
    write_chunk(tmp_path, 0, {"strings": []})
    assert len(assemble(tmp_path).steps) == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"step": [0]}, "no column"),
        ({"step": [0], "kind": [0], "begin_ns": [0], "end_ns": [0], "x": [0]}, "unknown column x"),
        ({"step": [0, 1], "kind": [0], "begin_ns": [0], "end_ns": [0]}, "rows"),
        ({"step": [0], "kind": [256], "begin_ns": [0], "end_ns": [0]}, "does not fit"),
        ({"step": [0.5], "kind": [0], "begin_ns": [0], "end_ns": [0]}, "has type"),
        ({"step": [[0]], "kind": [0], "begin_ns": [0], "end_ns": [0]}, "dimensions"),
    ],
)
def test_bad_chunks_are_refused_when_written(
    columns: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        write_chunk(tmp_path, 0, {"segments": columns})
    assert not list(tmp_path.iterdir())


def test_a_text_that_the_chunk_does_not_have(tmp_path: Path) -> None:
    write_header(tmp_path, Meta.from_json(example_meta()))
    graphs = {"hash": [1], "n_nodes": [0], "backend": [0]}
    write_chunk(tmp_path, 0, {"strings": [], "graphs": graphs})
    with pytest.raises(ProfileFormatError, match="a text that it does not have"):
        assemble(tmp_path)


def test_dropped_events_are_counted(tmp_path: Path) -> None:
    spool(tmp_path, n_repeats=1)
    late = Builder()
    late.repeat(1)
    for run in late.runs.rows:
        run["n_dropped"] = 5
    late.whole_graphs()
    write_chunk(tmp_path, 1, chunk_of(late))
    assert assemble(tmp_path).meta.run.n_dropped == 15


def stat(**values: Any) -> dict[str, Any]:
    row = dict.fromkeys(StatTable.schema(), 0)
    return {**row, "calls": 1, **values}


def test_stats_of_one_op_are_added_up() -> None:
    rows = [
        stat(graph=1, span_sum_ns=5, span_min_ns=5, span_max_ns=5, span_sq_sum=25.0),
        stat(graph=0, span_sum_ns=2, span_min_ns=2, span_max_ns=2, compute_sum_ns=1.5),
        stat(graph=1, span_sum_ns=3, span_min_ns=3, span_max_ns=3, span_sq_sum=9.0),
        stat(graph=1, path=1, span_sum_ns=1),
    ]
    table = StatTable.from_columns({n: [row[n] for row in rows] for n in StatTable.schema()})
    merged = merge_stats(table)
    assert merged.graph.tolist() == [0, 1, 1]
    assert merged.path.tolist() == [0, 0, 1]
    assert merged.calls.tolist() == [1, 2, 1]
    assert merged.span_sum_ns.tolist() == [2, 8, 1]
    assert merged.span_min_ns.tolist() == [2, 3, 0]
    assert merged.span_max_ns.tolist() == [2, 5, 0]
    assert merged.span_sq_sum.tolist() == [0.0, 34.0, 0.0]
    assert merged.compute_sum_ns.tolist() == [1.5, 0.0, 0.0]


def test_merging_merged_stats_changes_nothing() -> None:
    from slmprof.analysis.timing.spans import op_stats

    stats = op_stats(example_profile())
    for name, column in merge_stats(stats).columns().items():
        np.testing.assert_array_equal(column, stats.columns()[name])

"""Real runs: buffers, places and observations agree, and the reconciliation reaches the peak."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpus_run import Corpus
from engines import open_engine

import slmprof
from slmprof.analysis.memory.places import place_table
from slmprof.analysis.memory.reconciliation import BETWEEN, ORIGINALS
from slmprof.analysis.memory.use import memory_report
from slmprof.reporters.documents.records import records
from slmprof.views import Profile, load

ModelMaker = Callable[..., Path]
RUN: dict[str, Any] = {
    "n_prompt": 20,
    "n_gen": 3,
    "n_ctx": 256,
    "repeats": 1,
    "threads": 1,
    "ceilings": "off",
}
MIB = 2**20
POINTS = ["start", "load", "context", "prefill", "decode", "end"]


def check_sums(profile: Profile) -> None:
    """What holds of every run on a system that tells all."""
    report = memory_report(profile)
    found = report.reconciliation
    rows = records(found.rows)
    buffers = records(report.buffers)
    assert sum(row["allocated_bytes"] or 0 for row in rows) == sum(b["size_bytes"] for b in buffers)
    without_work = [row for row in rows if row["kind"] != "work"]
    for row in without_work:
        assert row["predicted_bytes"] == row["allocated_bytes"], row
    assert sum(row["resident_bytes"] for row in rows) == found.peak_bytes
    for row in rows:
        if row["allocated_bytes"] is not None:
            assert 0 <= row["resident_bytes"] <= row["allocated_bytes"], row
    for seen in report.observations:
        for buffer in seen.buffers:
            assert buffer.resident_bytes is not None
            assert 0 <= buffer.resident_bytes <= buffer.size_bytes
            assert 0 <= (buffer.original_resident_bytes or 0) <= buffer.original_bytes
    places = place_table(profile)
    # Nothing lies outside its allocation, and the caches fill theirs.
    sizes = {b.buffer: b.size_bytes for b in report.observations[-1].buffers}
    for row in records(places):
        assert row["offset_bytes"] + row["size_bytes"] <= sizes[row["buffer"]], row
    for kind in ("kv_cache", "recurrent_state"):
        held = places["size_bytes"][places["kind"] == kind].sum()
        assert held == report.caches["size_bytes"][report.caches["kind"] == kind].sum()
        assert 0 <= report.totals[kind] - held < 4096 * max(len(places), 1)


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("repack", [True, False])
def test_a_run_adds_up(small_model: ModelMaker, mmap: bool, repack: bool) -> None:
    path = small_model("llama", "Q4_0")
    profile = slmprof.profile(path, mmap=mmap, repack=repack, **RUN)
    check_sums(profile)
    report = memory_report(profile)
    assert [seen.point for seen in report.observations] == POINTS
    assert [seen.n_past for seen in report.observations] == [0, 0, 0, 20, 23, 23]
    found = report.reconciliation
    assert found.difference_bytes is not None
    between = found.rows["resident_bytes"][found.rows["kind"] == BETWEEN].sum()
    assert abs(found.difference_bytes + between) < 16 * MIB
    types = {buffer.buffer_type for seen in report.observations for buffer in seen.buffers}
    assert ("CPU_Mapped" in types) is mmap
    # Which code a processor has decides whether it repacks at all.
    assert repack or "CPU_REPACK" not in types
    originals = found.rows[found.rows["term"] == ORIGINALS]
    if mmap and "CPU_REPACK" in types:
        # Repacking keeps the size; what was copied is still in the file.
        repacked = found.rows["allocated_bytes"][found.rows["buffer_type"] == "CPU_REPACK"].sum()
        assert 0 < originals["allocated_bytes"].sum() <= repacked
    else:
        assert len(originals) == 0


def test_the_deepest_point_is_observed(small_model: ModelMaker) -> None:
    profile = slmprof.profile(small_model(), n_depth=(100, 0), **RUN)
    report = memory_report(profile)
    seen = {observation.point: observation for observation in report.observations}
    assert (seen["prefill"].n_past, seen["decode"].n_past) == (120, 123)
    assert report.n_past == 123
    assert report.caches["n_used"].tolist() == [123]
    # What one depth is asked for still says what the whole run took.
    at_zero = memory_report(profile.at_depth(0))
    assert at_zero.caches["n_used"].tolist() == [23]
    assert at_zero.reconciliation.peak_bytes == report.reconciliation.peak_bytes


def test_a_sliding_window_has_a_cache_of_its_own(small_model: ModelMaker) -> None:
    profile = slmprof.profile(small_model("gemma2"), **RUN)
    check_sums(profile)
    report = memory_report(profile)
    windows = report.caches["n_swa"].dropna().tolist()
    assert len(report.caches) == 2 and len(windows) == 1
    terms = report.reconciliation.rows["term"].tolist()
    assert {"KV cache", f"sliding-window cache ({windows[0]})"} <= set(terms)


def test_a_session_has_the_same_figures(small_model: ModelMaker) -> None:
    with slmprof.Session(small_model(), n_ctx=256, threads=1) as session:
        session.prefill(10)
        profile = session.profile()
        session.decode(2)
        later = session.profile()
    check_sums(profile)
    points = [seen.point for seen in memory_report(later).observations]
    assert points == ["start", "load", "context", "end"]
    assert len(later.places) == len(profile.places)


def test_an_engine_tells_what_it_is_asked(small_model: ModelMaker) -> None:
    engine = open_engine(small_model(), n_ctx=256)
    assert [seen["point"] for seen in engine.observations()] == ["start", "load", "context"]
    start, loaded, made = engine.observations()
    assert start["buffers"] == [] and start["recorder_bytes"] == 0
    assert {b["kind"] for b in loaded["buffers"]} == {"weights"}
    kinds = {b["kind"] for b in made["buffers"]}
    assert {"weights", "kv_cache", "compute", "output"} <= kinds
    seen = engine.observe("here")
    assert (seen["point"], seen["n_past"]) == ("here", 0)
    sizes: dict[tuple[str, str], int] = {}
    for buffer in seen["buffers"]:
        key = (buffer["kind"], buffer["buffer_type"])
        sizes[key] = sizes.get(key, 0) + buffer["size_bytes"]
    assert sizes == {(b["kind"], b["buffer_type"]): b["size_bytes"] for b in engine.buffers()}
    cache = next(b for b in seen["buffers"] if b["kind"] == "kv_cache")
    # llama.cpp clears its caches, so all of their pages are there.
    assert cache["resident_bytes"] == cache["size_bytes"]


def test_every_architecture_adds_up(corpus: Corpus) -> None:
    kinds = set()
    for name in corpus.headers:
        if name in corpus.failures:
            continue
        profile = load(corpus.profile_path(name, "auto"))
        report = memory_report(profile)
        # One process has run many models: its peak is another's.
        rows = records(report.reconciliation.rows)
        for row in rows:
            # A step may need larger outputs, or a larger graph, than were reserved.
            if row["kind"] in ("weights", "kv_cache", "recurrent_state"):
                assert row["predicted_bytes"] == row["allocated_bytes"], (name, row)
            if row["allocated_bytes"] is not None:
                assert 0 <= row["resident_bytes"] <= row["allocated_bytes"], (name, row)
        assert sum(row["resident_bytes"] for row in rows) == report.reconciliation.peak_bytes
        kinds.update(report.caches["kind"])
    assert kinds == {"kv_cache", "recurrent_state"}

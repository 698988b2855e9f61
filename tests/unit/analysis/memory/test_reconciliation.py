"""Predicted, allocated and resident bytes add up, and what is not known stays unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import example_profile
from memory_builder import KIB, MIB, N_PAST, example_memory, meta_with, observation, with_memory

from slmprof.analysis.memory.places import cache_table, place_table
from slmprof.analysis.memory.reconciliation import ORIGINALS, Reconciliation, reconcile
from slmprof.analysis.memory.use import memory_report
from slmprof.profiles.tables import PlaceTable
from slmprof.reporters.documents.records import records


def reconciled(**memory: Any) -> Reconciliation:
    profile = with_memory(**memory)
    return reconcile(profile.meta, profile.places)


def by_kind(found: Reconciliation) -> dict[str, dict[str, Any]]:
    return {row["term"]: row for row in records(found.rows)}


def test_every_line_of_the_example() -> None:
    found = reconciled()
    assert (found.point, found.n_past, found.peak_bytes) == ("decode", N_PAST, int(15.5 * MIB))
    rows = [
        (
            r["term"],
            r["buffer_type"],
            r["predicted_bytes"],
            r["allocated_bytes"],
            r["resident_bytes"],
        )
        for r in records(found.rows)
    ]
    assert rows == [
        ("weights, memory-mapped", "CPU_Mapped", MIB, MIB, MIB),
        (ORIGINALS, "CPU_Mapped", 2 * MIB, 2 * MIB, 2 * MIB),
        ("weights, repacked", "CPU_REPACK", 2 * MIB, 2 * MIB, 2 * MIB),
        ("KV cache", "CPU", MIB // 2, MIB // 2, MIB // 2),
        ("compute buffer", "CPU", MIB // 2, MIB // 2, MIB // 4),
        ("slmprof's recorder", None, None, None, MIB // 4),
        ("heap since the start", None, None, None, 256 * KIB),
        ("libraries since the start", None, None, None, 128 * KIB),
        ("process before loading", None, None, None, 8 * MIB),
        ("peak between the points", None, None, None, MIB // 2),
        ("difference", None, None, None, 15 * MIB - int(14.375 * MIB)),
    ]  # fmt: skip


@pytest.mark.parametrize("rss_mib", [9.0, 15.0, 15.25, 40.0])
def test_resident_bytes_add_up_to_the_peak(rss_mib: float) -> None:
    """Whatever is observed: the difference takes what is left, with its sign."""
    seen = [observation("start", 8.0), observation("decode", rss_mib)]
    found = reconciled(observations=seen)
    assert found.rows["resident_bytes"].sum() == found.peak_bytes == max(rss_mib, 15.5) * MIB
    assert found.difference_bytes == by_kind(found)["difference"]["resident_bytes"]
    assert (found.difference_bytes or 0) - rss_mib * MIB == -14.375 * MIB


def test_the_point_with_most_of_it_is_described() -> None:
    seen = [observation("start", 8.0), observation("load", 15.25, n_past=0)]
    seen.append(observation("decode", 15.0))
    found = reconciled(observations=seen)
    assert (found.point, found.n_past) == ("load", 0)
    assert by_kind(found)["peak between the points"]["resident_bytes"] == MIB // 4


def test_a_peak_before_all_was_allocated() -> None:
    seen = [observation("start", 8.0), observation("load", 15.25), observation("decode", 15.0)]
    seen[1]["buffers"] = seen[1]["buffers"][:2]
    found = reconciled(observations=seen)
    cache = by_kind(found)["KV cache"]
    assert (cache["allocated_bytes"], cache["resident_bytes"]) == (MIB // 2, 0)
    assert found.rows["allocated_bytes"].sum() == 6 * MIB
    assert found.rows["resident_bytes"].sum() == found.peak_bytes


def test_a_process_that_was_largest_before_loading() -> None:
    """The lines are still those of the model, and the rest of that peak is a line."""
    found = reconciled(observations=[observation("start", 20.0), observation("decode", 15.0)])
    assert found.point == "decode"
    assert by_kind(found)["peak between the points"]["resident_bytes"] == 5 * MIB
    assert found.rows["resident_bytes"].sum() == found.peak_bytes


@pytest.mark.parametrize("missing", ["resident_bytes", "recorder_resident_bytes"])
def test_what_is_not_told_is_not_guessed(missing: str) -> None:
    seen = example_memory()["observations"]
    if missing == "resident_bytes":
        for buffer in seen[-1]["buffers"]:
            buffer["resident_bytes"] = buffer["original_resident_bytes"] = None
    else:
        seen[-1]["recorder_resident_bytes"] = None
    found = reconciled(observations=seen)
    if missing == "resident_bytes":
        assert found.difference_bytes is None
        assert by_kind(found)["compute buffer"]["resident_bytes"] is None
    else:
        # A term that is not told is no line; the difference has it.
        assert found.rows["resident_bytes"].sum() == found.peak_bytes
    assert by_kind(found)["process before loading"]["resident_bytes"] == 8 * MIB


def test_a_system_that_tells_nothing() -> None:
    nothing = {
        name: None
        for name in observation("start", 8.0)
        if name.endswith(("_bytes", "_faults")) and name != "recorder_bytes"
    }
    found = reconciled(observations=[observation("start", 8.0, **nothing)], rss_peak_bytes=None)
    assert (found.point, found.peak_bytes, found.difference_bytes) == (None, None, None)
    assert found.rows["allocated_bytes"].sum() == 6 * MIB
    assert found.rows["resident_bytes"].isna().all()


def test_a_run_that_only_began() -> None:
    found = reconciled(observations=[observation("start", 8.0)])
    assert (found.point, found.difference_bytes) == (None, None)


def test_profiles_of_older_versions() -> None:
    report = memory_report(example_profile())
    assert report.reconciliation.point is None
    assert report.reconciliation.rows["allocated_bytes"].sum() == sum(report.totals.values())
    assert report.reconciliation.rows["predicted_bytes"].isna().all()
    assert len(report.caches) == len(report.observations) == 0


def test_predictions_that_did_not_come_true() -> None:
    def buffer(kind: str, buffer_type: str, size: int) -> dict[str, Any]:
        return {"device": "CPU", "buffer_type": buffer_type, "kind": kind, "size_bytes": size}

    predicted = [buffer("weights", "CPU_Mapped", 4 * MIB), buffer("output", "CPU", MIB)]
    found = reconciled(predicted=predicted)
    rows = by_kind(found)
    assert rows["weights, memory-mapped"]["predicted_bytes"] == 2 * MIB
    assert rows[ORIGINALS]["predicted_bytes"] == 2 * MIB
    assert rows["weights, repacked"]["predicted_bytes"] == 0
    assert rows["output buffer"]["predicted_bytes"] == MIB
    assert rows["output buffer"]["allocated_bytes"] == 0
    assert found.rows["predicted_bytes"].sum() == 5 * MIB
    assert found.rows["resident_bytes"].sum() == found.peak_bytes


def test_a_sliding_window_is_called_one() -> None:
    profile = with_memory()
    windows = profile.places.n_swa.copy()
    windows[-2:] = 32
    found = reconcile(profile.meta, profile.places.replace(n_swa=windows))
    assert "sliding-window cache (32)" in by_kind(found)


def test_sizes_beyond_all_machines_do_not_overflow() -> None:
    huge = [{"device": "CPU", "buffer_type": "CPU", "kind": "compute", "size_bytes": 2**63 - 1}]
    found = reconcile(meta_with(buffers=huge * 3, predicted=huge * 3), PlaceTable.empty())
    assert found.rows["allocated_bytes"].tolist() == [2**63 - 1]


def test_caches_say_what_they_use() -> None:
    (row,) = records(cache_table(with_memory()))
    assert (row["n_cells"], row["n_used"], row["n_layers"]) == (64, N_PAST, 1)
    assert (row["size_bytes"], row["used_bytes"]) == (MIB // 2, MIB // 2 * N_PAST // 64)
    assert (row["kind"], row["types"], row["n_swa"]) == ("kv_cache", ["f16"], None)


def test_a_window_is_full_and_a_state_is_whole() -> None:
    profile = with_memory()
    places = profile.places
    cells = places.n_cells.copy()
    cells[-2:] = 8
    full = cache_table(replace(profile, places=places.replace(n_cells=cells)))
    assert full["used_bytes"].tolist() == full["size_bytes"].tolist() == [MIB // 2]

    kind = places.kind.copy()
    kind[-2:] = len(profile.strings)
    cells[-2:] = 4
    strings = (*profile.strings, "recurrent_state")
    state = replace(profile, strings=strings, places=places.replace(n_cells=cells, kind=kind))
    (row,) = records(cache_table(state))
    assert (row["n_used"], row["used_bytes"]) == (4, MIB // 2)


def test_places() -> None:
    rows = records(place_table(with_memory()))
    assert [row["tensor"] for row in rows][1] == "blk.0.attn_q.weight"
    embedding, cache = rows[0], rows[-1]
    assert embedding["layer"] is None and embedding["shape"] == [1024, 2048]
    assert (embedding["bits_per_weight"], embedding["file_offset_bytes"]) == (4.0, 4096)
    assert embedding["cache"] is embedding["n_cells"] is None
    assert (cache["layer"], cache["cache"], cache["file"], cache["offset_bytes"]) == (
        0, 0, None, MIB // 4,
    )  # fmt: skip


def test_places_of_no_elements() -> None:
    profile = with_memory()
    ne0 = np.zeros(len(profile.places), np.int64)
    table = place_table(replace(profile, places=profile.places.replace(ne0=ne0)))
    assert table["bits_per_weight"].isna().all()

"""What waiting costs, by block and for a step."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from builders import Builder
from op_rows import op_rows
from reports import shown

from slmprof.analysis.tables.waits import COLUMNS, thread_count, wait_table, wait_totals
from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.reporters.documents.parts import Table
from slmprof.reporters.documents.runs.run_tables import waiting
from slmprof.views import Profile


def test_costs_add_up_to_the_time() -> None:
    rows = op_rows(
        {"time_ms": 2.0, "compute_ms": 1.0, "slowest_ms": 1.6, "wait_ms": 0.9},
        {"time_ms": 1.0, "compute_ms": 0.5, "slowest_ms": 0.8, "wait_ms": 0.5},
        {"block": "attention", "time_ms": 1.0, "compute_ms": 1.0, "slowest_ms": 1.0, "wait_ms": 0},
    )
    table = wait_table(rows)
    assert list(table.columns) == list(COLUMNS)
    ffn, attention = table.to_dict("records")
    assert (ffn["block"], attention["block"]) == ("ffn", "attention")
    assert ffn["imbalance"] == pytest.approx(2.4 / 1.5)
    assert ffn["imbalance_ms"] == pytest.approx(0.9)
    assert ffn["barrier_ms"] == pytest.approx(0.6)
    assert ffn["wait_share"] == pytest.approx(1.4 / 3.0)
    assert attention["imbalance"] == 1.0 and attention["barrier_ms"] == 0.0
    (total,) = wait_totals(rows).to_dict("records")
    assert "block" not in total
    assert total["time_ms"] == pytest.approx(
        total["compute_ms"] + total["imbalance_ms"] + total["barrier_ms"]
    )
    assert total["barrier_ms"] == pytest.approx(0.6)


def test_of_the_example(profile: Profile) -> None:
    # Thread 0 works for 80 % of every span and thread 1 for 60 %.
    table = profile.waits()
    assert table["imbalance"].tolist() == pytest.approx([0.8 / 0.7] * len(table))
    assert table["wait_share"].tolist() == pytest.approx([0.3] * len(table))
    assert (table["barrier_ms"] / table["time_ms"]).tolist() == pytest.approx([0.2] * len(table))
    assert table["time_ms"].sum() == pytest.approx(profile.blocks()["time_ms"].sum())
    assert thread_count(profile, 0) == thread_count(profile, 1) == 2


def test_an_unknown_slowest_thread_leaves_its_block_empty_only() -> None:
    table = wait_table(op_rows({"slowest_ms": None}, {"block": "attention"}, {}))
    by_block = table.set_index("block")
    empty = by_block.loc["ffn", ["slowest_ms", "imbalance", "imbalance_ms", "barrier_ms"]]
    assert empty.isna().all()
    assert by_block.loc["attention", "imbalance"] == pytest.approx(0.9 / 0.8)


def test_no_compute_no_time_and_unrecorded_time() -> None:
    idle = {"time_ms": 0.0, "compute_ms": 0.0, "wait_ms": 0.0, "slowest_ms": None}
    table = wait_table(op_rows(idle, {"block": "other", "kernel": "unrecorded", "time_ms": 9.0}))
    (row,) = table.to_dict("records")
    assert (row["block"], row["slowest_ms"], row["barrier_ms"]) == ("ffn", 0.0, 0.0)
    assert pd.isna(row["imbalance"]) and pd.isna(row["wait_share"])
    assert wait_table(op_rows()).empty and wait_totals(op_rows()).empty


def test_section_fits_80_columns_and_needs_threads(profile: Profile) -> None:
    breakdown = break_down(profile)
    (table, _) = waiting(breakdown).parts
    assert isinstance(table, Table)
    assert [row[:2] for row in table.rows if row[1] == "all"] == [
        ("prefill", "all"),
        ("decode", "all"),
    ]
    text = shown(breakdown, is_full=True)
    assert "\nWaiting\n" in text and max(map(len, text.splitlines())) <= 80
    alone = replace(profile, runs=profile.runs.replace(n_threads=profile.runs.n_threads // 2))
    assert break_down(alone).n_threads == {"prefill": 1, "decode": 1}
    assert waiting(break_down(alone)).is_empty


@pytest.mark.usefixtures("by_name")
def test_an_empty_profile_waits_for_nothing() -> None:
    profile = Builder().build()
    assert profile.waits().empty and thread_count(profile, 0) == 0


def test_many_ops_with_huge_times() -> None:
    rows = op_rows(*({"layer": n, "time_ms": 1e300, "slowest_ms": 1e300} for n in range(4)))
    assert wait_table(rows)["barrier_ms"].tolist() == [0.0]

"""Kernels on one thread and on several, and what that says of their bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from ceilings_builder import example_ceilings
from op_rows import op_rows
from reports import data, shown

from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.analysis.work.scaling import COLUMNS, phase_speedups, scales, scaling_table
from slmprof.capture import process, scaling
from slmprof.capture.scaling import compared_threads, measure_scaling
from slmprof.children.protocol import Progress
from slmprof.errors import UsageError
from slmprof.profiles.records.scaling import KernelTime, Scaling
from slmprof.reporters.documents.runs.findings import finding_text
from slmprof.settings.capture import CaptureConfig
from slmprof.views import Profile

ROWS = op_rows(
    {"kernel": "mul_mat_q", "impl": "a", "time_ms": 2.0},
    {"kernel": "mul_mat_q", "impl": "a", "time_ms": 1.0, "layer": 1},
    {"kernel": "mul_mat_q", "impl": "b", "time_ms": 1.0},
    {"kernel": "rope", "impl": "generic", "time_ms": 0.5},
    {"kernel": "unrecorded", "impl": "", "time_ms": 9.0, "block": "other", "part": "unknown"},
)


def other(n_threads: int = 1, **times: float) -> Scaling:
    keys = {"a": "mul_mat_q", "b": "mul_mat_q", "generic": "rope", "gone": "cpy"}
    kernels = (KernelTime("decode", keys[impl], impl, ms) for impl, ms in times.items())
    return Scaling(n_threads, 0, tuple(kernels))


def test_a_kernel_is_compared_with_itself_on_one_thread() -> None:
    table = scaling_table(ROWS, other(a=5.7, b=1.1, gone=0.1), 2)
    assert table.dtypes.astype(str).to_dict() == COLUMNS
    found = {row.impl: row for row in table.itertuples()}
    assert found["a"].single_ms == 5.7 and found["a"].time_ms == 3.0
    assert found["a"].speedup == pytest.approx(1.9)
    assert found["a"].efficiency == pytest.approx(0.95)
    # What ran in one of the two only has no speedup, and time without events is no kernel.
    assert pd.isna(found["generic"].speedup) and pd.isna(found["generic"].single_ms)
    assert pd.isna(found["gone"].time_ms) and "" not in found
    key = ("decode", "mul_mat_q")
    assert scales(table) == {(*key, "a"): True, (*key, "b"): False}
    assert phase_speedups(table) == {"decode": (pytest.approx(6.9 / 4.5), 2)}


def test_a_run_on_one_thread_is_compared_with_all() -> None:
    table = scaling_table(ROWS, other(4, a=0.75), 1)
    row = table.iloc[0]
    assert (row.single_ms, row.time_ms, row.n_threads) == (3.0, 0.75, 4)
    assert row.speedup == 4.0 and row.efficiency == 1.0


@pytest.mark.parametrize(
    ("scaling", "n_threads"), [(None, 2), (other(1, a=1.0), 1), (other(4, a=1.0), 2), (other(), 0)]
)
def test_without_one_thread_on_one_side_nothing_is_compared(
    scaling: Scaling | None, n_threads: int
) -> None:
    if n_threads == 0:
        # Runs of several numbers of threads: the table has their times, which nothing is judged by.
        assert scales(scaling_table(ROWS, scaling, n_threads)) == {}
        return
    table = scaling_table(ROWS, scaling, n_threads)
    assert table.empty and list(table.columns) == list(COLUMNS)
    assert scales(table) == {} and phase_speedups(table) == {}


def scaled(profile: Profile, factor: float, n_depth: int = 0) -> Profile:
    rows = profile.kernels().to_dict("records")
    times = tuple(
        KernelTime(r["phase"], r["kernel"], r["impl"], r["time_ms"] * factor) for r in rows
    )
    meta = profile.meta.replace(scaling=Scaling(1, n_depth, times), ceilings=example_ceilings())
    return replace(profile, meta=meta)


def test_it_is_shown_told_and_in_the_json(profile: Profile) -> None:
    made = scaled(profile, 1.05)
    breakdown = break_down(made)
    texts = [finding_text(one) for one in breakdown.diagnosis if one.topic == "limit"]
    assert len(texts) == 2
    assert all("2 threads make it 1.05x as fast as one" in text for text in texts)
    for chosen in ({"by": "kernel"}, {"is_full": True}):
        text = shown(made, **chosen).partition("\nScaling\n")[2]
        assert text.splitlines()[0].split()[:4] == ["phase", "code", "that", "ran"]
        assert "1 thread" in text and "2 threads" in text and "1.05" in text
    rows: list[dict[str, Any]] = data(made)["scaling"]
    assert [row["speedup"] for row in rows] == pytest.approx([1.05] * len(rows))
    assert "scaling" not in data(profile)
    assert len(made.scaling()) == len(rows) and profile.scaling().empty
    # Of another depth, it says nothing of this one.
    assert scaled(profile, 1.05, n_depth=512).scaling().empty


def test_one_core_has_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "usable_cores", lambda: 1)
    assert compared_threads(2) == 1
    with pytest.raises(UsageError, match="one core"):
        compared_threads(1)
    config = CaptureConfig("m.gguf", threads=1, scaling=True)
    # It is told before anything is measured.
    with pytest.raises(UsageError, match="one core"):
        process.profile_in_worker(config, lambda _: None)


@pytest.mark.parametrize(("threads", "wanted"), [(2, 1), (1, 4)])
def test_the_other_run_is_a_short_one_of_the_same_kind(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, threads: int, wanted: int
) -> None:
    monkeypatch.setattr(scaling, "usable_cores", lambda: 4)
    asked: list[CaptureConfig] = []
    progress: list[Progress] = []

    def measure(config: CaptureConfig, on_progress: Callable[[Progress], None]) -> Profile:
        asked.append(config)
        on_progress(Progress("repeat 1", 1, 2))
        return profile

    config = CaptureConfig(
        "m.gguf",
        threads=threads,
        n_depth=(512, 64),
        repeats=9,
        processes=3,
        scaling=True,
        n_gen=7,
        energy=True,
    )
    found = measure_scaling(config, measure, progress.append)
    (other_config,) = asked
    assert (other_config.threads, other_config.n_depth, other_config.repeats) == (wanted, 64, 3)
    assert (other_config.processes, other_config.ceilings) == (1, "off")
    assert not other_config.scaling and not other_config.energy
    assert other_config.n_gen == 7 and other_config.n_ctx_made == config.n_ctx_made
    assert (found.n_threads, found.n_depth) == (wanted, 64)
    assert len(found.kernels) == len(profile.kernels())
    assert progress[0].stage.startswith(f"on {wanted} thread") and not progress[0].is_timed

"""Points of a sweep side by side: what tells them apart, their order, their table."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from depth_builder import profile_at, with_config

from slmprof.analysis.verdicts.sweep import in_order, summarize_point, sweep_table, varying
from slmprof.commands.main import main


def point_of(file: str, **config: Any) -> Any:
    return summarize_point(file, with_config(profile_at((0, 512)), **config))


def test_what_varies_tells_the_points_apart() -> None:
    points = [point_of("a", threads=2, type_k="f16"), point_of("b", threads=10, type_k="f16")]
    assert varying(points) == ("threads",)
    assert varying([*points, point_of("c", threads=2, type_k="f16")]) == ("threads", "file")
    assert varying(points[:1]) == () and varying([]) == ()


def test_points_stand_in_the_order_of_their_settings() -> None:
    points = [point_of("a", threads=10), point_of("b", threads=2), point_of("c", threads=None)]
    assert [point.file for point in in_order(points)] == ["b", "a", "c"]


def test_the_table_of_points() -> None:
    table = sweep_table([point_of("a", threads=2)])
    assert len(table) == 4
    assert {"file", "model", "threads", "phase", "n_depth", "rss_peak_bytes"} <= set(table.columns)
    profile = profile_at((0, 512))
    for row in table.to_dict("records"):
        (summary,) = (
            s for s in profile.at_depth(row["n_depth"]).phase_summaries if s.phase == row["phase"]
        )
        assert summary.latency_ms is not None
        assert row["latency_ms"] == summary.latency_ms.median
        assert row["total_ms"] == pytest.approx(row["attention_ms"] + row["lm_head_ms"])


def test_wide_sweeps_keep_to_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(2):
        profile = with_config(
            profile_at((0, 512)),
            n_prompt=16 + i, n_gen=i, n_ctx=2048 + i, n_batch=2048 + i, n_ubatch=512 + i,
            threads=2 + i, flash_attn="on", type_k=("f16", "q8_0")[i], repeats=1 + i,
        )  # fmt: skip
        profile.save(tmp_path / f"{'a_long_name_' * 8}{i}.slmprof")
    assert main(["sweep", "--show", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    # The blocks of both phases stand in tables of their own.
    assert sum("512" in line for line in lines) == 8
    assert sum("attention" in line and "lm_head" in line for line in lines) == 2
    # Their unit stands below the names of the blocks, beside the title of the first column.
    heads = [below for line, below in pairwise(lines) if "attention" in line]
    assert all("file" in line and "ms/token" in line for line in heads)

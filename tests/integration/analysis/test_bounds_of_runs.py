"""Captures beside the ceilings of the machine: bounds in the result, and files that do not hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import slmprof
from slmprof.machine.ceilings import cache_path, ceilings, fingerprint
from slmprof.system.cores import usable_cores

ModelMaker = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("two_cores")


@pytest.mark.usefixtures("any_load")
def test_ops_have_a_bound_and_a_share_of_their_ceiling(small_model: ModelMaker) -> None:
    profile = slmprof.profile(small_model(), n_prompt=16, n_gen=3, repeats=1, threads=2)
    assert profile.meta.ceilings.n_threads == 2
    ops = profile.ops()
    words = {"memory", "cache", "compute", "kernel", "sync", "unexplained"}
    assert set(ops["bound"].dropna()) <= words
    assert ops["bound"].notna().all()
    # Of a roof that is exceeded, as one that was measured beside another load, there is no share.
    assert ops["ceiling_share"].notna().any()
    assert (ops["ceiling_share"].dropna() >= 0).all()


def test_without_ceilings_nothing_is_bound(small_model: ModelMaker) -> None:
    profile = slmprof.profile(
        small_model(), n_prompt=16, n_gen=3, repeats=1, threads=2, ceilings="off"
    )
    assert profile.meta.ceilings is None
    assert profile.ops()["bound"].isna().all()
    assert profile.ops()["flops"].notna().all()


def test_ceilings_of_another_machine_are_refused(small_model: ModelMaker, tmp_path: Path) -> None:
    ceilings(2)  # measured and kept, if they were not yet
    document = json.loads(cache_path(2, fingerprint()).read_text())
    document["fingerprint"]["cpu"] = "Another CPU"
    path = tmp_path / "other.json"
    path.write_text(json.dumps(document))
    command = [sys.executable, "-m", "slmprof", "breakdown", str(small_model()), "--threads", "2"]
    answer = subprocess.run(
        [*command, "--ceilings", str(path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "another machine" in answer.stderr and "Another CPU" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other"}', "\0"])
def test_a_file_that_holds_no_ceilings_is_refused(
    small_model: ModelMaker, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(slmprof.SlmprofError, match=r"broken\.json"):
        slmprof.profile(small_model(), n_prompt=4, n_gen=1, repeats=1, ceilings=str(path))


def test_an_exact_clock_is_a_setting_of_a_capture(small_model: ModelMaker) -> None:
    profile = slmprof.profile(
        small_model(), n_prompt=16, n_gen=2, repeats=1, threads=2, clock="exact", ceilings="off"
    )
    assert profile.meta.config.clock == "exact"
    assert (profile.events.resume_ns[profile.events.convert >= 0] > 0).all()
    with pytest.raises(slmprof.UsageError, match="clock"):
        slmprof.profile(small_model(), clock="sundial")


def test_memory_is_measured_beside_the_passes_and_not_counted_as_the_runs(
    small_model: ModelMaker,
) -> None:
    profile = slmprof.profile(small_model(), n_prompt=16, n_gen=3, repeats=2, threads=2)
    bandwidth = profile.meta.bandwidth
    assert bandwidth is not None and bandwidth.n_threads == 2
    assert [sample.point for sample in bandwidth.samples] == ["warm-up", "repeat", "repeat"]
    memory = profile.meta.memory
    seen = max(one.rss_bytes or 0 for one in memory.observations)
    if seen and memory.rss_peak_bytes is not None:
        assert memory.rss_peak_bytes - seen < bandwidth.working_set_bytes / 2
    without = slmprof.profile(small_model(), n_prompt=16, n_gen=3, repeats=1, ceilings="off")
    assert without.meta.bandwidth is None
    with slmprof.Session(small_model()) as session:
        session.prefill(4)
        assert session.profile().meta.bandwidth is None


@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_on_one_thread_and_on_several(
    small_model: ModelMaker, tmp_path: Path, threads: int
) -> None:
    profile = slmprof.profile(
        small_model(),
        n_prompt=16,
        n_gen=3,
        repeats=1,
        threads=threads,
        n_depth=(8, 0),
        scaling=True,
    )
    profile.save(tmp_path / "run.slmprof")
    table = slmprof.load(tmp_path / "run.slmprof").scaling()
    assert set(table["phase"]) == {"prefill", "decode"}
    assert set(table["n_threads"]) == {usable_cores() if threads == 1 else 2}
    # The same model runs the same code; on one thread attention may go another way.
    known = table.dropna(subset=["speedup"])
    assert len(known) >= len(table) / 2
    assert ((known["single_ms"] > 0) & (known["speedup"] > 0)).all()
    # The run itself is what it was: one number of threads, and all that it asked for.
    assert set(profile.runs.n_threads.tolist()) == {threads}
    assert profile.depths == (0, 8) and profile.at_depth(8).scaling().empty

"""The worker process: what it measures, and every way in which it can end."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import run

import slmprof
from slmprof.analysis.timing import disturbance
from slmprof.children.protocol import Progress
from slmprof.profiles.data import ProfileData
from slmprof.profiles.vocabulary import PASS_OP

ModelMaker = Callable[..., Path]
SETTINGS = {"n_prompt": 20, "n_gen": 4, "repeats": 3, "n_ctx": 256, "threads": 1}


def all_children() -> set[int]:
    """Process ids of this process's children; none where the system does not tell."""
    return {
        int(child)
        for tasks in [Path("/proc/self/task")]
        for task in (tasks.iterdir() if tasks.exists() else [])
        for child in (task / "children").read_text().split()
    }


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `children` count those only that the test itself started."""
    monkeypatch.setattr(sys.modules[__name__], "_before", all_children())


_before: set[int] = set()


def children() -> list[int]:
    """Process ids of the children that this test has started and not yet ended."""
    return sorted(all_children() - _before)


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finding the worker needs /proc"
)


@pytest.mark.parametrize("command", ["breakdown", "sweep", "compare"])
@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--type-k", "x/y", "no cache type 'x/y'"),
        ("--override-tensor", "blk=Moon", "no buffer type 'Moon'"),
        ("--n-ctx", 2**31 - 1, "too large for this machine"),
    ],
)
def test_what_cannot_run_is_refused_before_ceilings_are_measured(
    command: str, option: str, value: str, reason: str, tmp_path: Path, small_model: ModelMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cache = tmp_path / "cache"
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(cache))
    model = small_model()
    more = {"sweep": ("-o", tmp_path / "swept"), "compare": (model, "--processes", 1)}
    options = ("--threads", 1, "--ceilings", "auto", option, value)
    answer = run(command, model, *more.get(command, ()), *options)
    assert answer.returncode != 0 and reason in answer.stderr
    assert not list(cache.glob("*")), answer.stderr


@pytest.mark.usefixtures("two_cores")
def test_a_profile_holds_together(small_model: ModelMaker) -> None:
    stages: list[Progress] = []
    settings = {**SETTINGS, "threads": 2}
    profile = slmprof.profile(small_model(), on_progress=stages.append, **settings)
    run = profile.meta.run
    assert run.complete is True
    assert run.n_repeats_done == 3
    assert run.n_dropped == 0
    assert profile.meta.model.random_weights is True
    assert [stage.done for stage in stages] == sorted(stage.done for stage in stages)
    assert stages[-1].done == stages[-1].total
    phases = profile.phases().set_index("phase")
    assert phases["n_samples"].to_dict() == {"prefill": 3, "decode": 12}
    for view in (profile.blocks(), profile.layers(), profile.kernels(), profile.ops()):
        sums = view.groupby("phase")["time_ms"].sum()
        for phase in ("prefill", "decode"):
            assert sums[phase] == pytest.approx(phases["segments_ms.ops"][phase], rel=1e-9)
    assert set(profile.ops()["block"]) == {"embedding", "attention", "ffn", "lm_head"}
    warmup = profile.steps.pass_ == 0
    assert warmup.any()
    assert profile.steps.repeat[~warmup].max() == 2
    assert children() == []


def test_the_settings_stored_are_those_used(small_model: ModelMaker) -> None:
    profile = slmprof.profile(
        small_model(),
        flash_attn="off",
        mmap=False,
        repack=False,
        type_k="f32",
        **{**SETTINGS, "n_ctx": 250},
    )
    config = profile.meta.config
    assert config.n_ctx == 256  # llama.cpp pads it
    assert config.n_batch <= 256
    assert config.flash_attn == "off"
    assert config.events == "all"  # not auto, as asked
    assert config.mmap is False
    assert config.repack is False
    assert (config.type_k, config.type_v) == ("f32", "f16")


def test_depth_and_memory(small_model: ModelMaker) -> None:
    profile = slmprof.profile(small_model(), n_depth=64, **SETTINGS)
    assert set(profile.steps.n_past[profile.steps.phase == 0].tolist()) == {64}
    assert set(profile.steps.n_past[profile.steps.phase == 1].tolist()) == {84, 85, 86, 87}
    memory = profile.memory().set_index("kind")["size_bytes"]
    # K and V of 3 layers, 256 positions of 256 f16 numbers each.
    assert memory["kv_cache"] == 2 * 3 * 256 * 256 * 2
    assert memory["output"] >= 512 * 4
    assert profile.meta.memory.rss_peak_bytes > 0


def op_step_keys(profile: ProfileData) -> list[tuple[int, int, int] | None]:
    """Phase, repeat and number of each step of an op pass; None for others."""
    steps = profile.steps
    columns = (steps.pass_, steps.phase, steps.repeat, steps.index)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [row[1:] if row[0] == PASS_OP else None for row in rows]


@pytest.mark.usefixtures("two_cores")
def test_both_kinds_of_events_tell_of_the_same_ops(
    small_model: ModelMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two runs take different times; what ran, how often, by which code and with how much work is
    # the same, and either way its times add up to the whole.
    what = ["phase", "tensor", "op", "part", "kernel", "impl", "layer", "block", "dtypes"]
    figures = ["calls", "flops", "bytes", "weight_bytes"]
    tables = []
    for events in ("aggregate", "all"):
        profile = slmprof.profile(small_model(), events=events, **{**SETTINGS, "threads": 2})
        if events == "aggregate":
            apart = profile.steps.set_apart
            left_out = {
                key for key, is_apart in zip(op_step_keys(profile), apart, strict=True) if is_apart
            }
        else:
            # Which steps were disturbed differs from run to run.
            counted = [key is not None and key not in left_out for key in op_step_keys(profile)]
            monkeypatch.setattr(disturbance, "_find", lambda _, found=counted: np.array(found))
        assert (len(profile.events) == 0) == (len(profile.stats) > 0) == (events == "aggregate")
        phases = profile.phases().set_index("phase")
        ops = profile.ops()
        for phase, time_ms in ops.groupby("phase")["time_ms"].sum().items():
            assert time_ms == pytest.approx(phases["segments_ms.ops"][phase], rel=1e-9)
        assert (ops["time_ms"] >= 0).all() and (ops["compute_ms"] > 0).any()
        assert not (ops["compute_ms"] > ops["slowest_ms"] * (1 + 1e-12)).any()
        tables.append(ops[what + figures].sort_values(what, ignore_index=True))
    assert len(tables[0]) > 50 and "decode" in set(tables[0]["phase"])
    pd.testing.assert_frame_equal(*tables)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGINT])
def test_a_dead_worker_is_an_error_and_loses_no_complete_repeat(
    small_model: ModelMaker, number: signal.Signals
) -> None:
    def kill(progress: Progress) -> None:
        if progress.stage.startswith("repeat 3"):
            for child in children():
                os.kill(child, number)

    with pytest.raises(slmprof.EngineError, match=number.name) as caught:
        # A third repeat long enough to be hit.
        slmprof.profile(
            small_model(), on_progress=kill, **{**SETTINGS, "n_gen": 200, "repeats": 50}
        )
    assert caught.value.log_lines
    partial = caught.value.profile
    assert partial is not None
    assert partial.meta.run.complete is False
    assert partial.meta.run.n_repeats_done == 2
    assert number.name in partial.meta.run.error
    assert len(partial.blocks()) > 0
    assert children() == []


@needs_proc
def test_a_timeout_ends_the_worker(small_model: ModelMaker) -> None:
    with pytest.raises(slmprof.EngineError, match="--timeout") as caught:
        slmprof.profile(small_model(), timeout=10, **{**SETTINGS, "repeats": 100_000})
    partial = caught.value.profile
    assert partial is not None and partial.meta.run.complete is False
    assert partial.meta.run.n_repeats_done >= 1
    assert "--timeout" in partial.meta.run.error
    assert children() == []


@needs_proc
def test_an_exception_of_the_caller_ends_the_worker(small_model: ModelMaker) -> None:
    def fail(progress: Progress) -> None:
        if progress.stage.startswith("repeat 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        slmprof.profile(small_model(), on_progress=fail, **SETTINGS)
    assert children() == []


@needs_proc
def test_no_orphan_when_the_parent_is_killed(small_model: ModelMaker, tmp_path: Path) -> None:
    import subprocess

    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, slmprof\n"
        "def show(progress):\n"
        "    if progress.stage.startswith('repeat 1'):\n"
        "        text = open('/proc/self/task/%d/children' % os.getpid()).read()\n"
        "        print(text, flush=True)\n"
        "slmprof.profile(sys.argv[1], on_progress=show, repeats=100000, n_ctx=256)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script), str(small_model())],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline().split()[0])
    assert list(tmp_path.glob("slmprof-*"))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and Path(f"/proc/{worker}").exists():
        state = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":  # dead; whoever inherited it has not yet asked for its status
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{worker}").exists()
    assert list(tmp_path.glob("slmprof-*")) == []  # nor what the parent had made for it


def test_session_in_this_process(small_model: ModelMaker) -> None:
    with slmprof.Session(small_model(), n_ctx=256, threads=1) as session:
        assert session.prefill(20).shape == (1,)
        assert session.decode(5).shape == (5,)
        session.decode(5, observe=False)
        assert session.n_past == 30
        profile = session.profile()
    assert set(profile.phases()["phase"]) == {"prefill", "decode"}
    assert np.all(profile.ops()["time_ms"] >= 0)
    with pytest.raises(slmprof.UsageError, match="closed"):
        session.prefill(1)


def test_session_errors(small_model: ModelMaker, tmp_path: Path) -> None:
    with slmprof.Session(small_model(), n_ctx=256) as session:
        with pytest.raises(slmprof.UsageError, match="context"):
            session.prefill(257)
        prompt = tmp_path / "prompt.txt"
        prompt.write_text("hello")
        with pytest.raises(slmprof.UsageError, match="no vocabulary"):
            session.read_prompt(prompt)
        with pytest.raises(slmprof.UsageError, match="cannot read"):
            session.read_prompt(tmp_path / "missing.txt")
    with pytest.raises(slmprof.UsageError, match="no setting"):
        slmprof.Session(small_model(), n_batches=3)


def test_a_session_takes_numbers_and_ids_and_nothing_else(small_model: ModelMaker) -> None:
    with slmprof.Session(small_model(), n_ctx=256) as session:
        assert session.prefill(np.int64(5)).shape == (1,)  # type: ignore[arg-type]
        assert session.decode([1, 2, 3]).shape == (3,)
        for tokens in (0, -1, True, [1.5], [[1]], [], [2**40], [-(2**32) + 1]):
            with pytest.raises(slmprof.UsageError):
                session.prefill(tokens)  # type: ignore[arg-type]
        assert session.n_past == 8


def test_an_interrupted_session_goes_on(small_model: ModelMaker) -> None:
    with slmprof.Session(small_model(), n_ctx=8192, threads=1) as session:

        def interrupt() -> None:
            while session.n_past < 3:
                pass
            _thread.interrupt_main()

        watcher = threading.Thread(target=interrupt)
        with pytest.raises(KeyboardInterrupt):
            watcher.start()
            session.decode(8000)
        watcher.join()
        n_done = session.n_past
        assert session.decode(4).shape == (4,)
        phases = session.profile().phases()
    assert phases["attributed_share"].min() > 0.5
    assert n_done < 8000


def test_a_timeout_beyond_all_clocks_is_none(small_model: ModelMaker) -> None:
    profile = slmprof.profile(small_model(), timeout=1e300, **{**SETTINGS, "repeats": 1})
    assert profile.meta.run.complete is True


def test_an_unexpected_exception_in_the_worker_is_one_line(
    small_model: ModelMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import slmprof.capture.passes as passes\n"
        "def fail(*_):\n    raise KeyError('nobody expected this')\n"
        "passes.Passes._pass = fail\n"
    )
    package_root = Path(slmprof.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package_root), str(tmp_path)]))
    with pytest.raises(slmprof.CaptureError, match="unexpected KeyError") as caught:
        slmprof.profile(small_model(), **SETTINGS)
    assert "Traceback" not in str(caught.value)


def test_several_processes_are_one_profile(small_model: ModelMaker) -> None:
    profile = slmprof.profile(small_model(), processes=2, **SETTINGS)
    assert profile.steps.process.tolist() == sorted(profile.steps.process.tolist())
    assert set(profile.steps.process.tolist()) == {0, 1}
    assert profile.meta.run.n_repeats_done == 6 and profile.meta.config.processes == 2
    phases = profile.phases().set_index("phase")
    assert phases["n_samples"].to_dict() == {"prefill": 6, "decode": 24}
    one = slmprof.profile(small_model(), **SETTINGS)
    assert len(profile.graphs) == len(one.graphs)
    what = ["phase", "op", "tensor", "layer", "impl"]
    assert sorted(map(str, profile.ops()[what].to_numpy())) == sorted(
        map(str, one.ops()[what].to_numpy())
    )

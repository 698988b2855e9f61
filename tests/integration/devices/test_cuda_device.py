"""Runs on a CUDA device: what its kernels are joined to, its memory, and what goes wrong.

`python -m pytest -m gpu` runs these alone; benchmarks/cuda/all.sh does, on a machine with a GPU.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from plans import differences

import slmprof
from slmprof import _core
from slmprof.analysis.timing.devices import serialized_devices, traced
from slmprof.analysis.timing.traces import LEAST_JOINED, summarize_traces

ModelMaker = Callable[..., Path]

ARCHITECTURES = ("llama", "qwen2", "gemma2", "gptneox")
SETTINGS = {"n_prompt": 40, "n_gen": 16, "repeats": 3, "threads": 1, "ceilings": "off"}


def _has_gpu() -> bool:
    return any(device["name"].startswith("CUDA") for device in _core.devices())


needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not _core.build_info()["cuda"], reason="this build has no CUDA (GGML_CUDA)"),
    pytest.mark.skipif(
        _core.build_info()["cuda"] and not _has_gpu(), reason="this machine has no NVIDIA GPU"
    ),
]


def gpu(test: Callable[..., None]) -> Callable[..., None]:
    """A test that needs a GPU."""
    for mark in needs_gpu:
        test = mark(test)
    return test


@gpu
@pytest.mark.parametrize("cuda_graphs", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_find_their_ops(
    small_model: ModelMaker, architecture: str, cuda_graphs: bool
) -> None:
    profile = slmprof.profile(
        small_model(architecture), device="cuda", cuda_graphs=cuda_graphs, **SETTINGS
    )
    assert traced(profile) and serialized_devices(profile) == ()
    for trace in summarize_traces(profile):
        assert trace.joined_share >= LEAST_JOINED
        assert trace.counts["n_dropped"] == trace.counts["n_misplaced"] == 0
        assert trace.counts["n_misnamed"] == trace.counts["n_untimed"] == 0
        if not cuda_graphs:
            assert trace.ways["launched"] == trace.n_kernels - trace.counts["n_stray"]
    decode = next(trace for trace in summarize_traces(profile) if trace.phase == "decode")
    if cuda_graphs:
        assert decode.ways["launched"] < decode.n_kernels  # tokens are replays
    phases = profile.phases().set_index("phase")
    for phase in ("prefill", "decode"):
        ops = profile.ops()
        assert ops.loc[ops["phase"] == phase, "time_ms"].sum() == pytest.approx(
            phases.loc[phase, "segments_ms.ops"], rel=1e-9
        )
        assert phases.loc[phase, "attributed_share"] > 0.99


@gpu
def test_events_and_statistics_are_of_the_same_ops(small_model: ModelMaker) -> None:
    kept, counted = (
        slmprof.profile(small_model(), device="cuda", events=events, **SETTINGS)
        for events in ("all", "aggregate")
    )
    names = ["phase", "op", "kernel", "tensor"]
    assert sorted(map(tuple, kept.ops()[names].to_numpy().tolist())) == sorted(
        map(tuple, counted.ops()[names].to_numpy().tolist())
    )
    assert len(kept.launches) > 0 and len(counted.launches) == 0


@gpu
def test_a_model_in_part_on_the_device(small_model: ModelMaker) -> None:
    profile = slmprof.profile(small_model(), device="cuda", n_gpu_layers=2, **SETTINGS)
    ran = set(profile.ops()["device"].dropna())
    assert "CPU" in ran and any(name.startswith("CUDA") for name in ran)
    assert len(profile.copies) > 0
    for trace in summarize_traces(profile):
        assert trace.joined_share >= LEAST_JOINED


@gpu
@pytest.mark.parametrize("n_gpu_layers", [0, 1, 2, -1])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_predicted_is_allocated(
    small_model: ModelMaker, architecture: str, n_gpu_layers: int
) -> None:
    assert (
        differences(small_model(architecture), devices=["CUDA0"], n_gpu_layers=n_gpu_layers) == []
    )


@gpu
def test_without_cupti_ops_run_one_by_one(
    small_model: ModelMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libcupti.so.13").write_bytes(b"nothing")
    monkeypatch.setenv("SLMPROF_CUPTI", str(tmp_path))
    profile = slmprof.profile(small_model(), device="cuda", **SETTINGS)
    if serialized_devices(profile):
        warnings = " ".join(profile.meta.environment.warnings)
        assert "kernels are not recorded" in warnings
    else:
        assert traced(profile)  # the loader's own path has one


@gpu
def test_a_device_that_does_not_exist(small_model: ModelMaker) -> None:
    answer = run("breakdown", small_model(), "--device", "cuda:99")
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1 and "CUDA99" in answer.stderr


@gpu
def test_more_than_the_device_has(small_model: ModelMaker) -> None:
    free = max(d["memory_free_bytes"] for d in _core.devices() if d["name"].startswith("CUDA"))
    n_ctx = free // 256  # far more than there is, at a few hundred bytes a token
    answer = run("breakdown", small_model(), "--device", "cuda", "--n-ctx", min(n_ctx, 2**30))
    assert answer.returncode != 0
    assert answer.stderr.count("\n") == 1


@gpu
def test_the_file_shows_without_a_gpu(small_model: ModelMaker, tmp_path: Path) -> None:
    path = tmp_path / "run.slmprof"
    answer = run("breakdown", small_model(), "--device", "cuda", "--save", path, "--n-gen", 8)
    assert answer.returncode == 0, answer.stderr
    shown = run("show", path, "--format", "json", env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    made = json.loads(shown.stdout)
    assert made["traces"] and {trace["phase"] for trace in made["traces"]} == {"prefill", "decode"}
    assert all(np.isfinite(trace["joined_share"]) for trace in made["traces"])


@pytest.mark.skipif(not _core.build_info()["cuda"], reason="this build has no CUDA (GGML_CUDA)")
@pytest.mark.skipif(_core.build_info()["cuda"] and _has_gpu(), reason="this machine has a GPU")
def test_a_build_with_cuda_works_where_there_is_no_gpu(small_model: ModelMaker) -> None:
    assert run("breakdown", small_model(), "--n-gen", 4).returncode == 0
    answer = run("breakdown", small_model(), "--device", "cuda")
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1 and "CUDA finds no GPU" in answer.stderr


@pytest.mark.skipif(_core.build_info()["cuda"], reason="this build has CUDA")
def test_a_build_without_cuda_says_so(small_model: ModelMaker) -> None:
    for command in ("breakdown", "memory"):
        answer = run(command, small_model(), "--device", "cuda")
        assert answer.returncode == 2
        assert answer.stderr.count("\n") == 1
        assert "GGML_CUDA=ON" in answer.stderr

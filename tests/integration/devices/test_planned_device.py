"""A GPU that is not there: what llama.cpp would put on it, and that nothing runs on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from engines import make_settings, open_engine
from gguf_files import write_moe

import slmprof
from slmprof import _core
from slmprof.planning.process import plan_memory

ModelMaker = Callable[..., Path]

GPU = "planned:CUDA0"


def plan(path: Path, **settings: Any) -> _core.Plan:
    native = make_settings(path, **{"devices": [GPU], "n_gpu_layers": -1, **settings})
    return _core.Planner(native).plan(native)


def sizes(plan: _core.Plan) -> dict[tuple[str, str], int]:
    return {(b["kind"], b["buffer_type"]): b["size_bytes"] for b in plan["buffers"]}


def on(plan: _core.Plan, device: str) -> set[str]:
    return {b["kind"] for b in plan["buffers"] if b["device"] == device}


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2", "bloom", "gptneox"])
def test_all_layers_go_there_but_the_rows_of_the_embedding(
    small_model: ModelMaker, architecture: str
) -> None:
    native = make_settings(small_model(architecture), devices=[GPU], n_gpu_layers=-1)
    planner = _core.Planner(native)
    found = planner.plan(native)
    assert {"weights", "kv_cache", "compute"} <= on(found, GPU)
    assert "kv_cache" not in on(found, "CPU")
    weights = planner.weights()
    here = {n for n, d in zip(weights["name"], weights["device"], strict=True) if d == "CPU"}
    assert "token_embd.weight" in here
    assert all(name.startswith("token_embd") for name in here)


def test_weights_for_the_cpu_are_mapped_or_lie_where_the_gpu_reaches_them(
    small_model: ModelMaker,
) -> None:
    mapped, copied = (sizes(plan(small_model(), use_mmap=mmap)) for mmap in (True, False))
    assert ("weights", "CPU_Mapped") in mapped
    assert ("weights", "CUDA_Host") in copied
    for found in (mapped, copied):
        assert ("compute", "CUDA_Host") in found
        assert ("output", "CUDA_Host") in found
        assert ("weights", "CPU_REPACK") not in found


def test_what_a_gpu_reaches_in_the_hosts_memory_is_the_hosts(small_model: ModelMaker) -> None:
    found = plan(small_model(), use_mmap=False)
    devices = {b["device"] for b in found["buffers"] if b["buffer_type"] == "CUDA_Host"}
    assert devices == {"CPU"}


def test_rows_of_quantized_weights_are_padded_there(small_model: ModelMaker) -> None:
    native = make_settings(small_model(), devices=[GPU], n_gpu_layers=-1)
    planner = _core.Planner(native)
    weights, buffer = planner.weights(), sizes(planner.plan(native))["weights", "CUDA0"]
    there = np.array(weights["device"]) == GPU
    plain = int(weights["size_bytes"][there].sum())
    # 512 values at most of each tensor, and 128 bytes of alignment.
    assert plain < buffer <= plain + int(there.sum()) * (2 * 512 + 128)


def test_some_layers_go_there_and_their_caches_with_them(small_model: ModelMaker) -> None:
    none, one, every = (plan(small_model(), n_gpu_layers=n) for n in (0, 2, -1))
    caches = [sizes(found).get(("kv_cache", "CUDA0"), 0) for found in (none, one, every)]
    assert caches[0] == 0 < caches[1] < caches[2]
    assert on(none, GPU) == {"compute"}  # products of a long prompt go there all the same


def test_flash_attention_is_left_out_where_a_gpu_has_no_kernel_for_the_head(
    small_model: ModelMaker,
) -> None:
    assert plan(small_model())["context"]["flash_attn"]
    narrow = small_model("llama", head_dim=32, n_head=8, n_head_kv=8)
    assert not plan(narrow)["context"]["flash_attn"]


def test_caches_of_8_bits_are_converted_behind_the_result(small_model: ModelMaker) -> None:
    def growth(**types: str) -> int:
        """What twice the context adds to the compute buffer."""
        larger, smaller = (
            sizes(plan(small_model(), flash_attn=1, n_ctx=n_ctx, **types))["compute", "CUDA0"]
            for n_ctx in (16384, 8192)
        )
        return larger - smaller

    both = 2 * 8192 * 4 * 64 * 2  # keys and values in 16 bits
    assert growth(type_k="q8_0", type_v="q8_0") - growth() == both


def test_two_of_them_share_a_model(small_model: ModelMaker) -> None:
    found = plan(small_model(), devices=[GPU, "planned:CUDA1"])
    assert {("kv_cache", "CUDA0"), ("kv_cache", "CUDA1")} <= set(sizes(found))
    halves = plan(small_model(), devices=[GPU, "planned:CUDA1"], tensor_split=[1.0, 0.0])
    assert ("kv_cache", "CUDA1") not in sizes(halves)


def test_overrides_name_buffers_as_a_build_with_a_gpu_would(tmp_path: Path) -> None:
    path = write_moe(tmp_path / "moe.gguf")
    native = make_settings(
        path,
        devices=[GPU],
        n_gpu_layers=-1,
        tensor_overrides=[("exps", "CPU"), ("token_embd", "CUDA0")],
    )
    weights = _core.Planner(native).weights()
    places = dict(zip(weights["name"], weights["device"], strict=True))
    assert {d for n, d in places.items() if "exps" in n} == {"CPU"}
    assert places["token_embd.weight"] == GPU


def test_nothing_runs_on_it(small_model: ModelMaker) -> None:
    with pytest.raises(ValueError, match="plans alone"):
        open_engine(small_model(), devices=[GPU])
    with pytest.raises(slmprof.UsageError, match="slmprof memory"):
        slmprof.profile(small_model(), device="planned:cuda")
    with pytest.raises(ValueError, match="no planned device"):
        plan(small_model(), devices=["planned:CUDA16"])


def test_a_plan_of_it_for_those_who_have_none(small_model: ModelMaker) -> None:
    told = run("memory", small_model(), "--device", "planned:cuda", "--format", "json")
    assert told.returncode == 0, told.stderr
    setting = json.loads(told.stdout)["settings"][0]
    assert setting["config"]["device"] == "planned:cuda"
    assert {b["device"] for b in setting["buffers"]} == {"CPU", GPU}
    assert any("CUDA's context" in note for note in setting["notes"])
    # What lies there is not resident here.
    total = setting["totals_bytes"]["kv_cache"]
    lines = {line["kind"]: line["size_bytes"] for line in setting["resident"]["lines"]}
    assert total > 0
    assert lines.get("kv_cache", 0) == 0


@pytest.mark.parametrize("name", ["planned:", "planned:rocm", "planned:cuda:", "planned:cpu"])
def test_other_names_are_refused(small_model: ModelMaker, name: str) -> None:
    told = run("memory", small_model(), "--device", name)
    assert told.returncode == 2
    assert "planned:cuda:N" in told.stderr


def test_the_largest_context_that_fits_a_device_is_found(small_model: ModelMaker) -> None:
    path = small_model("llama", n_ctx_train=16384)
    report = plan_memory(path, device="planned:cuda", fit_bytes=24 << 20, fit_for="device")
    (fit,) = report.fits
    assert 0 < fit.n_ctx < 16384

    def on_device(n_ctx: int) -> int:
        return plan_memory(path, device="planned:cuda", n_ctx=n_ctx).settings[0].device_bytes

    assert on_device(fit.n_ctx) == fit.device_bytes <= 24 << 20 < on_device(fit.n_ctx + 256)
    told = run("memory", path, "--device", "planned:cuda", "--fit", "24MiB", "--fit-for", "device")
    assert told.returncode == 0, told.stderr
    assert str(fit.n_ctx) in told.stdout and "fullest device" in told.stdout
    none = run("memory", path, "--device", "planned:cuda", "--fit", "2KiB", "--fit-for", "device")
    assert none.returncode == 1
    assert "on the device" in none.stderr + none.stdout
    refused = run("memory", path, "--fit", "24MiB", "--fit-for", "device")
    assert refused.returncode == 2
    assert "name one (--device)" in refused.stderr

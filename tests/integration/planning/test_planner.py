"""Predicted memory is allocated memory, to the byte; predicting reads and allocates nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import make_settings, open_engine
from gguf_files import (
    write_bert,
    write_huge_llama,
    write_llada,
    write_mamba,
    write_split_llama,
    write_t5,
)
from plans import allocated, differences

from slmprof import _core

ModelMaker = Callable[..., Path]

SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"use_mmap": False},
    {"use_repack": False},
    {"use_mmap": False, "use_repack": False},
    {"flash_attn": 0, "n_ctx": 1024},
    {"type_k": "q8_0", "type_v": "q4_0", "flash_attn": 1},
    {"type_k": "q8_0", "flash_attn": 0},
    {"type_v": "q8_0", "flash_attn": 0},  # refused
    {"n_seq_max": 4, "n_batch": 256, "n_ubatch": 64},
    {"n_outputs_max": 1},
    {"tensor_overrides": [("ffn_(gate|up)", "CPU")], "use_mmap": False},
)


def ids(settings: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items()) or "default"


def size_of(buffers: list[_core.BufferRecord], kind: str) -> int:
    return sum(buffer["size_bytes"] for buffer in buffers if buffer["kind"] == kind)


@pytest.mark.parametrize("settings", SETTINGS, ids=ids)
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2", "bloom"])
def test_predicted_is_allocated(
    small_model: ModelMaker, architecture: str, settings: dict[str, Any]
) -> None:
    assert differences(small_model(architecture), **settings) == []


def test_of_a_vocabulary_only_the_number_of_tokens_counts(model_with_vocabulary: Path) -> None:
    assert differences(model_with_vocabulary, n_ctx=256) == []
    planner = _core.Planner(make_settings(model_with_vocabulary))
    assert planner.model_info()["n_vocab"] == 512


@pytest.mark.parametrize("use_mmap", [True, False])
def test_split_files(tmp_path: Path, use_mmap: bool) -> None:
    path = write_split_llama(tmp_path)
    assert differences(path, use_mmap=use_mmap, n_ctx=128) == []
    places = _core.Planner(make_settings(path)).weights()
    assert set(places["file"].tolist()) == {0, 1}


@pytest.mark.parametrize("write", [write_bert, write_t5], ids=["bert", "t5"])
def test_encoders(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path / "model.gguf")
    assert differences(path, n_ctx=128) == []
    settings = make_settings(path, n_ctx=128)
    graphs = _core.Planner(settings).plan(settings)["graphs"]
    phases = ["prefill"] if write is write_bert else ["prefill", "decode"]
    assert [graph["phase"] for graph in graphs] == phases


def test_a_model_without_memory_has_outputs_for_every_token(tmp_path: Path) -> None:
    path = write_llada(tmp_path / "llada.gguf")
    assert differences(path, n_ctx=128, n_outputs_max=4) == []
    engine = open_engine(path, n_ctx=128, n_outputs_max=4)
    with pytest.raises(ValueError, match="outputs"):
        engine.prefill(np.arange(5, dtype=np.int32), 0)
    engine.prefill(np.arange(4, dtype=np.int32), 0)


def test_places_in_the_file_are_those_of_its_header(small_model: ModelMaker) -> None:
    """One behind the other, up to the end of the file."""
    path = small_model("llama", "Q8_0")
    places = _core.Planner(make_settings(path)).weights()
    assert (places["file"] == 0).all()
    ends = places["file_offset_bytes"] + places["size_bytes"]
    assert path.stat().st_size - ends.max() < 32
    order = np.argsort(places["file_offset_bytes"])
    assert (ends[order][:-1] <= places["file_offset_bytes"][order][1:]).all()


@pytest.mark.parametrize("use_repack", [True, False])
@pytest.mark.parametrize("flash_attn", [0, 1])
def test_the_work_buffer_is_what_full_steps_ask_for(
    small_model: ModelMaker, use_repack: bool, flash_attn: int
) -> None:
    """Of which no more than the last token's logits are asked for, as in a profile."""
    for architecture in ("llama", "gptneox", "gemma2"):
        path = small_model(architecture)
        settings: dict[str, Any] = {"use_repack": use_repack, "flash_attn": flash_attn}
        settings |= {"n_ctx": 256, "n_ubatch": 128, "n_outputs_max": 1}
        native = make_settings(path, **settings)
        plan = _core.Planner(native).plan(native)
        engine = open_engine(path, **settings)
        before = engine.buffers()
        assert size_of(before, "work") == 0
        engine.decode([1], 0)
        assert size_of(engine.buffers(), "work") <= plan["graphs"][1]["work_bytes"]
        engine.truncate(0)
        engine.prefill(np.arange(255, dtype=np.int32), 0)
        engine.decode([1], 0)
        assert engine.buffers() == plan["buffers"]
        assert allocated(engine.buffers()) == before


def test_without_graphs_the_buffers_are_the_same(small_model: ModelMaker) -> None:
    settings = make_settings(small_model())
    planner = _core.Planner(settings)
    plan = planner.plan(settings, graphs=False)
    assert plan["graphs"] == []
    assert plan["buffers"] == allocated(planner.plan(settings)["buffers"])


def test_one_planner_plans_many_contexts(small_model: ModelMaker) -> None:
    """What a plan says depends on nothing that was planned before it, or is loaded beside it."""
    path = small_model()
    planner = _core.Planner(make_settings(path))
    beside = _core.Planner(make_settings(path, use_mmap=False))
    engine = open_engine(path, n_ctx=256)
    plans = [planner.plan(make_settings(path, n_ctx=n_ctx)) for n_ctx in (256, 512, 256)]
    assert plans[0]["buffers"] == plans[2]["buffers"] != plans[1]["buffers"]
    assert allocated(plans[0]["buffers"]) == engine.buffers()
    assert {b["buffer_type"] for b in plans[0]["buffers"]} == {"CPU", "CPU_Mapped", "CPU_REPACK"}
    unmapped = beside.plan(make_settings(path, n_ctx=256))["buffers"]
    assert "CPU_Mapped" not in {buffer["buffer_type"] for buffer in unmapped}


def test_what_cannot_be_planned_is_refused(small_model: ModelMaker, tmp_path: Path) -> None:
    path = small_model()
    planner = _core.Planner(make_settings(path))
    with pytest.raises(_core.NativeEngineError, match="context"):
        planner.plan(make_settings(path, type_v="q8_0", flash_attn=0))
    with pytest.raises(ValueError, match="n_outputs_max"):
        planner.plan(make_settings(path, n_seq_max=2, n_outputs_max=1))
    with pytest.raises(ValueError, match=r"n_batch 4 .* 8 sequences"):
        planner.plan(make_settings(path, n_seq_max=8, n_batch=4))
    with pytest.raises(ValueError, match="cache type"):
        planner.plan(make_settings(path, type_k="q3_K"))
    short = tmp_path / "short.gguf"
    short.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(_core.NativeModelError):
        _core.Planner(make_settings(short))
    split = write_split_llama(tmp_path)
    split.with_name("split-00002-of-00002.gguf").unlink()
    with pytest.raises(_core.NativeModelError):
        _core.Planner(make_settings(split))


def test_a_state_that_no_machine_holds_is_planned(tmp_path: Path) -> None:
    path = write_mamba(tmp_path / "small.gguf", 2, 128, 16)
    assert differences(path, n_ctx=128, n_seq_max=4) == []
    n_layer, n_inner, n_state, n_sequences = 64, 8192, 4096, 256
    path = write_mamba(tmp_path / "huge.gguf", n_layer, n_inner, n_state)
    settings = make_settings(path, n_seq_max=n_sequences)
    buffers = _core.Planner(settings).plan(settings)["buffers"]
    state = n_inner * n_state + n_inner * 3  # of the scan and of the convolution
    assert size_of(buffers, "recurrent_state") == state * 4 * n_layer * n_sequences > 1 << 40


PLAN_HUGE = """
import json, sys
from slmprof import _core
def read_bytes():
    return int(open("/proc/self/io").readline().split()[1])
def rss_peak_bytes():
    # Not ru_maxrss: a child begins with that of its parent.
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if "VmHWM" in line)
settings = _core.EngineSettings()
settings.path, settings.n_ctx, settings.use_mmap = sys.argv[1], 131072, sys.argv[2] == "mmap"
before = read_bytes()
plan = _core.Planner(settings).plan(settings)
print(json.dumps({
    "read_bytes": read_bytes() - before,
    "rss_bytes": rss_peak_bytes(),
    "buffers": plan["buffers"],
}))
"""


@pytest.mark.skipif(
    not Path("/proc/self/io").exists(), reason="no counters of what a process reads"
)
@pytest.mark.parametrize("load", ["mmap", "read"])
def test_only_the_header_of_a_huge_model_is_read(tmp_path: Path, load: str) -> None:
    path = write_huge_llama(tmp_path / "huge.gguf")
    command = [sys.executable, "-c", PLAN_HUGE, str(path), load]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert size_of(answer["buffers"], "weights") > 250e9
    assert size_of(answer["buffers"], "kv_cache") == 2 * 80 * 131072 * 1024 * 2
    assert answer["read_bytes"] < 16 << 20
    assert answer["rss_bytes"] < 200 << 20


def test_the_heap_of_a_vocabulary_is_known_without_reading_its_texts(
    model_with_vocabulary: Path, small_model: Callable[..., Path]
) -> None:
    """Against what a real model adds to the heap; 512 tokens are little beside its pages."""
    plain, with_texts = (
        _core.Planner(make_settings(path)).vocabulary_bytes
        for path in (small_model(), model_with_vocabulary)
    )
    # A record of each token; with texts a node of a map, a bucket and a piece as well.
    assert plain == 512 * 40
    assert with_texts == 512 * (40 + 64 + 8 + 32)

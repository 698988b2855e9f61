"""What the hooks tell of the inside of an op: conversions, masks, and experts that were read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import make_settings
from gguf_files import N_EMBD, N_FF, N_LAYER, N_VOCAB, Shapes, common_metadata, write_gguf

import slmprof
from slmprof import _core
from slmprof.profiles.vocabulary import PASS_OP, STAGE_CONVERSION

ModelMaker = Callable[..., Path]
PROMPT = np.arange(1, 41, dtype=np.int32)
N_EXPERT, N_USED = 4, 2

pytestmark = pytest.mark.usefixtures("two_cores")


def open_engine(path: Path, **settings: Any) -> _core.Engine:
    return _core.Engine(make_settings(path, **{"n_threads": 2, **settings}))


def observe(engine: _core.Engine, n_gen: int = 3, aggregate: bool = False) -> dict[str, Any]:
    engine.truncate(0)
    engine.prefill(PROMPT, PASS_OP, aggregate=aggregate)
    engine.decode(PROMPT[:n_gen], PASS_OP, aggregate=aggregate)
    return dict(engine.take())


def ops_of_events(chunk: dict[str, Any]) -> list[str]:
    """The operator of every event."""
    tensors, texts = chunk["tensors"], chunk["strings"]
    ops = {
        (int(g), int(n)): texts[op]
        for g, n, op in zip(tensors["graph"], tensors["node"], tensors["op"], strict=True)
    }
    graphs = chunk["runs"]["graph"][chunk["events"]["run"]]
    nodes = chunk["events"]["node"]
    return [ops[key] for key in zip(graphs.tolist(), nodes.tolist(), strict=True)]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("use_repack", [True, False])
def test_products_of_quantized_weights_convert_their_activations(
    small_model: ModelMaker, n_threads: int, use_repack: bool
) -> None:
    engine = open_engine(small_model(), n_threads=n_threads, use_repack=use_repack, flash_attn=1)
    chunk = observe(engine)
    events, texts = chunk["events"], chunk["strings"]
    is_product = np.array([op == "MUL_MAT" for op in ops_of_events(chunk)])
    # The thread that has no share of a short row converts nothing, but it arrives all the same.
    assert np.all(events["convert_ns"][is_product] > 0)
    assert np.all(events["convert"][~is_product] == -1)
    assert np.all(events["convert_ns"][~is_product] == 0)
    assert np.all(events["convert_ns"] <= events["end_ns"] - events["begin_ns"])
    seen = {texts[c] for c in np.unique(events["convert"][is_product])}
    assert "quantize_row_q8_K" in seen
    assert all(text.startswith("quantize_") for text in seen)


@pytest.mark.parametrize("aggregate", [False, True])
def test_an_exact_clock_tells_when_each_thread_went_on(
    small_model: ModelMaker, aggregate: bool
) -> None:
    chunk = observe(open_engine(small_model(), exact_clock=True), aggregate=aggregate)
    runs = chunk["runs"]
    if aggregate:
        spans = chunk["stats"]["span_sum_ns"]
        assert spans.sum() == (runs["end_ns"] - runs["begin_ns"]).sum()
        return
    events = chunk["events"]
    converts = events["convert"] >= 0
    assert np.all(events["resume_ns"][converts] >= events["convert_ns"][converts])
    assert np.all(events["resume_ns"][~converts] == 0)
    assert np.all(events["resume_ns"] <= events["end_ns"] - events["begin_ns"])
    fast = observe(open_engine(small_model()))["events"]
    assert np.all(fast["resume_ns"] == 0)


def test_products_that_take_their_activations_as_they_are_convert_nothing(
    small_model: ModelMaker,
) -> None:
    chunk = observe(open_engine(small_model("llama", "F32"), flash_attn=1))
    assert np.all(chunk["events"]["convert"] == -1)


def test_half_precision_weights_convert_to_half_precision(small_model: ModelMaker) -> None:
    chunk = observe(open_engine(small_model("llama", "F16"), flash_attn=1), n_gen=1)
    decode = chunk["events"]["run"] == 1
    seen = {chunk["strings"][c] for c in np.unique(chunk["events"]["convert"][decode]) if c >= 0}
    assert seen <= {"fp32_to_fp16"}


def test_aggregated_conversions_are_those_of_the_events(small_model: ModelMaker) -> None:
    engine = open_engine(small_model())
    whole = observe(engine)
    chunk = observe(engine, aggregate=True)
    # Of the same steps: what disturbed one is not for this test to decide.
    counted = chunk["steps"]["set_apart"] == 0
    events = whole["events"]
    is_conversion = (events["convert"] >= 0) & (events["lane"] == 0)
    n_conversions = int(np.sum(is_conversion & counted[whole["runs"]["step"][events["run"]]]))
    stats = chunk["stats"]
    runs = {name: column[counted[chunk["runs"]["step"]]] for name, column in chunk["runs"].items()}
    conversion = stats["stage"] == STAGE_CONVERSION
    assert stats["calls"][conversion].sum() == n_conversions
    texts = {chunk["strings"][p] for p in np.unique(stats["path"][conversion])}
    assert texts and all(text.startswith("quantize_") for text in texts)
    # With the conversions, too, the spans tile the runs.
    assert stats["span_sum_ns"].sum() == (runs["end_ns"] - runs["begin_ns"]).sum()
    assert np.all(stats["compute_max_sum_ns"] >= stats["compute_sum_ns"] * (1 - 1e-9))
    assert np.all(stats["compute_max_sum_ns"] <= stats["compute_sum_ns"] * 2 * (1 + 1e-9))


@pytest.mark.parametrize("flash_attn", [0, 1])
def test_masks_count_what_a_causal_prompt_sees(small_model: ModelMaker, flash_attn: int) -> None:
    chunk = observe(open_engine(small_model(), flash_attn=flash_attn, n_ubatch=16))
    masks = chunk["masks"]
    assert masks["run"].tolist() == list(range(6))
    # The prompt in batches of 16, 16 and 8, then three tokens.
    pairs = [sum(range(1, 17)), sum(range(17, 33)), sum(range(33, 41)), 41, 42, 43]
    assert masks["n_pairs"].tolist() == pairs
    assert masks["n_keys"].tolist() == [16, 32, 40, 41, 42, 43]
    texts, tensors = chunk["strings"], chunk["tensors"]
    for run, row in zip(masks["run"].tolist(), masks["tensor"].tolist(), strict=True):
        own = np.flatnonzero(tensors["graph"] == chunk["runs"]["graph"][run])
        assert "mask" in texts[tensors["name"][own[row]]]


def test_a_window_is_a_mask_of_its_own(tmp_path: Path) -> None:
    shapes = gemma2_shapes()
    metadata = {
        **common_metadata("gemma2"),
        "gemma2.attention.layer_norm_rms_epsilon": 1e-6,
        "gemma2.attention.key_length": 32,
        "gemma2.attention.value_length": 32,
        "gemma2.attention.sliding_window": 8,
    }
    path = write_gguf(tmp_path / "gemma2.gguf", metadata, shapes)
    chunk = observe(open_engine(path, n_ctx=128), n_gen=1)
    masks = chunk["masks"]
    decode = masks["run"] == 1
    assert sorted(masks["n_keys"][decode].tolist()) == [8, 41]


def gemma2_shapes() -> Shapes:
    """Tensors of a small Gemma 2, whose every other layer sees a window."""
    shapes: Shapes = {"token_embd.weight": (N_EMBD, N_VOCAB), "output_norm.weight": (N_EMBD,)}
    for i in range(N_LAYER):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{i}.{name}.weight"] = (N_EMBD, N_EMBD)
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            shapes[f"blk.{i}.{name}.weight"] = (N_EMBD,)
        for name in ("ffn_gate", "ffn_up"):
            shapes[f"blk.{i}.{name}.weight"] = (N_EMBD, N_FF)
        shapes[f"blk.{i}.ffn_down.weight"] = (N_FF, N_EMBD)
    return shapes


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    metadata = {
        **common_metadata("llama"),
        "llama.attention.layer_norm_rms_epsilon": 1e-6,
        "llama.rope.dimension_count": 32,
        "llama.expert_count": N_EXPERT,
        "llama.expert_used_count": N_USED,
    }
    shapes: Shapes = {
        "token_embd.weight": (N_EMBD, N_VOCAB),
        "output_norm.weight": (N_EMBD,),
        "output.weight": (N_EMBD, N_VOCAB),
    }
    for i in range(N_LAYER):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{i}.{name}.weight"] = (N_EMBD, N_EMBD)
        for name in ("attn_norm", "ffn_norm"):
            shapes[f"blk.{i}.{name}.weight"] = (N_EMBD,)
        shapes[f"blk.{i}.ffn_gate_inp.weight"] = (N_EMBD, N_EXPERT)
        for name in ("ffn_gate", "ffn_up"):
            shapes[f"blk.{i}.{name}_exps.weight"] = (N_EMBD, N_FF, N_EXPERT)
        shapes[f"blk.{i}.ffn_down_exps.weight"] = (N_FF, N_EMBD, N_EXPERT)
    return write_gguf(tmp_path_factory.mktemp("moe") / "mixture.gguf", metadata, shapes)


@pytest.mark.parametrize("aggregate", [False, True])
def test_experts_that_were_read_are_counted(mixture: Path, aggregate: bool) -> None:
    chunk = observe(open_engine(mixture, n_ctx=128), aggregate=aggregate)
    if aggregate:
        stats, tensors = chunk["stats"], chunk["tensors"]
        ops = {
            (int(g), int(n)): chunk["strings"][op]
            for g, n, op in zip(tensors["graph"], tensors["node"], tensors["op"], strict=True)
        }
        keys = zip(stats["graph"].tolist(), stats["node"].tolist(), strict=True)
        is_routed = np.array([ops[key] == "MUL_MAT_ID" for key in keys])
        mean = stats["n_experts_sum"] / stats["calls"]
        decode = stats["phase"] == 1
        assert np.all(mean[is_routed & decode] == N_USED)
        assert np.all(mean[~is_routed] == 0)
        return
    events = chunk["events"]
    is_routed = np.array([op == "MUL_MAT_ID" for op in ops_of_events(chunk)])
    first = events["lane"] == 0
    prefill = events["run"] == 0
    assert np.all(events["n_experts"][is_routed & first & ~prefill] == N_USED)
    # Forty tokens that choose two of four read them all; the last layer has one token left.
    of_prompt = events["n_experts"][is_routed & first & prefill].tolist()
    assert of_prompt == [N_EXPERT] * 3 + [N_USED] * 3
    assert np.all(events["n_experts"][~is_routed | ~first] == 0)


def test_a_conversion_is_a_row_of_its_own(small_model: ModelMaker) -> None:
    profile = slmprof.profile(small_model(), n_prompt=16, n_gen=2, repeats=1, threads=2)
    ops = profile.ops()
    conversions = ops[ops["kernel"] == "quantize_q8"]
    assert set(conversions["part"]) == {"quantize_q8"}
    assert set(conversions["op"]) == {"MUL_MAT"}
    for summary in profile.phase_summaries:
        total = ops.loc[ops["phase"] == summary.phase, "time_ms"].sum()
        assert summary.segments_ms is not None
        assert total == pytest.approx(summary.segments_ms.ops)
    known = ops["imbalance"].notna()
    assert np.all(ops.loc[known, "imbalance"] >= 1 - 1e-9)
    assert np.all(ops.loc[known, "imbalance"] <= 2 + 1e-9)

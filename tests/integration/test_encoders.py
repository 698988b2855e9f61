"""Models with an encoder: one that only encodes, and one whose decoder reads what it encoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_files import N_CTX, N_EMBD, N_FF, N_LAYER, N_VOCAB, Shapes, common_metadata, write_gguf

import slmprof


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    metadata = {
        **common_metadata("bert"),
        "bert.attention.layer_norm_epsilon": 1e-6,
        "bert.attention.causal": False,
        "tokenizer.ggml.token_type_count": 2,
    }
    shapes: Shapes = {
        "token_embd.weight": (N_EMBD, N_VOCAB),
        "token_types.weight": (N_EMBD, 2),
        "position_embd.weight": (N_EMBD, N_CTX),
        "token_embd_norm.weight": (N_EMBD,),
        "token_embd_norm.bias": (N_EMBD,),
    }
    for i in range(N_LAYER):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{i}.{name}.weight"] = (N_EMBD, N_EMBD)
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes[f"blk.{i}.{name}.weight"] = shapes[f"blk.{i}.{name}.bias"] = (N_EMBD,)
        shapes[f"blk.{i}.ffn_up.weight"] = (N_EMBD, N_FF)
        shapes[f"blk.{i}.ffn_down.weight"] = (N_FF, N_EMBD)
    return write_gguf(tmp_path_factory.mktemp("bert") / "bert.gguf", metadata, shapes)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    metadata = {
        **common_metadata("t5"),
        "t5.attention.layer_norm_rms_epsilon": 1e-6,
        "t5.attention.relative_buckets_count": 32,
    }
    shapes: Shapes = {"token_embd.weight": (N_EMBD, N_VOCAB)}
    for side, attentions in (("enc", ["attn"]), ("dec", ["attn", "cross_attn"])):
        shapes[f"{side}.output_norm.weight"] = (N_EMBD,)
        for i in range(N_LAYER):
            prefix = f"{side}.blk.{i}"
            for attention in attentions:
                for part in "qkvo":
                    shapes[f"{prefix}.{attention}_{part}.weight"] = (N_EMBD, N_EMBD)
                shapes[f"{prefix}.{attention}_norm.weight"] = (N_EMBD,)
            shapes[f"{prefix}.attn_rel_b.weight"] = (2, 32)
            shapes[f"{prefix}.ffn_norm.weight"] = (N_EMBD,)
            shapes[f"{prefix}.ffn_up.weight"] = (N_EMBD, N_FF)
            shapes[f"{prefix}.ffn_down.weight"] = (N_FF, N_EMBD)
    return write_gguf(tmp_path_factory.mktemp("t5") / "t5.gguf", metadata, shapes)


def test_a_model_that_only_encodes_has_one_phase(bert: Path) -> None:
    profile = slmprof.profile(bert, n_prompt=16, n_gen=3, n_ctx=128, repeats=1)
    assert profile.phases()["phase"].tolist() == ["prefill"]
    assert profile.phases()["attributed_share"].min() > 0
    assert profile.meta.config["n_gen"] == 0


def test_a_decoder_behind_an_encoder_has_both(t5: Path) -> None:
    profile = slmprof.profile(t5, n_prompt=16, n_gen=3, n_ctx=128, repeats=1)
    assert profile.phases()["phase"].tolist() == ["prefill", "decode"]
    assert profile.phases()["n_samples"].tolist() == [1, 3]


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_what_an_encoder_cannot_do_is_said(name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    with pytest.raises(slmprof.UsageError, match="one batch"):
        slmprof.profile(path, n_prompt=33, n_gen=3, n_ctx=128, n_ubatch=32, repeats=1)
    with pytest.raises(slmprof.UsageError, match="depth"):
        slmprof.profile(path, n_prompt=16, n_depth=(0, 8), n_gen=3, n_ctx=128, repeats=1)


def test_a_decoder_does_not_run_before_its_encoder(t5: Path) -> None:
    with slmprof.Session(t5, n_ctx=128) as session:
        with pytest.raises(slmprof.UsageError, match="prefill first"):
            session.decode(3)
        session.prefill(16)
        assert session.decode(3).shape == (3,)

"""Configurations as `transformers` writes them: what is as in the class's defaults is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from model_sizes import count_parameters

from slmprof.errors import ModelError
from slmprof.models.architectures import list_metadata, list_tensors
from slmprof.models.configs.file import ConfigFile, read_config
from slmprof.models.presets import PRESETS
from slmprof.settings.dimensions import Dimensions, StateSpace
from slmprof.settings.model_source import ignored_note

# What every such file has besides.
_WRITTEN: dict[str, Any] = {
    "transformers_version": "4.57.1", "dtype": "bfloat16", "use_cache": True,
    "eos_token_id": [1, 106], "bos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.02,
    "attention_dropout": 0.0,
}  # fmt: skip
GEMMA3_TEXT: dict[str, Any] = {
    **_WRITTEN, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text",
    "_sliding_window_pattern": 6, "attention_bias": False, "attn_logit_softcapping": None,
    "final_logit_softcapping": None, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 640, "intermediate_size": 2048, "num_attention_heads": 4,
    "num_hidden_layers": 18, "num_key_value_heads": 1, "query_pre_attn_scalar": 256,
    "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_local_base_freq": 10000.0,
    "rope_scaling": None, "rope_theta": 1000000.0, "sliding_window": 512, "vocab_size": 262144,
    "layer_types": ["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(18)],
    "use_bidirectional_attention": False,
}  # fmt: skip
GEMMA3_NESTED: dict[str, Any] = {
    "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
    "boi_token_index": 255999, "eoi_token_index": 256000, "image_token_index": 262144,
    "initializer_range": 0.02, "mm_tokens_per_image": 256, "transformers_version": "4.50.0.dev0",
    "text_config": {
        "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
        "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"},
}  # fmt: skip
QWEN3: dict[str, Any] = {
    **_WRITTEN, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 128,
    "attention_bias": False, "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072,
    "max_position_embeddings": 40960, "max_window_layers": 28, "num_attention_heads": 16,
    "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-6, "rope_scaling": None,
    "rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": True,
    "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
MAMBA: dict[str, Any] = {
    **_WRITTEN, "architectures": ["MambaForCausalLM"], "model_type": "mamba", "conv_kernel": 4,
    "d_inner": 1536, "d_model": 768, "expand": 2, "fused_add_norm": False, "hidden_act": "silu",
    "hidden_size": 768, "intermediate_size": 1536, "layer_norm_epsilon": 1e-5, "n_layer": 24,
    "num_hidden_layers": 24, "rescale_prenorm_residual": False, "residual_in_fp32": True,
    "state_size": 16, "time_step_floor": 0.0001, "time_step_init_scheme": "random",
    "time_step_max": 0.1, "time_step_min": 0.001, "time_step_rank": 48, "time_step_scale": 1.0,
    "use_bias": False, "use_conv_bias": True, "vocab_size": 50280,
}  # fmt: skip
MAMBA2: dict[str, Any] = {
    **_WRITTEN, "architectures": ["Mamba2ForCausalLM"], "model_type": "mamba2", "chunk_size": 256,
    "conv_kernel": 4, "expand": 2, "head_dim": 64, "hidden_size": 768, "n_groups": 1,
    "layer_norm_epsilon": 1e-5, "norm_before_gate": False, "num_heads": 24,
    "num_hidden_layers": 24, "rms_norm": True, "state_size": 128, "tie_word_embeddings": True,
    "time_step_limit": [0.0, 1e300], "time_step_rank": 48, "use_bias": False,
    "use_conv_bias": True, "vocab_size": 50288,
}  # fmt: skip


def read(folder: Path, values: dict[str, Any]) -> ConfigFile:
    path = folder / "config.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return read_config(path)


def dimensions(folder: Path, values: dict[str, Any]) -> Dimensions:
    return read(folder, values).dimensions


def same_shapes(found: Dimensions, preset: str) -> bool:
    expected = PRESETS[preset].dimensions
    keys = [[k for k in list_metadata(d) if k[0] != "general.name"] for d in (found, expected)]
    return list_tensors(found) == list_tensors(expected) and keys[0] == keys[1]


@pytest.mark.parametrize(
    ("values", "preset", "millions"),
    [
        (GEMMA3_TEXT, "gemma-3-270m", 268.1), (QWEN3, "qwen3-0.6b", 596.0),
        (MAMBA, "mamba-130m", 129.1), (MAMBA2, "mamba2-130m", 129.0),
    ],
    ids=["gemma3", "qwen3", "mamba", "mamba2"],
)  # fmt: skip
def test_a_published_file_gives_the_preset_and_the_published_count(
    values: dict[str, Any], preset: str, millions: float, tmp_path: Path
) -> None:
    found = read(tmp_path, values)
    assert same_shapes(found.dimensions, preset)
    assert count_parameters(found.dimensions) / 1e6 == pytest.approx(millions, abs=0.1)
    assert found.ignored == ()


def test_the_text_part_of_a_nested_file_has_the_defaults_of_its_class(tmp_path: Path) -> None:
    found = read(tmp_path, GEMMA3_NESTED)
    d = found.dimensions
    assert (d.n_layer, d.n_embd, d.n_head, d.n_head_kv, d.head_length, d.n_vocab) == (
        *(34, 2560, 8, 4, 256, 262208),
    )
    assert d.tied and d.n_ctx_train == 131072 and d.rope_freq_base == 1e6
    assert dict(d.extra) == {
        "rope.scaling.type": "linear", "rope.scaling.factor": 8.0,
        "attention.sliding_window": 1024, "rope.freq_base_swa": 10000.0,
    }  # fmt: skip
    # The published count is 4.3 B with 0.4 B of the part that sees images.
    assert count_parameters(d) / 1e9 == pytest.approx(3.88, abs=0.01)
    assert found.ignored == ("vision_config",)


def test_rope_may_stand_in_an_object_for_each_kind_of_attention(tmp_path: Path) -> None:
    newer = {k: v for k, v in GEMMA3_TEXT.items() if not k.startswith("rope_")}
    newer["rope_parameters"] = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 5e3},
    }
    found = read(tmp_path, newer)
    assert found.dimensions.rope_freq_base == 2e6 and found.ignored == ()
    extra = dict(found.dimensions.extra)
    assert (extra["rope.freq_base_swa"], extra["rope.scaling.factor"]) == (5e3, 8.0)
    del newer["rope_parameters"]
    assert dimensions(tmp_path, newer).rope_freq_base == 1e6
    qwen = {**QWEN3, "rope_theta": None, "rope_parameters": {"rope_theta": 3e6}}
    assert dimensions(tmp_path, qwen).rope_freq_base == 3e6


def test_a_pattern_of_windows_is_written_where_it_is_not_the_usual_one(tmp_path: Path) -> None:
    key = "attention.sliding_window_pattern"
    assert key not in dict(dimensions(tmp_path, GEMMA3_TEXT).extra)
    other = {**GEMMA3_TEXT, "num_hidden_layers": 4, "layer_types": None}
    period = {**other, "_sliding_window_pattern": 2}
    assert dict(dimensions(tmp_path, period).extra)[key] == (1, 0, 1, 0)
    listed = {**other, "layer_types": ["full_attention", *["sliding_attention"] * 3]}
    assert dict(dimensions(tmp_path, listed).extra)[key] == (0, 1, 1, 1)
    none = dimensions(tmp_path, {**other, "sliding_window": None})
    assert "attention.sliding_window" not in dict(none.extra)


@pytest.mark.parametrize("kind", ["gemma3_text", "gemma3", "qwen3", "mamba", "mamba2"])
def test_a_file_with_nothing_but_its_type_is_the_class_with_its_defaults(
    kind: str, tmp_path: Path
) -> None:
    found = dimensions(tmp_path, {"model_type": kind})
    layers = {"gemma3_text": 26, "gemma3": 26, "qwen3": 32, "mamba": 32, "mamba2": 64}
    assert found.n_layer == layers[kind]
    if kind == "mamba2":
        assert found.ssm == StateSpace(n_inner=8192, n_state=128, n_conv=4, dt_rank=128, n_group=8)
    assert list_tensors(found)


def test_the_rank_of_time_steps_follows_from_the_width_unless_it_is_told(tmp_path: Path) -> None:
    found = dimensions(tmp_path, {"model_type": "mamba", "hidden_size": 200})
    assert found.ssm is not None and found.ssm.dt_rank == 13
    auto = {"model_type": "mamba", "hidden_size": 64, "time_step_rank": "auto"}
    found = dimensions(tmp_path, auto)
    assert found.ssm is not None and (found.ssm.dt_rank, found.ssm.n_inner) == (4, 128)


def test_what_nothing_follows_from_is_named(tmp_path: Path) -> None:
    quantized = {
        **QWEN3, "quantization_config": {"quant_method": "fp8"}, "use_sliding_window": True,
        "sliding_window": 4096, "max_window_layers": 20, "attention_bias": True,
        "some_new_key": 7, "mlp_bias": False,
    }  # fmt: skip
    found = read(tmp_path, quantized)
    assert set(found.ignored) == {
        "quantization_config", "sliding_window", "max_window_layers", "attention_bias",
        "some_new_key", "use_sliding_window",
    }  # fmt: skip
    assert ignored_note(("quantization_config", "vision_config"), "Q4_K_M") == (
        "config.json: ignored quantization_config (weights are Q4_K_M; give @TYPE for another), "
        "vision_config"
    )
    mamba = read(tmp_path, {**MAMBA, "use_bias": True, "use_conv_bias": False})
    assert {"use_bias", "use_conv_bias"} <= set(mamba.ignored)
    nested = {**GEMMA3_NESTED, "text_config": {"use_bidirectional_attention": True}}
    assert "text_config.use_bidirectional_attention" in read(tmp_path, nested).ignored


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "gemma3", "text_config": 7}, "'text_config' must be an object"),
        ({"model_type": "gemma3", "text_config": {"hidden_size": "x"}}, "text_config.hidden_size"),
        ({**GEMMA3_TEXT, "layer_types": ["full_attention"]}, "must list 18 words"),
        ({**GEMMA3_TEXT, "layer_types": ["moving"] * 18}, "'moving'"),
        ({**GEMMA3_TEXT, "sliding_window": -1}, "whole number in range"),
        ({**GEMMA3_TEXT, "rope_parameters": []}, "'rope_parameters' must be an object"),
        ({**GEMMA3_TEXT, "rope_parameters": {"full_attention": 1}}, "must be an object"),
        ({**GEMMA3_TEXT, "rope_local_base_freq": "low"}, "must be a number"),
        ({**QWEN3, "num_key_value_heads": 0}, "positive"),
        ({**QWEN3, "head_dim": 127}, "odd length"),
        ({**MAMBA, "time_step_rank": "some"}, "time_step_rank.*whole number"),
        ({**MAMBA, "time_step_rank": 0}, "dt_rank must be a positive"),
        ({**MAMBA, "expand": 1e29}, "n_inner is too large"),
        ({**MAMBA, "expand": "two"}, "'expand' must be a number"),
        ({**MAMBA2, "num_heads": 7}, "num_heads \\* head_dim"),
        ({**MAMBA2, "n_groups": 5}, "5 groups"),
        ({**MAMBA2, "n_groups": 0}, "positive"),
    ],
)  # fmt: skip
def test_impossible_values_say_which_key_it_is(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        read(tmp_path, values)
    assert "config.json" in str(caught.value)


def test_a_mamba_that_llama_cpp_cannot_run_is_refused(tmp_path: Path) -> None:
    wide = dimensions(tmp_path, {**MAMBA, "expand": 3, "intermediate_size": 2304})
    with pytest.raises(ModelError, match="expand must be 2"):
        list_tensors(wide)


def test_no_number_of_key_heads_is_as_many_as_query_heads(tmp_path: Path) -> None:
    values = {**QWEN3, "num_attention_heads": 14, "num_key_value_heads": None}
    assert dimensions(tmp_path, values).n_head_kv_of(0) == 14
    del values["num_key_value_heads"]
    assert dimensions(tmp_path, {**values, "num_attention_heads": 64}).n_head_kv_of(0) == 32


def test_heads_that_do_not_divide_say_where_they_came_from(tmp_path: Path) -> None:
    values = {**QWEN3, "num_attention_heads": 14}
    del values["num_key_value_heads"]
    message = r"num_attention_heads \(14\) .* num_key_value_heads \(32, the default of its class\)"
    with pytest.raises(ModelError, match=message):
        read(tmp_path, values)
    with pytest.raises(ModelError, match=r"\(14\) .* num_key_value_heads \(3\)$"):
        read(tmp_path, {**values, "num_key_value_heads": 3})


def test_a_class_that_is_not_known_is_read_by_its_type(tmp_path: Path) -> None:
    values = {**QWEN3, "architectures": ["Qwen3ForSequenceClassification"], "model_type": "qwen3"}
    found = read(tmp_path, values)
    assert same_shapes(found.dimensions, "qwen3-0.6b")
    assert found.ignored == ("architectures",)
    with pytest.raises(ModelError, match="'Qwen3MoeForCausalLM'"):
        read(tmp_path, {**values, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "q"})

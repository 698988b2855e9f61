"""Reading a Hugging Face config.json."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_sizes import count_parameters

from slmprof.errors import ModelError
from slmprof.models.configs.file import read_config as read_file
from slmprof.models.presets import PRESETS
from slmprof.settings.dimensions import Dimensions
from slmprof.settings.model_source import ignored_note

# Keys as in the published files, and the preset that has the same shapes.
CONFIGS: dict[str, dict[str, Any]] = {
    "qwen2-0.5b": {
        "architectures": ["Qwen2ForCausalLM"], "hidden_size": 896, "intermediate_size": 4864,
        "max_position_embeddings": 131072, "num_attention_heads": 14, "num_hidden_layers": 24,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "tie_word_embeddings": True, "vocab_size": 151936,
    },
    "smollm-135m": {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 576, "intermediate_size": 1536,
        "max_position_embeddings": 2048, "num_attention_heads": 9, "num_hidden_layers": 30,
        "num_key_value_heads": 3, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "vocab_size": 49152,
    },
    "pythia-160m": {
        "architectures": ["GPTNeoXForCausalLM"], "hidden_size": 768, "intermediate_size": 3072,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "num_attention_heads": 12,
        "num_hidden_layers": 12, "rotary_emb_base": 10000, "rotary_pct": 0.25,
        "tie_word_embeddings": False, "use_parallel_residual": True, "vocab_size": 50304,
    },
    "phi-1.5": {
        "model_type": "phi", "hidden_size": 2048, "intermediate_size": 8192,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "num_attention_heads": 32,
        "num_hidden_layers": 24, "num_key_value_heads": None, "partial_rotary_factor": 0.5,
        "rope_theta": 10000.0, "vocab_size": 51200,
    },
    "gemma-2b": {
        "architectures": ["GemmaForCausalLM"], "head_dim": 256, "hidden_size": 2048,
        "intermediate_size": 16384, "max_position_embeddings": 8192, "num_attention_heads": 8,
        "num_hidden_layers": 18, "num_key_value_heads": 1, "rms_norm_eps": 1e-06,
        "vocab_size": 256000,
    },
    "openelm-270m": {
        "architectures": ["OpenELMForCausalLM"], "model_dim": 1280, "head_dim": 64,
        "num_transformer_layers": 16, "max_context_length": 2048, "vocab_size": 32000,
        "ffn_dim_divisor": 256, "rope_freq_constant": 10000,
        "ffn_multipliers": [0.5, 0.73, 0.97, 1.2, 1.43, 1.67, 1.9, 2.13, 2.37, 2.6, 2.83, 3.07,
                            3.3, 3.53, 3.77, 4.0],
        "num_kv_heads": [3] * 5 + [4] * 7 + [5] * 4,
        "num_query_heads": [12] * 5 + [16] * 7 + [20] * 4,
    },
    "stablelm-zephyr-3b": {
        "architectures": ["StableLmForCausalLM"], "hidden_size": 2560, "intermediate_size": 6912,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 4096, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "partial_rotary_factor": 0.25,
        "rope_theta": 10000, "vocab_size": 50304,
    },
    "gpt2": {
        "architectures": ["GPT2LMHeadModel"], "layer_norm_epsilon": 1e-05, "n_ctx": 1024,
        "n_embd": 768, "n_head": 12, "n_layer": 12, "vocab_size": 50257,
    },
}  # fmt: skip


def read_config(path: Path) -> Dimensions:
    return read_file(path).dimensions


def write(folder: Path, values: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", CONFIGS)
def test_a_published_config_gives_the_preset(name: str, tmp_path: Path) -> None:
    read = read_config(write(tmp_path, CONFIGS[name]))
    expected = PRESETS[name].dimensions
    same = replace(
        read, name=expected.name, n_head_kv=expected.n_head_kv, qkv_bias=expected.qkv_bias
    )
    assert same == expected
    assert [read.n_head_kv_of(i) for i in range(read.n_layer)] == [
        expected.n_head_kv_of(i) for i in range(expected.n_layer)
    ]
    assert count_parameters(read) == count_parameters(expected)


# What the published files of these families say besides, of which nothing need follow.
_BESIDES: dict[str, dict[str, Any]] = {
    "qwen2-0.5b": {"use_sliding_window": False, "sliding_window": 131072, "max_window_layers": 24},
    "smollm-135m": {"is_llama_config": True, "rope_interleaved": False, "pretraining_tp": 1,
                    "rope_scaling": None, "attention_bias": False, "mlp_bias": False},
    "pythia-160m": {"attention_bias": True, "hidden_act": "gelu", "bos_token_id": 0},
    "openelm-270m": {"num_gqa_groups": 4, "ffn_with_glu": True, "qkv_multipliers": [0.5, 1.0],
                     "share_input_output_layers": True, "normalize_qk_projections": True},
    "gpt2": {"scale_attn_weights": True, "resid_pdrop": 0.1, "n_positions": 1024,
             "summary_type": "cls_index", "task_specific_params": {"x": 1}},
    "phi-1.5": {"qk_layernorm": False, "embd_pdrop": 0.0, "rope_scaling": None},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_published_config_has_nothing_that_is_ignored(name: str, tmp_path: Path) -> None:
    values = {**CONFIGS[name], **_BESIDES.get(name, {}), "transformers_version": "4.40.0"}
    assert read_file(write(tmp_path, values)).ignored == ()


def test_bloom_ties_its_embeddings_unless_told(tmp_path: Path) -> None:
    config = {
        "architectures": ["BloomForCausalLM"], "hidden_size": 1024, "n_head": 16, "n_layer": 24,
        "seq_length": 2048, "vocab_size": 250880, "layer_norm_epsilon": 1e-5,
    }  # fmt: skip
    assert count_parameters(read_config(write(tmp_path, config))) / 1e6 == pytest.approx(
        559.21, abs=0.01
    )
    config["tie_word_embeddings"] = False
    assert count_parameters(read_config(write(tmp_path, config))) / 1e6 == pytest.approx(
        816.12, abs=0.01
    )


def test_rope_scaling_becomes_metadata_or_tensors(tmp_path: Path) -> None:
    linear = {**CONFIGS["smollm-135m"], "rope_scaling": {"type": "linear", "factor": 4.0}}
    extra = dict(read_config(write(tmp_path, linear)).extra)
    assert extra == {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    llama3 = {**CONFIGS["smollm-135m"], "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    assert read_config(write(tmp_path, llama3)).rope_factors == "llama3"


def test_the_model_is_named_after_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "SomeModel-1B"
    folder.mkdir()
    assert read_config(write(folder, CONFIGS["gpt2"])).name == "SomeModel-1B"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not valid JSON"),
        ("[" * 100000, "not valid JSON"),
        ("[1]", "no JSON object"),
        ("{}", "what the model is"),
        ('{"architectures": []}', "what the model is"),
        ('{"architectures": ["OPTForCausalLM"]}', "cannot synthesise 'OPTForCausalLM'"),
        ('{"architectures": ["LlamaForCausalLM"]}', "num_attention_heads"),
        ('{"model_type": "llama", "num_attention_heads": "many"}', "whole number"),
        ('{"model_type": "llama", "num_attention_heads": 0}', "missing|positive"),
        ('{"model_type": "llama", "num_attention_heads": 1e999}', "whole number"),
        ('{"model_type": "llama", "num_attention_heads": 1, "rope_theta": NaN}', "number"),
        ('{"model_type": "gpt_neox", "num_attention_heads": 2, "hidden_size": 8, '
         '"rotary_pct": "all"}', "must be a number"),
        ('{"model_type": "llama", "hidden_size": 1, "a": {"b": 1, "b": 1}}', "'b' is there twice"),
        ('{"model_type": "llama", "model_type": "gpt2"}', "'model_type' is there twice"),
        (f'{{"model_type": "llama", "hidden_size": {"9" * 5000}}}', "has 5000 digits"),
        (f'{{"model_type": "llama", "hidden_size": -{"9" * 5000}}}', "has 5000 digits"),
    ],
)  # fmt: skip
def test_unusable_files_say_why(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        read_config(path)
    assert str(path) in str(caught.value)


LONG = "x" * 200_000


@pytest.mark.parametrize(
    "keys",
    [
        {"architectures": [LONG]},
        {"model_type": "llama", "num_attention_heads": LONG},
        {"model_type": "llama", "num_attention_heads": [[LONG] * 9] * 100},
        {"model_type": "llama", "num_attention_heads": int("9" * 300)},
        {"model_type": "llama", "num_attention_heads": 4, "rope_theta": {LONG: LONG}},
        {"model_type": "gemma3_text", "rope_parameters": LONG},
        {"model_type": "gemma3_text", "layer_types": [LONG] * 26},
        {"model_type": "gpt_neox", "rotary_pct": LONG},
    ],
)
def test_messages_quote_no_more_than_can_be_read(keys: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, keys)
    with pytest.raises(ModelError) as caught:
        read_file(path)
    supported = 700 if "architectures" in keys else 0
    assert len(str(caught.value)) < len(str(path)) + 160 + supported


@pytest.mark.parametrize("where", ["", "text_config"])
def test_a_file_of_more_keys_than_any_model_needs_is_refused(where: str, tmp_path: Path) -> None:
    """Each is held against every name that does not matter."""
    many = {f"k{i}": 1 for i in range(4_097)}
    keys = {"model_type": "gemma3", where: many} if where else {"model_type": "llama", **many}
    path = write(tmp_path, keys)
    found = r"key 'text_config' has 4097" if where else "it has 4098"
    with pytest.raises(ModelError, match=f"{path}: {found} keys; a configuration .* at most 4096"):
        read_file(path)


def test_the_note_on_ignored_keys_names_a_few() -> None:
    text = ignored_note([LONG, *(f"key{i}" for i in range(10_000))], None)
    assert len(text) < 500 and text.endswith("and 9981 more")


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        read_config(tmp_path / "config.json")
    path = tmp_path / "weights.json"
    path.write_bytes(b"\xff\xfe\x00GGUF")
    with pytest.raises(ModelError, match="not valid JSON"):
        read_config(path)

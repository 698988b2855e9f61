"""Published architectures: their counts, their rules, and what is said about wrong names."""

from __future__ import annotations

import pytest
from model_sizes import count_parameters

from slmprof.errors import ModelError
from slmprof.models.architectures import (
    ARCHITECTURES,
    list_metadata,
    list_tensors,
)
from slmprof.models.presets import PRESETS, find_preset
from slmprof.settings.dimensions import Dimensions

# Millions of parameters as published with each model, or as its GGUF file counts them.
PUBLISHED_M = {
    "smollm-135m": 134.52,
    "smollm-360m": 361.82,
    "smollm-1.7b": 1711.38,
    "tinyllama-1.1b": 1100.05,
    "qwen-1.8b": 1836.83,
    "qwen1.5-0.5b": 619.57,
    "qwen1.5-1.8b": 1836.83,
    "qwen2-0.5b": 494.03,
    "qwen2-1.5b": 1543.71,
    "pythia-160m": 162.32,
    "pythia-1.4b": 1414.65,
    "pythia-2.8b": 2775.21,
    "bloom-560m": 816.12,
    "bloom-1b1": 1450.67,
    "phi-1": 1418.27,
    "phi-1.5": 1418.27,
    "phi-2": 2779.68,
    "gemma-2b": 2506.17,
    "gemma-2-2b": 2614.34,
    "openelm-270m": 271.53,
    "openelm-450m": 457.18,
    "openelm-1.1b": 1079.89,
    "openelm-3b": 3036.65,
    "stablelm-zephyr-3b": 2795.44,
    "phi-3-mini": 3821.08,
    "gpt2": 124.44,
}


def dimensions(architecture: str = "llama", **changes: object) -> Dimensions:
    fields: dict[str, object] = {
        "architecture": architecture, "name": "test", "n_layer": 2, "n_embd": 64, "n_ff": 128,
        "n_head": 4, "n_vocab": 100, "n_ctx_train": 32,
    }  # fmt: skip
    return Dimensions(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "millions"), PUBLISHED_M.items())
def test_parameters_are_the_published_ones(name: str, millions: float) -> None:
    assert count_parameters(PRESETS[name].dimensions) / 1e6 == pytest.approx(millions, abs=0.005)


def test_tiny_is_small_and_deep() -> None:
    tiny = PRESETS["tiny"].dimensions
    assert tiny.n_layer == 30
    assert 24e6 < count_parameters(tiny) < 26e6
    # K-quants need rows of whole 256-blocks.
    assert all(t.shape[0] % 256 == 0 for t in list_tensors(tiny) if len(t.shape) > 1)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_describes_a_loadable_file(name: str) -> None:
    preset = PRESETS[name]
    names = [tensor.name for tensor in list_tensors(preset.dimensions)]
    assert len(names) == len(set(names))
    assert names[0] == "token_embd.weight"
    assert ("output.weight" in names) is not preset.dimensions.tied
    keys = [key for key, _ in list_metadata(preset.dimensions)]
    assert len(keys) == len(set(keys))
    assert preset.source and name == name.lower()


def test_openelm_layers_differ_as_published() -> None:
    small = PRESETS["openelm-270m"].dimensions
    assert small.n_head == (12,) * 5 + (16,) * 7 + (20,) * 4
    assert small.n_head_kv == (3,) * 5 + (4,) * 7 + (5,) * 4
    # The survey's KV cache of OpenELM-3B is 164 MiB at 2048 tokens: keys and values in 16 bits.
    large = PRESETS["openelm-3b"].dimensions
    lengths = [large.kv_length_of(layer) for layer in range(large.n_layer)]
    assert sum(lengths) * 2 * 2 * 2048 / 2**20 == 164.0


def test_every_architecture_has_a_preset() -> None:
    assert {p.dimensions.architecture for p in PRESETS.values()} == set(ARCHITECTURES)


def test_names_do_not_depend_on_case() -> None:
    assert find_preset("Qwen2-0.5B").name == "qwen2-0.5b"


def test_unknown_preset_names_close_ones_and_the_list() -> None:
    with pytest.raises(ModelError, match=r"qwen2-0\.5b.*synth --list"):
        find_preset("qwen2-05b")
    with pytest.raises(ModelError, match="synth --list"):
        find_preset("")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layer": 0}, "n_layer"),
        ({"n_layer": 513}, "n_layer"),
        ({"n_vocab": 60_000_000}, r"n_vocab \(60000000\) must be 4194304 at most"),
        ({"n_embd": -64}, "n_embd"),
        ({"n_vocab": 2**40}, "too large"),
        ({"n_head": 3}, "multiple of n_head"),
        ({"n_head_kv": 3}, "multiple of n_head_kv"),
        ({"n_head": (4,)}, "lists 1 layers"),
        ({"head_dim": 15}, "odd"),
        ({"n_rot": 64}, "n_rot"),
        ({"n_expert": 4}, "at least one expert"),
        ({"n_expert": 4, "n_expert_used": 5}, "experts"),
        ({"rope_factors": "new"}, "rope_factors"),
    ],
)
def test_impossible_dimensions_say_why(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        dimensions(**changes)


@pytest.mark.parametrize(
    ("architecture", "changes", "message"),
    [
        ("mamba9", {}, "known are"),
        ("gemma", {}, "ties"),
        ("gptneox", {"tied": True}, "of its own"),
        ("qwen2", {"n_expert": 4, "n_expert_used": 2}, "no experts"),
        ("qwen2", {"head_dim": 32}, "heads of n_embd"),
        ("bloom", {"n_head_kv": 2}, "KV heads"),
        ("llama", {"n_ff": (64, 128)}, "every layer"),
        ("llama", {"n_rot": 8}, "whole heads"),
    ],
)
def test_rules_of_an_architecture(
    architecture: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        list_tensors(dimensions(architecture, **changes))


def test_experts_share_one_tensor_per_projection() -> None:
    mixture = dimensions(n_expert=8, n_expert_used=2)
    shapes = {tensor.name: tensor.shape for tensor in list_tensors(mixture)}
    assert shapes["blk.0.ffn_gate_exps.weight"] == (64, 128, 8)
    assert shapes["blk.1.ffn_down_exps.weight"] == (128, 64, 8)
    assert shapes["blk.1.ffn_gate_inp.weight"] == (64, 8)

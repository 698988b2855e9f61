"""Published architectures by name. Dimensions are those of each model's own `config.json`.

Where a family's GGUF files of 2024 carry an output matrix of their own although the model ties it
on paper (Bloom, Qwen1.5-0.5B), the preset carries one too, so that its counts and sizes are those
of the survey that measured these files (arXiv 2409.15790, figure 11).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from ..settings.dimensions import Dimensions, MetadataValue, PerLayer, StateSpace


@dataclass(frozen=True)
class Preset:
    """A published architecture: its name here, its dimensions, and where they are from."""

    name: str
    dimensions: Dimensions
    source: str  # the repository whose config.json gives the dimensions


# What the published models of an architecture share.
_SHARED: dict[str, dict[str, Any]] = {
    "llama": {"n_ctx_train": 2048},
    "qwen": {"n_vocab": 151936, "n_ctx_train": 8192, "norm_eps": 1e-6},
    "qwen2": {
        "n_vocab": 151936, "n_ctx_train": 32768, "norm_eps": 1e-6, "rope_freq_base": 1000000.0,
    },
    "gptneox": {"n_vocab": 50304, "n_ctx_train": 2048},
    "bloom": {"n_vocab": 250880, "n_ctx_train": 2048},
    "phi2": {"n_vocab": 51200, "n_ctx_train": 2048, "n_rot": 32, "qkv_bias": True},
    "phi3": {"n_vocab": 32064, "n_ctx_train": 4096},
    "gemma": {
        "head_dim": 256, "n_vocab": 256000, "n_ctx_train": 8192, "tied": True, "norm_eps": 1e-6,
    },
    "gpt2": {"n_vocab": 50257, "n_ctx_train": 2048, "tied": True},
    "stablelm": {"n_ctx_train": 4096, "parallel_residual": False},
    "minicpm": {"n_ctx_train": 4096, "tied": True},
    "olmo": {"n_vocab": 50304, "n_ctx_train": 2048, "tied": True},
    "openelm": {"n_vocab": 32000, "n_ctx_train": 2048, "tied": True, "norm_eps": 1e-6},
}  # fmt: skip
_SHARED["qwen3"] = {
    "head_dim": 128, "n_vocab": 151936, "n_ctx_train": 40960, "norm_eps": 1e-6,
    "rope_freq_base": 1000000.0, "tied": True,
}  # fmt: skip
_SHARED["gemma3"] = {
    "head_dim": 256, "n_vocab": 262144, "n_ctx_train": 32768, "norm_eps": 1e-6, "tied": True,
    "rope_freq_base": 1000000.0,
    "extra": (("attention.sliding_window", 512), ("rope.freq_base_swa", 10000.0)),
}  # fmt: skip
_SHARED["mamba"] = _SHARED["mamba2"] = {"n_ctx_train": 2**20, "tied": True}
_SHARED["gemma2"] = _SHARED["gemma"]


def _preset(
    name: str, source: str, architecture: str, n_layer: int, n_embd: int, n_ff: PerLayer,
    n_head: PerLayer, n_head_kv: PerLayer | None = None, *, key: str = "", **own: Any,
) -> Preset:  # fmt: skip
    """A preset with what its architecture shares and what is its own, called by `key` or name."""
    fields = {**_SHARED[architecture], **own}
    dimensions = Dimensions(
        architecture=architecture, name=name, n_layer=n_layer, n_embd=n_embd, n_ff=n_ff,
        n_head=n_head, n_head_kv=n_head_kv, **fields,
    )  # fmt: skip
    return Preset(key or name.lower(), dimensions, source)


def round_to_multiple(value: float, divisor: int) -> int:
    """The nearest multiple of `divisor`, never more than 10 % below `value`.

    This is how OpenELM's published configuration turns multipliers into widths.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _openelm(name: str, n_layer: int, n_embd: int, head_dim: int) -> Preset:
    """OpenELM scales its layers: queries from half to full width, FFN from 0.5 to 4 widths."""
    gqa_groups, ffn_divisor = 4, 256
    steps = [layer / (n_layer - 1) for layer in range(n_layer)]
    q_lengths = [
        round_to_multiple(n_embd * round(0.5 + 0.5 * step, 2), head_dim * gqa_groups)
        for step in steps
    ]
    n_ff = tuple(round_to_multiple(n_embd * round(0.5 + 3.5 * s, 2), ffn_divisor) for s in steps)
    n_head = tuple(length // head_dim for length in q_lengths)
    n_head_kv = tuple(heads // gqa_groups for heads in n_head)
    source = f"apple/{name.replace('.', '_')}"
    return _preset(
        name, source, "openelm", n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim=head_dim
    )


def _minicpm_scales(n_layer: int, n_embd: int) -> tuple[tuple[str, MetadataValue], ...]:
    """What MiniCPM multiplies its embeddings, residuals and logits with."""
    return (
        ("embedding_scale", 12.0),
        ("residual_scale", 1.4 / n_layer**0.5),
        ("logit_scale", n_embd / 256),
    )


_PRESETS = (
    # Not a published model: small enough for tests, deep enough (30 layers) for small ops to
    # matter, and with rows of whole 256-blocks, so that K-quants apply everywhere.
    _preset("Tiny-25M", "slmprof itself", "llama", 30, 256, 768, 4, 2,
            n_vocab=8192, tied=True, key="tiny"),
    _preset("SmolLM-135M", "HuggingFaceTB/SmolLM-135M", "llama", 30, 576, 1536, 9, 3,
            n_vocab=49152, tied=True),
    _preset("SmolLM-360M", "HuggingFaceTB/SmolLM-360M", "llama", 32, 960, 2560, 15, 5,
            n_vocab=49152, tied=True),
    _preset("SmolLM-1.7B", "HuggingFaceTB/SmolLM-1.7B", "llama", 24, 2048, 8192, 32, 32,
            n_vocab=49152, tied=True),
    _preset("TinyLlama-1.1B", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "llama", 22, 2048, 5632, 32, 4,
            n_vocab=32000),
    _preset("Qwen-1.8B", "Qwen/Qwen-1_8B", "qwen", 24, 2048, 11008, 16),
    _preset("Qwen1.5-0.5B", "Qwen/Qwen1.5-0.5B", "qwen2", 24, 1024, 2816, 16, 16),
    _preset("Qwen1.5-1.8B", "Qwen/Qwen1.5-1.8B", "qwen2", 24, 2048, 5504, 16, 16),
    _preset("Qwen2-0.5B", "Qwen/Qwen2-0.5B", "qwen2", 24, 896, 4864, 14, 2,
            tied=True, n_ctx_train=131072),
    _preset("Qwen2-1.5B", "Qwen/Qwen2-1.5B", "qwen2", 28, 1536, 8960, 12, 2,
            tied=True, n_ctx_train=131072),
    _preset("Pythia-160M", "EleutherAI/pythia-160m", "gptneox", 12, 768, 3072, 12, n_rot=16),
    _preset("Pythia-410M", "EleutherAI/pythia-410m", "gptneox", 24, 1024, 4096, 16, n_rot=16),
    _preset("Pythia-1B", "EleutherAI/pythia-1b", "gptneox", 16, 2048, 8192, 8, n_rot=64),
    _preset("Pythia-1.4B", "EleutherAI/pythia-1.4b", "gptneox", 24, 2048, 8192, 16, n_rot=32),
    _preset("Pythia-2.8B", "EleutherAI/pythia-2.8b", "gptneox", 32, 2560, 10240, 32, n_rot=20),
    _preset("Bloom-560M", "bigscience/bloom-560m", "bloom", 24, 1024, 4096, 16),
    _preset("Bloom-1B1", "bigscience/bloom-1b1", "bloom", 24, 1536, 6144, 16),
    _preset("Phi-1", "microsoft/phi-1", "phi2", 24, 2048, 8192, 32),
    _preset("Phi-1.5", "microsoft/phi-1_5", "phi2", 24, 2048, 8192, 32),
    _preset("Phi-2", "microsoft/phi-2", "phi2", 32, 2560, 10240, 32),
    _preset(
        "Phi-3-mini-4k", "microsoft/Phi-3-mini-4k-instruct", "phi3", 32, 3072, 8192, 32, 32,
        extra=(
            ("attention.sliding_window", 2047),
            ("rope.scaling.original_context_length", 4096),
        ),
        key="phi-3-mini",
    ),
    _preset("Gemma-2B", "google/gemma-2b", "gemma", 18, 2048, 16384, 8, 1),
    _preset(
        "Gemma-2-2B", "google/gemma-2-2b", "gemma2", 26, 2304, 9216, 8, 4,
        extra=(
            ("attn_logit_softcapping", 50.0),
            ("final_logit_softcapping", 30.0),
            ("attention.sliding_window", 4096),
        ),
    ),
    _preset("Gemma-3-270M", "google/gemma-3-270m", "gemma3", 18, 640, 2048, 4, 1),
    _preset("Gemma-3-1B", "google/gemma-3-1b-pt", "gemma3", 26, 1152, 6912, 4, 1),
    _preset("Qwen3-0.6B", "Qwen/Qwen3-0.6B", "qwen3", 28, 1024, 3072, 16, 8),
    _preset("Qwen3-1.7B", "Qwen/Qwen3-1.7B", "qwen3", 28, 2048, 6144, 16, 8),
    _preset("Mamba-130M", "state-spaces/mamba-130m-hf", "mamba", 24, 768, 0, 0, n_vocab=50280,
            ssm=StateSpace(n_inner=1536, n_state=16, n_conv=4, dt_rank=48)),
    _preset("Mamba2-130M", "state-spaces/mamba2-130m", "mamba2", 24, 768, 0, 0, n_vocab=50288,
            ssm=StateSpace(n_inner=1536, n_state=128, n_conv=4, dt_rank=24, n_group=1)),
    _openelm("OpenELM-270M", 16, 1280, 64),
    _openelm("OpenELM-450M", 20, 1536, 64),
    _openelm("OpenELM-1.1B", 28, 2048, 64),
    _openelm("OpenELM-3B", 36, 3072, 128),
    _preset("StableLM-2-1.6B", "stabilityai/stablelm-2-zephyr-1_6b", "stablelm",
            24, 2048, 5632, 32, 32, n_vocab=100352, n_rot=16, qkv_bias=True),
    _preset("StableLM-zephyr-3B", "stabilityai/stablelm-zephyr-3b", "stablelm",
            32, 2560, 6912, 32, 32, n_vocab=50304, n_rot=20),
    _preset("MiniCPM-1B", "openbmb/MiniCPM-1B-sft-bf16", "minicpm", 52, 1536, 3840, 24, 8,
            n_vocab=73440, extra=_minicpm_scales(52, 1536)),
    _preset("MiniCPM-2B", "openbmb/MiniCPM-2B-sft-bf16", "minicpm", 40, 2304, 5760, 36, 36,
            n_vocab=122753, extra=_minicpm_scales(40, 2304)),
    _preset("OLMo-1B", "allenai/OLMo-1B-hf", "olmo", 16, 2048, 8192, 16, 16),
    _preset("GPT-2", "openai-community/gpt2", "gpt2", 12, 768, 3072, 12,
            n_ctx_train=1024, key="gpt2"),
    _preset("Cerebras-GPT-111M", "cerebras/Cerebras-GPT-111M", "gpt2", 10, 768, 3072, 12),
)  # fmt: skip

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _PRESETS}


def find_preset(name: str) -> Preset:
    """The preset of this name, whatever its case. Raises ModelError with close matches."""
    preset = PRESETS.get(name.strip().lower())
    if preset is not None:
        return preset
    close = difflib.get_close_matches(name.lower(), PRESETS, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}? " if close else ""
    raise ModelError(f"unknown preset {name!r}; {hint}`slmprof synth --list` shows all of them")

"""Published architectures by name. Dimensions are those of each model's own `config.json`.

Where a family's GGUF files of 2024 carry an output matrix of their own although the model ties it
on paper (Bloom, Qwen1.5-0.5B), the preset carries one too, so that its counts and sizes are those
of the survey that measured these files (arXiv 2409.15790, figure 11).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ..errors import ModelError
from .dimensions import Dimensions, MetadataValue


@dataclass(frozen=True)
class Preset:
    """A published architecture: its name here, its dimensions, and where they are from."""

    name: str
    dimensions: Dimensions
    source: str  # the repository whose config.json gives the dimensions


def _llama(
    name: str, n_layer: int, n_embd: int, n_ff: int, heads: tuple[int, int], n_vocab: int,
    n_ctx_train: int = 2048, tied: bool = False, rope_freq_base: float = 10000.0,
) -> Dimensions:  # fmt: skip
    return Dimensions(
        architecture="llama", name=name, n_layer=n_layer, n_embd=n_embd, n_ff=n_ff,
        n_head=heads[0], n_head_kv=heads[1], n_vocab=n_vocab, n_ctx_train=n_ctx_train, tied=tied,
        rope_freq_base=rope_freq_base,
    )  # fmt: skip


def _qwen2(
    name: str, n_layer: int, n_embd: int, n_ff: int, heads: tuple[int, int], tied: bool,
    n_ctx_train: int = 32768,
) -> Dimensions:  # fmt: skip
    return Dimensions(
        architecture="qwen2", name=name, n_layer=n_layer, n_embd=n_embd, n_ff=n_ff,
        n_head=heads[0], n_head_kv=heads[1], n_vocab=151936, n_ctx_train=n_ctx_train, tied=tied,
        norm_eps=1e-6, rope_freq_base=1000000.0,
    )  # fmt: skip


def _pythia(name: str, n_layer: int, n_embd: int, n_head: int) -> Dimensions:
    head_dim = n_embd // n_head
    return Dimensions(
        architecture="gptneox", name=name, n_layer=n_layer, n_embd=n_embd, n_ff=4 * n_embd,
        n_head=n_head, n_vocab=50304, n_ctx_train=2048, n_rot=head_dim // 4,
    )  # fmt: skip


def _bloom(name: str, n_layer: int, n_embd: int, n_head: int) -> Dimensions:
    return Dimensions(
        architecture="bloom", name=name, n_layer=n_layer, n_embd=n_embd, n_ff=4 * n_embd,
        n_head=n_head, n_vocab=250880, n_ctx_train=2048,
    )  # fmt: skip


def _phi(name: str, n_layer: int, n_embd: int) -> Dimensions:
    return Dimensions(
        architecture="phi2", name=name, n_layer=n_layer, n_embd=n_embd, n_ff=4 * n_embd,
        n_head=32, n_vocab=51200, n_ctx_train=2048, n_rot=32, qkv_bias=True,
    )  # fmt: skip


def _gpt2(name: str, n_layer: int, n_embd: int, n_head: int, n_ctx_train: int) -> Dimensions:
    return Dimensions(
        architecture="gpt2", name=name, n_layer=n_layer, n_embd=n_embd, n_ff=4 * n_embd,
        n_head=n_head, n_vocab=50257, n_ctx_train=n_ctx_train, tied=True,
    )  # fmt: skip


def round_to_multiple(value: float, divisor: int) -> int:
    """The nearest multiple of `divisor`, never more than 10 % below `value`.

    This is how OpenELM's published configuration turns multipliers into widths.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _openelm(name: str, n_layer: int, n_embd: int, head_dim: int) -> Dimensions:
    """OpenELM scales its layers: queries from half to full width, FFN from 0.5 to 4 widths."""
    gqa_groups, ffn_divisor = 4, 256
    steps = [layer / (n_layer - 1) for layer in range(n_layer)]
    q_lengths = [
        round_to_multiple(n_embd * round(0.5 + 0.5 * step, 2), head_dim * gqa_groups)
        for step in steps
    ]
    n_head = tuple(length // head_dim for length in q_lengths)
    return Dimensions(
        architecture="openelm", name=name, n_layer=n_layer, n_embd=n_embd,
        n_ff=tuple(round_to_multiple(n_embd * round(0.5 + 3.5 * s, 2), ffn_divisor) for s in steps),
        n_head=n_head, n_head_kv=tuple(heads // gqa_groups for heads in n_head),
        head_dim=head_dim, n_vocab=32000, n_ctx_train=2048, tied=True, norm_eps=1e-6,
    )  # fmt: skip


def _stablelm(
    name: str, n_layer: int, n_embd: int, n_ff: int, n_vocab: int, qkv_bias: bool
) -> Dimensions:
    return Dimensions(
        architecture="stablelm", name=name, n_layer=n_layer, n_embd=n_embd, n_ff=n_ff,
        n_head=32, n_head_kv=32, n_vocab=n_vocab, n_ctx_train=4096,
        n_rot=n_embd // 32 // 4, qkv_bias=qkv_bias, parallel_residual=False,
    )  # fmt: skip


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
    Preset("tiny", _llama("Tiny-25M", 30, 256, 768, (4, 2), 8192, tied=True), "slmprof itself"),
    Preset(
        "smollm-135m",
        _llama("SmolLM-135M", 30, 576, 1536, (9, 3), 49152, tied=True),
        "HuggingFaceTB/SmolLM-135M",
    ),
    Preset(
        "smollm-360m",
        _llama("SmolLM-360M", 32, 960, 2560, (15, 5), 49152, tied=True),
        "HuggingFaceTB/SmolLM-360M",
    ),
    Preset(
        "smollm-1.7b",
        _llama("SmolLM-1.7B", 24, 2048, 8192, (32, 32), 49152, tied=True),
        "HuggingFaceTB/SmolLM-1.7B",
    ),
    Preset(
        "tinyllama-1.1b",
        _llama("TinyLlama-1.1B", 22, 2048, 5632, (32, 4), 32000),
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    ),
    Preset(
        "qwen-1.8b",
        Dimensions(
            architecture="qwen", name="Qwen-1.8B", n_layer=24, n_embd=2048, n_ff=11008,
            n_head=16, n_vocab=151936, n_ctx_train=8192, norm_eps=1e-6,
        ),
        "Qwen/Qwen-1_8B",
    ),
    Preset(
        "qwen1.5-0.5b",
        _qwen2("Qwen1.5-0.5B", 24, 1024, 2816, (16, 16), tied=False),
        "Qwen/Qwen1.5-0.5B",
    ),
    Preset(
        "qwen1.5-1.8b",
        _qwen2("Qwen1.5-1.8B", 24, 2048, 5504, (16, 16), tied=False),
        "Qwen/Qwen1.5-1.8B",
    ),
    Preset(
        "qwen2-0.5b",
        _qwen2("Qwen2-0.5B", 24, 896, 4864, (14, 2), tied=True, n_ctx_train=131072),
        "Qwen/Qwen2-0.5B",
    ),
    Preset(
        "qwen2-1.5b",
        _qwen2("Qwen2-1.5B", 28, 1536, 8960, (12, 2), tied=True, n_ctx_train=131072),
        "Qwen/Qwen2-1.5B",
    ),
    Preset("pythia-160m", _pythia("Pythia-160M", 12, 768, 12), "EleutherAI/pythia-160m"),
    Preset("pythia-410m", _pythia("Pythia-410M", 24, 1024, 16), "EleutherAI/pythia-410m"),
    Preset("pythia-1b", _pythia("Pythia-1B", 16, 2048, 8), "EleutherAI/pythia-1b"),
    Preset("pythia-1.4b", _pythia("Pythia-1.4B", 24, 2048, 16), "EleutherAI/pythia-1.4b"),
    Preset("pythia-2.8b", _pythia("Pythia-2.8B", 32, 2560, 32), "EleutherAI/pythia-2.8b"),
    Preset("bloom-560m", _bloom("Bloom-560M", 24, 1024, 16), "bigscience/bloom-560m"),
    Preset("bloom-1b1", _bloom("Bloom-1B1", 24, 1536, 16), "bigscience/bloom-1b1"),
    Preset("phi-1", _phi("Phi-1", 24, 2048), "microsoft/phi-1"),
    Preset("phi-1.5", _phi("Phi-1.5", 24, 2048), "microsoft/phi-1_5"),
    Preset("phi-2", _phi("Phi-2", 32, 2560), "microsoft/phi-2"),
    Preset(
        "phi-3-mini",
        Dimensions(
            architecture="phi3", name="Phi-3-mini-4k", n_layer=32, n_embd=3072, n_ff=8192,
            n_head=32, n_head_kv=32, n_vocab=32064, n_ctx_train=4096,
            extra=(
                ("attention.sliding_window", 2047),
                ("rope.scaling.original_context_length", 4096),
            ),
        ),
        "microsoft/Phi-3-mini-4k-instruct",
    ),
    Preset(
        "gemma-2b",
        Dimensions(
            architecture="gemma", name="Gemma-2B", n_layer=18, n_embd=2048, n_ff=16384,
            n_head=8, n_head_kv=1, head_dim=256, n_vocab=256000, n_ctx_train=8192, tied=True,
            norm_eps=1e-6,
        ),
        "google/gemma-2b",
    ),
    Preset(
        "gemma-2-2b",
        Dimensions(
            architecture="gemma2", name="Gemma-2-2B", n_layer=26, n_embd=2304, n_ff=9216,
            n_head=8, n_head_kv=4, head_dim=256, n_vocab=256000, n_ctx_train=8192, tied=True,
            norm_eps=1e-6,
            extra=(
                ("attn_logit_softcapping", 50.0),
                ("final_logit_softcapping", 30.0),
                ("attention.sliding_window", 4096),
            ),
        ),
        "google/gemma-2-2b",
    ),
    Preset("openelm-270m", _openelm("OpenELM-270M", 16, 1280, 64), "apple/OpenELM-270M"),
    Preset("openelm-450m", _openelm("OpenELM-450M", 20, 1536, 64), "apple/OpenELM-450M"),
    Preset("openelm-1.1b", _openelm("OpenELM-1.1B", 28, 2048, 64), "apple/OpenELM-1_1B"),
    Preset("openelm-3b", _openelm("OpenELM-3B", 36, 3072, 128), "apple/OpenELM-3B"),
    Preset(
        "stablelm-2-1.6b",
        _stablelm("StableLM-2-1.6B", 24, 2048, 5632, 100352, qkv_bias=True),
        "stabilityai/stablelm-2-zephyr-1_6b",
    ),
    Preset(
        "stablelm-zephyr-3b",
        _stablelm("StableLM-zephyr-3B", 32, 2560, 6912, 50304, qkv_bias=False),
        "stabilityai/stablelm-zephyr-3b",
    ),
    Preset(
        "minicpm-1b",
        Dimensions(
            architecture="minicpm", name="MiniCPM-1B", n_layer=52, n_embd=1536, n_ff=3840,
            n_head=24, n_head_kv=8, n_vocab=73440, n_ctx_train=4096, tied=True,
            extra=_minicpm_scales(n_layer=52, n_embd=1536),
        ),
        "openbmb/MiniCPM-1B-sft-bf16",
    ),
    Preset(
        "minicpm-2b",
        Dimensions(
            architecture="minicpm", name="MiniCPM-2B", n_layer=40, n_embd=2304, n_ff=5760,
            n_head=36, n_head_kv=36, n_vocab=122753, n_ctx_train=4096, tied=True,
            extra=_minicpm_scales(n_layer=40, n_embd=2304),
        ),
        "openbmb/MiniCPM-2B-sft-bf16",
    ),
    Preset(
        "olmo-1b",
        Dimensions(
            architecture="olmo", name="OLMo-1B", n_layer=16, n_embd=2048, n_ff=8192,
            n_head=16, n_head_kv=16, n_vocab=50304, n_ctx_train=2048, tied=True,
        ),
        "allenai/OLMo-1B-hf",
    ),
    Preset("gpt2", _gpt2("GPT-2", 12, 768, 12, 1024), "openai-community/gpt2"),
    Preset(
        "cerebras-gpt-111m",
        _gpt2("Cerebras-GPT-111M", 10, 768, 12, 2048),
        "cerebras/Cerebras-GPT-111M",
    ),
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

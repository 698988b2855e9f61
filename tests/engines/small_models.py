"""Small models of every architecture that has tests, as dimensions."""

from __future__ import annotations

from slmprof.settings.dimensions import Dimensions

ARCHITECTURES = (
    "llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi2", "phi3", "gptneox", "bloom",
    "gpt2", "stablelm", "openelm", "olmo", "minicpm",
)  # fmt: skip


def small_dimensions(architecture: str, **changes: object) -> Dimensions:
    """Three layers of 256, as much of the architecture as it has."""
    values: dict[str, object] = {
        "architecture": architecture, "name": f"small {architecture}", "n_layer": 3, "n_embd": 256,
        "n_ff": 512, "n_head": 4, "n_head_kv": 4, "n_vocab": 512, "n_ctx_train": 512,
        "head_dim": 64, "tied": architecture in ("gemma", "gemma2", "gemma3", "openelm"),
        "qkv_bias": architecture == "qwen2",
    }  # fmt: skip
    return Dimensions(**{**values, **changes})  # type: ignore[arg-type]

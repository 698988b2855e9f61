"""Families whose files are written with the class's defaults left out: Gemma 3 and Qwen3."""

from __future__ import annotations

from typing import Any

from ...settings.dimensions import Dimensions, MetadataValue
from .keys import Keys, quoted
from .rope import base_of, rope_of, rope_scaling
from .transformer import head_dim, name_of, transformer

SLIDING, FULL = "sliding_attention", "full_attention"
_GEMMA3: dict[str, Any] = {
    "n_layer": 26, "n_embd": 2304, "n_ff": 9216, "n_head": 8, "n_head_kv": 4, "n_vocab": 262208,
    "n_ctx_train": 131072, "norm_eps": 1e-6, "tied": True,
}  # fmt: skip
_QWEN3: dict[str, Any] = {
    "n_layer": 32, "n_embd": 4096, "n_ff": 22016, "n_head": 32, "n_head_kv": 32, "n_vocab": 151936,
    "n_ctx_train": 32768, "norm_eps": 1e-6,
}  # fmt: skip
# llama.cpp's own pattern where a file names none: every sixth layer sees the whole context.
GEMMA3_PERIOD = 6


def gemma3(keys: Keys) -> Dimensions:
    """Of the text model, or of the text part of one that sees images as well."""
    if keys.find("model_type") != "gemma3" and keys.find("text_config") is None:
        return _gemma3_text(keys)
    text = keys.part("text_config")
    # The outer file may say it for all parts.
    tied = keys.flag("tie_word_embeddings", default=True)
    text.values = {"tie_word_embeddings": tied, "_name_or_path": name_of(keys), **text.values}
    return _gemma3_text(text)


def _gemma3_text(keys: Keys) -> Dimensions:
    n_layer = keys.whole("num_hidden_layers", default=_GEMMA3["n_layer"])
    rope = keys.part("rope_parameters")
    of_full, of_sliding = rope.part(FULL), rope.part(SLIDING)
    base = of_full.find("rope_theta") or keys.find("rope_theta") or 1e6
    local = of_sliding.find("rope_theta") or keys.find("rope_local_base_freq") or 1e4
    scaling = rope_scaling({**of_full.values, **(rope_of(keys) if not of_full.values else {})})
    for part in (rope, of_full, of_sliding):
        part.find(*part.values)
    cap = keys.find("final_logit_softcapping")
    extra: list[tuple[str, MetadataValue]] = [
        *scaling.pop("extra", ()),
        *_windows(keys, n_layer, base_of(keys, local)),
        *(
            [("final_logit_softcapping", keys.real("final_logit_softcapping", default=0))]
            * bool(cap)
        ),
    ]
    if bias := keys.flag("attention_bias", default=False):
        keys.refuse("attention_bias")  # llama.cpp has none behind the output projection
    return transformer(
        keys, "gemma3", _GEMMA3, n_layer=n_layer, head_dim=head_dim(keys, 256), qkv_bias=bias,
        rope_freq_base=base_of(keys, base), extra=tuple(extra), **scaling,
    )  # fmt: skip


def _windows(keys: Keys, n_layer: int, local_base: float) -> list[tuple[str, MetadataValue]]:
    """The keys of a model whose layers mostly see a window of the context."""
    window = keys.whole("sliding_window", default=4096)
    period = keys.whole("sliding_window_pattern", "_sliding_window_pattern", default=GEMMA3_PERIOD)
    types = keys.words("layer_types", n_layer)
    if keys.values.get("sliding_window", window) is None:
        return []
    if unknown := set(types or ()) - {SLIDING, FULL}:
        raise keys.error(
            f"key 'layer_types' must list {SLIDING} or {FULL}, not {quoted(min(unknown))}"
        )
    usual = tuple(int((i + 1) % GEMMA3_PERIOD != 0) for i in range(n_layer))
    slides = tuple(int(period == 0 or (i + 1) % period != 0) for i in range(n_layer))
    if types is not None:
        slides = tuple(int(kind == SLIDING) for kind in types)
    found: list[tuple[str, MetadataValue]] = [("attention.sliding_window", window)]
    if slides != usual:
        found.append(("attention.sliding_window_pattern", slides))
    found.append(("rope.freq_base_swa", local_base))
    return found


def qwen3(keys: Keys) -> Dimensions:
    if bias := keys.flag("attention_bias", default=False):
        keys.refuse("attention_bias")  # llama.cpp has none behind the output projection
    return transformer(
        keys, "qwen3", _QWEN3, head_dim=head_dim(keys, 128), qkv_bias=bias,
        **rope_scaling(rope_of(keys)),
    )  # fmt: skip

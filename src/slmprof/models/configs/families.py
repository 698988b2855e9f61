"""The older families of dense transformers, one reader each.

Key names and defaults follow the model classes that wrote the files; what becomes of them follows
llama.cpp's converter (`conversion/*.py`).
"""

from __future__ import annotations

from ...settings.dimensions import Dimensions, MetadataValue
from ..presets import round_to_multiple
from .keys import Keys
from .rope import rope_of, rope_scaling, rotated
from .transformer import head_dim, transformer


def llama(keys: Keys) -> Dimensions:
    return transformer(
        keys, "llama", head_dim=head_dim(keys),
        qkv_bias=keys.flag("attention_bias", default=False),
        n_expert=keys.whole("num_local_experts", default=0),
        n_expert_used=keys.whole("num_experts_per_tok", default=0),
        **rope_scaling(rope_of(keys)),
    )  # fmt: skip


def qwen(keys: Keys) -> Dimensions:
    return transformer(keys, "qwen", norm_eps=keys.real("layer_norm_epsilon", default=1e-6),
                   n_ctx_train=keys.whole("max_position_embeddings", "seq_length"))  # fmt: skip


def qwen2(keys: Keys) -> Dimensions:
    return transformer(keys, "qwen2", **rope_scaling(rope_of(keys)))


def gemma(keys: Keys) -> Dimensions:
    return transformer(keys, "gemma", tied=True, head_dim=head_dim(keys))


def gemma2(keys: Keys) -> Dimensions:
    extra: tuple[tuple[str, MetadataValue], ...] = (
        ("attn_logit_softcapping", keys.real("attn_logit_softcapping", default=50.0)),
        ("final_logit_softcapping", keys.real("final_logit_softcapping", default=30.0)),
        ("attention.sliding_window", keys.whole("sliding_window", default=4096)),
    )
    return transformer(keys, "gemma2", tied=True, head_dim=head_dim(keys), extra=extra)


def phi2(keys: Keys) -> Dimensions:
    n_embd = keys.whole("hidden_size", "n_embd")
    return transformer(keys, "phi2", n_ff=4 * n_embd, n_rot=rotated(keys, 0.5), tied=False)


def phi3(keys: Keys) -> Dimensions:
    original = keys.whole(
        "original_max_position_embeddings", default=keys.whole("max_position_embeddings")
    )
    scaling = rope_scaling(rope_of(keys))
    extra = (
        *scaling.pop("extra", ()),
        ("attention.sliding_window", keys.whole("sliding_window", default=0)),
        ("rope.scaling.original_context_length", original),
    )
    return transformer(keys, "phi3", n_rot=rotated(keys, 1.0), extra=extra, **scaling)


def gptneox(keys: Keys) -> Dimensions:
    keys.find("attention_bias")  # always there
    return transformer(
        keys, "gptneox", n_rot=rotated(keys, 0.25), tied=False,
        parallel_residual=keys.flag("use_parallel_residual", default=True),
    )  # fmt: skip


def bloom(keys: Keys) -> Dimensions:
    n_embd = keys.whole("hidden_size", "n_embed")
    return transformer(
        keys, "bloom", n_embd=n_embd, n_ff=4 * n_embd,
        n_ctx_train=keys.whole("seq_length", default=n_embd),
        tied=keys.flag("tie_word_embeddings", default=True),
    )  # fmt: skip


def gpt2(keys: Keys) -> Dimensions:
    n_embd = keys.whole("n_embd", "hidden_size")
    return transformer(
        keys, "gpt2", n_ff=4 * n_embd, n_ctx_train=keys.whole("n_ctx", "n_positions"),
        tied=keys.flag("tie_word_embeddings", default=True),
    )  # fmt: skip


def stablelm(keys: Keys) -> Dimensions:
    if keys.flag("qk_layernorm", default=False):
        raise keys.error("StableLM with query and key norms cannot be synthesised")
    return transformer(
        keys, "stablelm", n_rot=rotated(keys, 0.25), tied=False,
        qkv_bias=keys.flag("use_qkv_bias", default=False),
        parallel_residual=keys.flag("use_parallel_residual", default=False),
    )  # fmt: skip


def openelm(keys: Keys) -> Dimensions:
    # What all published ones have alike.
    keys.find("ffn_with_glu", "normalize_qk_projections", "num_gqa_groups", "qkv_multipliers")
    keys.find("share_input_output_layers", "activation_fn_name", "normalization_layer_name")
    n_layer = keys.whole("num_transformer_layers")
    n_embd = keys.whole("model_dim")
    divisor = keys.whole("ffn_dim_divisor", default=256)
    n_head = tuple(int(x) for x in keys.reals("num_query_heads", n_layer))
    return transformer(
        keys, "openelm", n_layer=n_layer, n_embd=n_embd, n_head=n_head,
        n_head_kv=tuple(int(x) for x in keys.reals("num_kv_heads", n_layer)),
        n_ff=tuple(
            round_to_multiple(x * n_embd, max(divisor, 1))
            for x in keys.reals("ffn_multipliers", n_layer)
        ),
        n_ctx_train=keys.whole("max_context_length"), head_dim=keys.whole("head_dim"),
        tied=True, norm_eps=1e-6,
    )  # fmt: skip


def olmo(keys: Keys) -> Dimensions:
    clip = keys.find("clip_qkv")
    extra = () if clip is None else (("attention.clamp_kqv", keys.real("clip_qkv", default=0)),)
    return transformer(keys, "olmo", norm_eps=1e-5, extra=extra)


def minicpm(keys: Keys) -> Dimensions:
    n_layer = keys.whole("num_hidden_layers")
    extra: tuple[tuple[str, MetadataValue], ...] = (
        ("embedding_scale", keys.real("scale_emb", default=1.0)),
        ("residual_scale", keys.real("scale_depth", default=1.0) / max(n_layer, 1) ** 0.5),
        (
            "logit_scale",
            keys.whole("hidden_size") / max(keys.real("dim_model_base", default=1.0), 1.0),
        ),
    )
    return transformer(
        keys, "minicpm", tied=keys.flag("tie_word_embeddings", default=True), extra=extra
    )

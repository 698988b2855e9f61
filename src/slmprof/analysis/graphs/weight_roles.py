"""What a weight is for, by the name that llama.cpp gives it; the words for blocks and parts.

A name is a hint: a norm's place is decided by the graph (the same name stands before the FFN in one
architecture and after the attention in another), and a weight of an unknown name by its use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# One place for every part that attribution can give, by block; docs/attribution.md explains them.
PARTS: dict[str, tuple[str, ...]] = {
    "embedding": ("embed", "position", "norm", "projection", "residual", "mtp"),
    "attention": (
        "norm", "qkv", "qk_norm", "rope", "kv_write", "kv_read", "mask", "scores", "softmax",
        "values", "flash_attn", "gate", "out_proj", "indexer", "compressor", "laurel", "altup",
        "hyper_connection", "row_select", "residual",
    ),
    "ffn": (
        "norm", "gate_up", "activation", "down", "router", "experts", "shared_expert",
        "token_shift", "state", "hyper_connection", "altup", "per_layer_embed", "row_select",
        "residual",
    ),
    "recurrent": (
        "norm", "token_shift", "in_proj", "conv", "state_params", "scan", "state", "gate",
        "out_proj", "hyper_connection", "row_select", "residual", "mask",
    ),
    "lm_head": ("norm", "row_select", "head", "hyper_connection", "residual"),
    "other": ("pooler", "vocoder", "unknown"),
}  # fmt: skip

# Blocks that stand outside the layers, whatever the name of a weight says.
OUTER_BLOCKS = frozenset({"embedding", "lm_head"})


@dataclass(frozen=True)
class WeightRole:
    """What a weight's name says about the ops that read it.

    `kind` says how much weight the word has: `use` settles the op's block, `norm` leaves the block
    to the graph, `weak` gives only the layer, and `shared` (rope factors) says nothing.
    """

    block: str
    part: str
    layer: int
    kind: str = "use"


_LAYER = re.compile(r"(?:^|\.)(?:blk|layers?|h|blocks?|posnet|convnext)\.(\d{1,9})\.")
_AFFIX = re.compile(r"\.(?:weight|bias|scale|scales|input_scale|lora_[ab])$")

# The first pattern that matches the whole stem wins.
_RULES: tuple[tuple[str, str, str, str], ...] = (
    # stem, block, part, kind
    (r"token_embd|token_types|hrm\.z_l_init", "embedding", "embed", "use"),
    (r"position_embd", "embedding", "position", "use"),
    (r"per_layer_(token_embd|model_proj)", "embedding", "projection", "use"),
    (r"token_embd_norm|per_layer_proj_norm", "embedding", "norm", "norm"),
    (r"nextn\.(eh_proj|embed_tokens|pre_projection)|fc", "embedding", "mtp", "use"),
    (r"nextn\.(enorm|hnorm)", "embedding", "norm", "norm"),
    (r"nextn\.(shared_head_head|post_projection)", "lm_head", "head", "use"),
    (r"(enc\.|dec\.)?output_norm|nextn\.shared_head_norm|cls\.norm", "lm_head", "norm", "norm"),
    (r"output|cls|cls\.output|dense_[23]|altup_unembd_proj", "lm_head", "head", "use"),
    (r"output_hc_norm", "lm_head", "norm", "norm"),
    (r"output_hc_.*", "lm_head", "hyper_connection", "use"),
    (r"output_res_score", "lm_head", "residual", "use"),
    (r"altup_proj", "embedding", "projection", "use"),
    (r"rope_freqs|rope_factors_(long|short)|attn_rot_embd", "attention", "rope", "shared"),
    (r"hc_attn_norm", "attention", "norm", "norm"),
    (r"hc_ffn_norm", "ffn", "norm", "norm"),
    (r"hc_attn_.*", "attention", "hyper_connection", "use"),
    (r"hc_ffn_.*", "ffn", "hyper_connection", "use"),
    (r"attn_res_score", "attention", "residual", "use"),
    (r"ffn_res_score", "ffn", "residual", "use"),
    (r"attn_([qk]|kv|q_a|kv_a|k_b)_norm|(cross_)?attn_[qk]_norm", "attention", "qk_norm", "norm"),
    (r"indexer\.[qk]_norm", "attention", "indexer", "norm"),
    (r"indexer_compressor_norm|attn_compressor_norm", "attention", "compressor", "norm"),
    (r"indexer\..*", "attention", "indexer", "use"),
    (r"(indexer|attn)_compressor_.*", "attention", "compressor", "use"),
    (r"(cross_)?attn_(q|k|v|qkv|kv|q_a|q_b|kv_a_mqa|kv_b|k_b)", "attention", "qkv", "use"),
    # Values from a choice of experts, and what chooses.
    (r"attn_v_(exps|gate)", "attention", "qkv", "use"),
    (r"attn_v_b", "attention", "values", "use"),
    (r"attn_conv_(base|proj)|vis_attn_qkv", "attention", "qkv", "use"),
    (r"(cross_)?attn_(output|o|output_[ab])|vis_attn_output", "attention", "out_proj", "use"),
    (r"attn_gate", "attention", "gate", "use"),
    (r"attn_sinks", "attention", "softmax", "use"),
    (r"(cross_)?attn_rel_b", "attention", "scores", "use"),
    (r"laurel_[lr]", "attention", "laurel", "use"),
    (r"laurel_post_norm", "attention", "laurel", "norm"),
    (r"altup_.*norm", "ffn", "altup", "norm"),
    (r"altup_.*", "ffn", "altup", "weak"),
    (r"layer_output_scale", "ffn", "residual", "weak"),
    (r"inp_gate|proj", "ffn", "per_layer_embed", "use"),
    (r"ffn_gate_inp_shexp", "ffn", "shared_expert", "use"),
    (r"ffn_(gate_inp|gate_tid2eid)|exp_probs_b(_vl)?", "ffn", "router", "use"),
    (r"ffn_.*norm_exps|ffn_routed_norm", "ffn", "norm", "norm"),
    (r"ffn_(gate|up|down|gate_up)_(exps|chexps)", "ffn", "experts", "use"),
    (r"ffn_(gate|up|down)\.\d+", "ffn", "experts", "use"),
    (r"ffn_(latent|routed)_(down|up)", "ffn", "experts", "use"),
    (r"ffn_(gate|up|down|gate_up)_shexp", "ffn", "shared_expert", "use"),
    (r"(ffn|vis)_(gate|up|gate_up)|vis_(gate|up)|ffn_conv_.*", "ffn", "gate_up", "use"),
    (r"(ffn|vis)_down", "ffn", "down", "use"),
    (r"ffn[._]act", "ffn", "activation", "use"),
    (r"channel_mix_lerp_.*", "ffn", "token_shift", "use"),
    (r"channel_mix_(key|receptance)", "ffn", "gate_up", "use"),
    (r"channel_mix_value", "ffn", "down", "use"),
    (r"ssm_.*norm|time_mix_ln", "recurrent", "norm", "norm"),
    (r"ssm_conv1d.*|shortconv\.conv", "recurrent", "conv", "use"),
    (r"ssm_(x|dt|f_a|f_b|ba|beta|alpha)", "recurrent", "state_params", "use"),
    (r"ssm_(g|g_a|g_b)", "recurrent", "gate", "use"),
    (r"ssm_[ad]", "recurrent", "scan", "use"),
    (r"ssm_in|shortconv\.in_proj", "recurrent", "in_proj", "use"),
    (r"ssm_out|shortconv\.out_proj|time_mix_output", "recurrent", "out_proj", "use"),
    (r"time_mix_(lerp_.*|w[12])", "recurrent", "token_shift", "use"),
    (r"time_mix_(key|value|receptance)", "recurrent", "in_proj", "use"),
    (r"time_mix_(gate|g[12])", "recurrent", "gate", "use"),
    (r"time_mix_.*", "recurrent", "state_params", "use"),
    (r"ple_(norm_.*)", "ffn", "per_layer_embed", "norm"),
    (r"ple_.*", "ffn", "per_layer_embed", "use"),
    (r"(cross_)?attn_.*norm.*", "attention", "norm", "norm"),
    (r"post_attention_norm", "attention", "norm", "norm"),
    (r"(ffn|post_ffw|pre_ffw|layer_output|post)_.*norm.*|post_norm", "ffn", "norm", "norm"),
    (r"conv1d|norm|norm[12]|conv[12]|dw|pw[12]|gamma", "other", "vocoder", "use"),
)
_COMPILED = tuple((re.compile(stem), block, part, kind) for stem, block, part, kind in _RULES)


@lru_cache(maxsize=16384)
def role_of_name(name: str) -> WeightRole | None:
    """What a weight's name says, or None for a name that llama.cpp does not use."""
    stem, layer = stem_and_layer(name)
    for pattern, block, part, kind in _COMPILED:
        if pattern.fullmatch(stem):
            return WeightRole(block, part, -1 if block in OUTER_BLOCKS else layer, kind)
    return None


@lru_cache(maxsize=16384)
def stem_and_layer(name: str) -> tuple[str, int]:
    """A weight's name without its layer and suffix, and the layer (-1 where it has none)."""
    layer = -1
    found = _LAYER.search(name)
    if found:
        layer = int(found.group(1))
        name = name[found.end() :]
    while True:
        shorter = _AFFIX.sub("", name)
        if shorter == name:
            return name, layer
        name = shorter


_STATE_LAYER = re.compile(r"_l(\d{1,9})\b")
_RECURRENT_STATE = re.compile(r"cache_(?:ple_)?[rs]_l\d+")


def state_layer(name: str) -> int:
    """The layer in a cache's name (`cache_k_l3`), or -1."""
    found = _STATE_LAYER.search(name)
    return int(found.group(1)) if found else -1


def is_recurrent_state(name: str) -> bool:
    """Whether a cache's name is that of a recurrent state (`cache_r_l3`, `cache_s_l3`)."""
    return _RECURRENT_STATE.match(name) is not None

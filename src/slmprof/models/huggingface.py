"""A Hugging Face `config.json` read as dimensions.

Key names and defaults follow the model classes that wrote the files; what becomes of them follows
llama.cpp's converter (`conversion/*.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeGuard

from ..errors import ModelError
from ..settings.dimensions import MAX_DIMENSION, Dimensions, MetadataValue
from .presets import round_to_multiple

_MAX_REAL = 1e30  # excludes NaN and infinity too, which JSON as Python reads it may hold
_MAX_CONFIG_BYTES = 16 * 2**20  # configurations are a few kB; refuses a model file named .json


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a float32 of a GGUF file can hold it."""
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _MAX_REAL
    )


class _Config:
    """The keys of a configuration, checked when read."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self.values = values

    def error(self, message: str) -> ModelError:
        return ModelError(f"{self.path}: {message}")

    def find(self, *keys: str) -> Any:
        """The first of the keys that is there and not null, else None."""
        return next((self.values[k] for k in keys if self.values.get(k) is not None), None)

    def whole(self, *keys: str, default: int | None = None) -> int:
        def is_whole(value: Any) -> bool:
            return _is_number(value) and 0 <= value <= MAX_DIMENSION and int(value) == value

        return int(self._read(keys, default, is_whole, "a whole number in range"))

    def real(self, *keys: str, default: float) -> float:
        return float(self._read(keys, default, _is_number, "a number"))

    def flag(self, *keys: str, default: bool) -> bool:
        return bool(
            self._read(keys, default, lambda value: isinstance(value, bool), "true or false")
        )

    def _read(
        self, keys: tuple[str, ...], default: Any, fits: Callable[[Any], bool], what: str
    ) -> Any:
        value = self.find(*keys)
        if value is None and default is None:
            raise self.error(f"key {keys[0]!r} is missing")
        if value is not None and not fits(value):
            raise self.error(f"key {keys[0]!r} must be {what}, not {value!r}")
        return default if value is None else value

    def reals(self, key: str, length: int) -> list[float]:
        value = self.values.get(key)
        if (
            not isinstance(value, list)
            or len(value) != length
            or not all(_is_number(x) for x in value)
        ):
            raise self.error(f"key {key!r} must list {length} numbers")
        return [float(x) for x in value]

    @property
    def rope(self) -> dict[str, Any]:
        """RoPE's parameters, wherever this version of the format keeps them."""
        merged: dict[str, Any] = {}
        for key in ("rope_parameters", "rope_scaling"):
            if isinstance(self.values.get(key), dict):
                merged.update(self.values[key])
        return merged


def _name(config: _Config) -> str:
    given = config.find("_name_or_path")
    if isinstance(given, str) and given.strip("./"):
        return given.rstrip("/").rsplit("/", 1)[-1]
    parent = config.path.resolve().parent.name
    return parent or config.path.stem


def _common(config: _Config, architecture: str, **given: Any) -> Dimensions:
    """Dimensions from the keys that most families share; `given` wins."""
    n_head = given.get("n_head") or config.whole("num_attention_heads", "n_head")
    fields: dict[str, Any] = {
        "architecture": architecture,
        "name": _name(config),
        "n_head": n_head,
        "rope_freq_base": _rope_base(config),
    }
    readers: dict[str, Callable[[], Any]] = {
        "n_layer": lambda: config.whole("num_hidden_layers", "n_layer"),
        "n_embd": lambda: config.whole("hidden_size", "n_embd"),
        "n_ff": lambda: config.whole("intermediate_size", "n_inner"),
        "n_head_kv": lambda: config.whole("num_key_value_heads", default=n_head),
        "n_vocab": lambda: config.whole("vocab_size"),
        "n_ctx_train": lambda: config.whole("max_position_embeddings", "n_positions", "n_ctx"),
        "norm_eps": lambda: config.real(
            "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", default=1e-5
        ),
        "tied": lambda: config.flag("tie_word_embeddings", default=False),
    }
    for field, read in readers.items():
        if field not in given:
            fields[field] = read()
    return Dimensions(**{**fields, **given})


def _rope_base(config: _Config) -> float:
    value = config.find("rope_theta", "rotary_emb_base", "rope_freq_constant")
    if value is None:
        value = config.rope.get("rope_theta", 10000.0)
    if not _is_number(value):
        raise config.error(f"key 'rope_theta' must be a number, not {value!r}")
    return float(value)


def _rope_scaling(config: _Config) -> dict[str, Any]:
    """The fields of Dimensions that describe how RoPE is stretched for long contexts."""
    rope = config.rope
    kind = rope.get("rope_type", rope.get("type"))
    factor = rope.get("factor")
    extra: list[tuple[str, MetadataValue]] = []
    if kind in ("linear", "yarn") and _is_number(factor):
        extra = [("rope.scaling.type", str(kind)), ("rope.scaling.factor", float(factor))]
        original = rope.get("original_max_position_embeddings")
        if kind == "yarn" and isinstance(original, int) and 0 < original <= MAX_DIMENSION:
            extra.append(("rope.scaling.original_context_length", original))
    elif kind == "llama3":
        return {"rope_factors": "llama3"}
    elif kind in ("su", "longrope"):
        return {"rope_factors": "longrope", "extra": (("rope.scaling.type", "longrope"),)}
    return {"extra": tuple(extra)} if extra else {}


def _head_dim(config: _Config) -> int | None:
    return None if config.find("head_dim") is None else config.whole("head_dim")


def _rotated(config: _Config, default: float) -> int:
    """Rotated elements of a head, given as a share or as a count."""
    if config.find("rotary_dim") is not None:
        return config.whole("rotary_dim")
    share = config.find("partial_rotary_factor", "rotary_pct", "rope_pct")
    if share is None:
        share = config.rope.get("partial_rotary_factor", default)
    if not _is_number(share):
        raise config.error(f"key 'partial_rotary_factor' must be a number, not {share!r}")
    n_head = config.whole("num_attention_heads", "n_head")
    return int(share * (config.whole("hidden_size", "n_embd") // max(n_head, 1)))


def _llama(config: _Config) -> Dimensions:
    return _common(
        config, "llama", head_dim=_head_dim(config),
        qkv_bias=config.flag("attention_bias", default=False),
        n_expert=config.whole("num_local_experts", default=0),
        n_expert_used=config.whole("num_experts_per_tok", default=0),
        **_rope_scaling(config),
    )  # fmt: skip


def _qwen(config: _Config) -> Dimensions:
    return _common(config, "qwen", norm_eps=config.real("layer_norm_epsilon", default=1e-6),
                   n_ctx_train=config.whole("max_position_embeddings", "seq_length"))  # fmt: skip


def _qwen2(config: _Config) -> Dimensions:
    return _common(config, "qwen2", **_rope_scaling(config))


def _gemma(config: _Config) -> Dimensions:
    return _common(config, "gemma", tied=True, head_dim=_head_dim(config))


def _gemma2(config: _Config) -> Dimensions:
    extra: tuple[tuple[str, MetadataValue], ...] = (
        ("attn_logit_softcapping", config.real("attn_logit_softcapping", default=50.0)),
        ("final_logit_softcapping", config.real("final_logit_softcapping", default=30.0)),
        ("attention.sliding_window", config.whole("sliding_window", default=4096)),
    )
    return _common(config, "gemma2", tied=True, head_dim=_head_dim(config), extra=extra)


def _phi2(config: _Config) -> Dimensions:
    n_embd = config.whole("hidden_size", "n_embd")
    return _common(config, "phi2", n_ff=4 * n_embd, n_rot=_rotated(config, 0.5), tied=False)


def _phi3(config: _Config) -> Dimensions:
    original = config.whole(
        "original_max_position_embeddings", default=config.whole("max_position_embeddings")
    )
    scaling = _rope_scaling(config)
    extra = (
        *scaling.pop("extra", ()),
        ("attention.sliding_window", config.whole("sliding_window", default=0)),
        ("rope.scaling.original_context_length", original),
    )
    return _common(config, "phi3", n_rot=_rotated(config, 1.0), extra=extra, **scaling)


def _gptneox(config: _Config) -> Dimensions:
    return _common(
        config, "gptneox", n_rot=_rotated(config, 0.25), tied=False,
        parallel_residual=config.flag("use_parallel_residual", default=True),
    )  # fmt: skip


def _bloom(config: _Config) -> Dimensions:
    n_embd = config.whole("hidden_size", "n_embed")
    return _common(
        config, "bloom", n_embd=n_embd, n_ff=4 * n_embd,
        n_ctx_train=config.whole("seq_length", default=n_embd),
        tied=config.flag("tie_word_embeddings", default=True),
    )  # fmt: skip


def _gpt2(config: _Config) -> Dimensions:
    n_embd = config.whole("n_embd", "hidden_size")
    return _common(
        config, "gpt2", n_ff=4 * n_embd, n_ctx_train=config.whole("n_ctx", "n_positions"),
        tied=config.flag("tie_word_embeddings", default=True),
    )  # fmt: skip


def _stablelm(config: _Config) -> Dimensions:
    if config.flag("qk_layernorm", default=False):
        raise config.error("StableLM with query and key norms cannot be synthesised")
    return _common(
        config, "stablelm", n_rot=_rotated(config, 0.25), tied=False,
        qkv_bias=config.flag("use_qkv_bias", default=False),
        parallel_residual=config.flag("use_parallel_residual", default=False),
    )  # fmt: skip


def _openelm(config: _Config) -> Dimensions:
    n_layer = config.whole("num_transformer_layers")
    n_embd = config.whole("model_dim")
    divisor = config.whole("ffn_dim_divisor", default=256)
    n_head = tuple(int(x) for x in config.reals("num_query_heads", n_layer))
    return _common(
        config, "openelm", n_layer=n_layer, n_embd=n_embd, n_head=n_head,
        n_head_kv=tuple(int(x) for x in config.reals("num_kv_heads", n_layer)),
        n_ff=tuple(
            round_to_multiple(x * n_embd, max(divisor, 1))
            for x in config.reals("ffn_multipliers", n_layer)
        ),
        n_ctx_train=config.whole("max_context_length"), head_dim=config.whole("head_dim"),
        tied=True, norm_eps=1e-6,
    )  # fmt: skip


def _olmo(config: _Config) -> Dimensions:
    clip = config.find("clip_qkv")
    extra = () if clip is None else (("attention.clamp_kqv", config.real("clip_qkv", default=0)),)
    return _common(config, "olmo", norm_eps=1e-5, extra=extra)


def _minicpm(config: _Config) -> Dimensions:
    n_layer = config.whole("num_hidden_layers")
    extra: tuple[tuple[str, MetadataValue], ...] = (
        ("embedding_scale", config.real("scale_emb", default=1.0)),
        ("residual_scale", config.real("scale_depth", default=1.0) / max(n_layer, 1) ** 0.5),
        (
            "logit_scale",
            config.whole("hidden_size") / max(config.real("dim_model_base", default=1.0), 1.0),
        ),
    )
    return _common(
        config, "minicpm", tied=config.flag("tie_word_embeddings", default=True), extra=extra
    )


# By the class that wrote the file, and by `model_type` for files that name no class.
_READERS: dict[str, Callable[[_Config], Dimensions]] = {
    "LlamaForCausalLM": _llama, "llama": _llama,
    "MistralForCausalLM": _llama, "mistral": _llama,
    "MixtralForCausalLM": _llama, "mixtral": _llama,
    "QWenLMHeadModel": _qwen, "qwen": _qwen,
    "Qwen2ForCausalLM": _qwen2, "qwen2": _qwen2,
    "GemmaForCausalLM": _gemma, "gemma": _gemma,
    "Gemma2ForCausalLM": _gemma2, "gemma2": _gemma2,
    "PhiForCausalLM": _phi2, "phi": _phi2,
    "Phi3ForCausalLM": _phi3, "phi3": _phi3,
    "GPTNeoXForCausalLM": _gptneox, "gpt_neox": _gptneox,
    "BloomForCausalLM": _bloom, "BloomModel": _bloom, "bloom": _bloom,
    "GPT2LMHeadModel": _gpt2, "gpt2": _gpt2,
    "StableLmForCausalLM": _stablelm, "StableLMEpochForCausalLM": _stablelm, "stablelm": _stablelm,
    "OpenELMForCausalLM": _openelm, "openelm": _openelm,
    "OlmoForCausalLM": _olmo, "olmo": _olmo,
    "MiniCPMForCausalLM": _minicpm, "minicpm": _minicpm,
}  # fmt: skip


def read_config(path: Path) -> Dimensions:
    """The dimensions that a `config.json` gives. Raises ModelError, naming file and cause."""
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ModelError(f"{path} is too large for a config.json")
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} is not a model configuration: it holds no JSON object")
    config = _Config(path, values)
    classes = values.get("architectures")
    named = classes[0] if isinstance(classes, list) and classes else None
    key = named if isinstance(named, str) else values.get("model_type")
    if not isinstance(key, str):
        raise config.error("neither 'architectures' nor 'model_type' says what the model is")
    reader = _READERS.get(key)
    if reader is None:
        supported = ", ".join(sorted(k for k in _READERS if k[0].isupper()))
        raise config.error(f"cannot synthesise {key}; supported are {supported}")
    try:
        return reader(config)
    except ModelError as error:
        message = str(error)
        raise ModelError(message if str(path) in message else f"{path}: {message}") from None

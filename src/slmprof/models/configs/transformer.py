"""What the configurations of most families of transformers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...settings.dimensions import Dimensions
from .keys import Keys
from .rope import rope_base


def name_of(keys: Keys) -> str:
    """What the model is called: where it came from, or the folder of the file."""
    given = keys.find("_name_or_path")
    if isinstance(given, str) and given.strip("./"):
        return given.rstrip("/").rsplit("/", 1)[-1]
    parent = keys.path.resolve().parent.name
    return parent or keys.path.stem


def transformer(
    keys: Keys, architecture: str, defaults: Mapping[str, Any] | None = None, **given: Any
) -> Dimensions:
    """Dimensions from the keys that most families share.

    Args:
        defaults: by the fields of Dimensions, of the class that wrote the file, which leaves out
            what is as it is there; without one a key must be there.
        given: fields that win over what the keys say.
    """
    keys.find(
        "tie_word_embeddings", "intermediate_size", "n_inner", "rms_norm_eps", "layer_norm_eps"
    )
    _note_windows(keys)
    usual = {"norm_eps": 1e-5, "tied": False, **(defaults or {})}
    n_head = given.get("n_head") or keys.whole(
        "num_attention_heads", "n_head", default=usual.get("n_head")
    )
    fields: dict[str, Any] = {"architecture": architecture, "name": name_of(keys), "n_head": n_head}

    def whole(*names: str) -> Callable[[Any], int]:
        return lambda default: keys.whole(*names, default=default)

    readers: dict[str, Callable[[Any], Any]] = {
        "rope_freq_base": lambda _: rope_base(keys),
        "n_layer": whole("num_hidden_layers", "n_layer"),
        "n_embd": whole("hidden_size", "n_embd"),
        "n_ff": whole("intermediate_size", "n_inner"),
        "n_head_kv": lambda default: _kv_heads(keys, n_head, default),
        "n_vocab": whole("vocab_size"),
        "n_ctx_train": whole("max_position_embeddings", "n_positions", "n_ctx"),
        "norm_eps": lambda default: keys.real(
            "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", default=default
        ),
        "tied": lambda default: keys.flag("tie_word_embeddings", default=default),
    }
    for field, read in readers.items():
        if field not in given:
            fields[field] = read(usual.get(field))
    return Dimensions(**{**fields, **given})


def _kv_heads(keys: Keys, n_head: int, default: int | None) -> int:
    """Heads of keys and values: null stands for as many as there are of queries."""
    key = "num_key_value_heads"
    is_null = key in keys.values and keys.values[key] is None
    n_head_kv = keys.whole(key, default=n_head if is_null or default is None else default)
    if n_head_kv and n_head % n_head_kv:
        heads = keys.told(n_head, "num_attention_heads", "n_head")
        raise keys.error(f"{heads} must be a multiple of {keys.told(n_head_kv, key)}")
    return n_head_kv


def _note_windows(keys: Keys) -> None:
    """Takes notice of windows that are switched off: no key of theirs says anything then."""
    if keys.values.get("use_sliding_window") is False:
        keys.find("sliding_window", "max_window_layers", "layer_types")
    types = keys.values.get("layer_types")
    if isinstance(types, list) and all(kind == "full_attention" for kind in types):
        keys.find("layer_types")


def head_dim(keys: Keys, default: int | None = None) -> int | None:
    """Elements of a head, where the file says it."""
    return default if keys.find("head_dim") is None else keys.whole("head_dim")

"""How a configuration rotates queries and keys: RoPE's base, scaling, and part of a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...settings.dimensions import MAX_DIMENSION, MetadataValue
from .keys import Keys, is_number, quoted


def rope_of(keys: Keys) -> dict[str, Any]:
    """RoPE's parameters, wherever this version of the format keeps them."""
    merged: dict[str, Any] = {}
    for key in ("rope_parameters", "rope_scaling"):
        value = keys.find(key)
        if isinstance(value, dict):
            merged.update(value)
    return merged


def rope_base(keys: Keys) -> float:
    """The base of the frequencies."""
    value = keys.find("rope_theta", "rotary_emb_base", "rope_freq_constant")
    return base_of(keys, rope_of(keys).get("rope_theta", 10000.0) if value is None else value)


def base_of(keys: Keys, value: Any) -> float:
    """A base as it may be. Raises ModelError."""
    if not is_number(value):
        raise keys.error(f"key 'rope_theta' must be a number, not {quoted(value)}")
    return float(value)


def rope_scaling(rope: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of Dimensions that describe how RoPE is stretched for long contexts."""
    kind = rope.get("rope_type", rope.get("type"))
    factor = rope.get("factor")
    extra: list[tuple[str, MetadataValue]] = []
    if kind in ("linear", "yarn") and is_number(factor):
        extra = [("rope.scaling.type", str(kind)), ("rope.scaling.factor", float(factor))]
        original = rope.get("original_max_position_embeddings")
        if kind == "yarn" and isinstance(original, int) and 0 < original <= MAX_DIMENSION:
            extra.append(("rope.scaling.original_context_length", original))
    elif kind == "llama3":
        return {"rope_factors": "llama3"}
    elif kind in ("su", "longrope"):
        return {"rope_factors": "longrope", "extra": (("rope.scaling.type", "longrope"),)}
    return {"extra": tuple(extra)} if extra else {}


def rotated(keys: Keys, default: float) -> int:
    """Rotated elements of a head, given as a share or as a count."""
    if keys.find("rotary_dim") is not None:
        return keys.whole("rotary_dim")
    share = keys.find("partial_rotary_factor", "rotary_pct", "rope_pct")
    if share is None:
        share = rope_of(keys).get("partial_rotary_factor", default)
    if not is_number(share):
        raise keys.error(f"key 'partial_rotary_factor' must be a number, not {quoted(share)}")
    n_head = keys.whole("num_attention_heads", "n_head")
    return int(share * (keys.whole("hidden_size", "n_embd") // max(n_head, 1)))

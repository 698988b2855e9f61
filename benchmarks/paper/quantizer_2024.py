"""The tensor types that llama-quantize of 2024 chose, as patterns for today's.

Two rules have changed since. A fused attn_qkv got q5_K in a Q4_K_M file, where today's quantizer
treats it like attn_v. And layers were counted in the file's order, which for a model in one part
was that of the names: 0, 1, 10, 11, …, 2; it shows in the size where layers differ in width.
"""

from __future__ import annotations

from slmprof.models.synthesis import plan_model
from slmprof.settings.dimensions import Dimensions

# Its original weights came in several files, which kept its layers nearly in their own order.
_IN_PARTS = ("OpenELM-3B",)
_COUNTED = ("ffn_down", "attn_v")


def tensor_types(dimensions: Dimensions) -> list[tuple[str, str]]:
    """(pattern, type) pairs with which a Q4_K_M file is that of 2024."""
    types = {tensor.name: tensor.type for tensor in plan_model(dimensions, "Q4_K_M").tensors}
    patterns = []
    if "blk.0.attn_qkv.weight" in types:
        patterns.append((r"\.attn_qkv\.weight", "q5_K"))
    layers = range(dimensions.n_layer)
    order = list(layers) if dimensions.name in _IN_PARTS else sorted(layers, key=str)
    for part in _COUNTED:
        if f"blk.0.{part}.weight" not in types:
            continue
        layers_of: dict[str, list[int]] = {}
        for counted, layer in enumerate(order):
            layers_of.setdefault(types[f"blk.{counted}.{part}.weight"], []).append(layer)
        for type_, chosen in layers_of.items():
            numbers = "|".join(map(str, sorted(chosen)))
            patterns.append((rf"blk\.({numbers})\.{part}\.weight", type_))
    return patterns

"""The settings as llama.cpp used them, not as they were asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..settings.capture import CaptureConfig
from ..settings.devices import NO_CUDA_GRAPHS, native_devices
from ..settings.resolved import ResolvedConfig, used_buffers
from .seen_graphs import SeenGraphs


def used_config(
    asked: CaptureConfig,
    model_info: Mapping[str, Any],
    context_info: Mapping[str, Any],
    buffer_types: Iterable[str],
    graphs: SeenGraphs,
) -> ResolvedConfig:
    """What was asked for, with what only a context and its graphs tell.

    Args:
        model_info, context_info: as the engine tells them.
        buffer_types: of the engine's buffers.
        graphs: what has run so far.
    """
    used = {
        "n_ctx": context_info["n_ctx"],
        "n_batch": context_info["n_batch"],
        "n_ubatch": context_info["n_ubatch"],
        "threads": context_info["n_threads"],
        "processes": 1,  # this one; what several gave is merged
        "n_gpu_layers": _n_layers_there(asked, int(model_info["n_layer"])),
        "cuda_graphs": asked.cuda_graphs and NO_CUDA_GRAPHS not in os.environ,
        **used_buffers(buffer_types),
    }
    if graphs.ops:
        used["flash_attn"] = "on" if "FLASH_ATTN_EXT" in graphs.ops else "off"
    for name, prefix in (("type_k", "cache_k"), ("type_v", "cache_v")):
        used[name] = next(iter(graphs.state_types(prefix)), None)
    return ResolvedConfig.from_json({**asked.to_json(), **used})


def _n_layers_there(asked: CaptureConfig, n_layer: int) -> int | None:
    """Layers on devices beside the CPU; as llama.cpp counts, the LM head is one. None where no
    device is named."""
    if not native_devices(asked.device):
        return None
    n_layers = n_layer + 1
    return min(asked.n_layers_there, n_layers) if asked.n_layers_there >= 0 else n_layers

"""Models: what a MODEL string means, published architectures, files with random weights."""

from __future__ import annotations

from .architectures import ARCHITECTURES, TensorSpec, count_parameters, list_metadata, list_tensors
from .dimensions import Dimensions
from .huggingface import read_config
from .outline import outline
from .presets import PRESETS, Preset, find_preset
from .resolve import cache_folder, check_gguf, resolve_model
from .synthesis import (
    DEFAULT_FILE_TYPE,
    ModelPlan,
    PlannedTensor,
    find_dimensions,
    plan_model,
    synthesize,
)

__all__ = [
    "ARCHITECTURES",
    "DEFAULT_FILE_TYPE",
    "PRESETS",
    "Dimensions",
    "ModelPlan",
    "PlannedTensor",
    "Preset",
    "TensorSpec",
    "cache_folder",
    "check_gguf",
    "count_parameters",
    "find_dimensions",
    "find_preset",
    "list_metadata",
    "list_tensors",
    "outline",
    "plan_model",
    "read_config",
    "resolve_model",
    "synthesize",
]

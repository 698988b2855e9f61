"""Models: what a MODEL string means, published architectures, files with random weights.

The names load when first used: to plan a file's memory needs none of the architectures.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architectures import ARCHITECTURES as ARCHITECTURES
    from .architectures import TensorSpec as TensorSpec
    from .architectures import count_parameters as count_parameters
    from .architectures import list_metadata as list_metadata
    from .architectures import list_tensors as list_tensors
    from .dimensions import Dimensions as Dimensions
    from .huggingface import read_config as read_config
    from .outline import outline as outline
    from .presets import PRESETS as PRESETS
    from .presets import Preset as Preset
    from .presets import find_preset as find_preset
    from .resolve import cache_folder as cache_folder
    from .resolve import check_gguf as check_gguf
    from .resolve import resolve_model as resolve_model
    from .synthesis import DEFAULT_FILE_TYPE as DEFAULT_FILE_TYPE
    from .synthesis import ModelPlan as ModelPlan
    from .synthesis import PlannedTensor as PlannedTensor
    from .synthesis import find_dimensions as find_dimensions
    from .synthesis import plan_model as plan_model
    from .synthesis import synthesize as synthesize

# Public name -> module that holds it.
_PUBLIC: dict[str, str] = {
    "ARCHITECTURES": ".architectures",
    "DEFAULT_FILE_TYPE": ".synthesis",
    "Dimensions": ".dimensions",
    "ModelPlan": ".synthesis",
    "PRESETS": ".presets",
    "PlannedTensor": ".synthesis",
    "Preset": ".presets",
    "TensorSpec": ".architectures",
    "cache_folder": ".resolve",
    "check_gguf": ".resolve",
    "count_parameters": ".architectures",
    "find_dimensions": ".synthesis",
    "find_preset": ".presets",
    "list_metadata": ".architectures",
    "list_tensors": ".architectures",
    "outline": ".outline",
    "plan_model": ".synthesis",
    "read_config": ".huggingface",
    "resolve_model": ".resolve",
    "synthesize": ".synthesis",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name], __name__), name)
    globals()[name] = value
    return value

"""Where CUPTI, NVIDIA's profiling library, may be."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

# A file, or a folder with libcupti.so in it, that is looked at in place of all others.
VARIABLE = "SLMPROF_CUPTI"
# Below site-packages: of the packages nvidia-cuda-cupti and nvidia-cuda-cupti-cu12.
_OF_PACKAGES = ("nvidia/cu13/lib", "nvidia/cuda_cupti/lib")
_OF_TOOLKIT = ("lib64", "extras/CUPTI/lib64", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib")


def cupti_folders() -> list[str]:
    """The places that are there, the first choice first."""
    named = os.environ.get(VARIABLE)
    if named:
        return [named]
    site = Path(sysconfig.get_path("purelib"))
    kits = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    places = [
        *(site / folder for folder in _OF_PACKAGES),
        *(kit / folder for kit in map(Path, (*kits, "/usr/local/cuda")) for folder in _OF_TOOLKIT),
    ]
    return [str(place) for place in places if place.exists()]

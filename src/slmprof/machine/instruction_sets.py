"""Which instruction sets ggml's kernels in this build were compiled for."""

from __future__ import annotations

# What llama.cpp calls an instruction set that its kernels make use of; of the first, every x86-64
# has it, and of the last none of its kernels has use.
_FEATURES = {
    "sse2": "",
    "ssse3": "SSSE3",
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "avx_vnni": "AVX_VNNI",
    "avx512f": "AVX512",
    "avx512bw": "AVX512",
    "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16",
    "neon": "NEON",
    "neon_dotprod": "DOTPROD",
}


def is_built(isa: str, features: str | None = None) -> bool:
    """Whether ggml's kernels were compiled for an instruction set.

    Args:
        features: the build's features in llama.cpp's words; without, those of this build.
    """
    if features is None:
        from .. import _core

        features = _core.cpu_features()
    feature = _FEATURES.get(isa)
    return feature is not None and (not feature or f" {feature} = 1" in f" {features}")

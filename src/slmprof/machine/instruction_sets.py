"""Which instruction sets ggml's kernels in this build were compiled for, and this processor has."""

from __future__ import annotations

from collections.abc import Collection

# What llama.cpp calls an instruction set that its kernels make use of, and the processor's flags
# that they then need, as Linux tells them.
_FLAGS = {
    "SSE3": ("pni",),
    "SSSE3": ("ssse3",),
    "AVX": ("avx",),
    "AVX2": ("avx2",),
    "F16C": ("f16c",),
    "FMA": ("fma",),
    "BMI2": ("bmi2",),
    "AVX_VNNI": ("avx_vnni",),
    "AVX512": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "AVX512_VBMI": ("avx512vbmi",),
    "AVX512_VNNI": ("avx512_vnni",),
    "AVX512_BF16": ("avx512_bf16",),
    "AMX_INT8": ("amx_tile", "amx_int8"),
    "NEON": ("asimd",),
    "DOTPROD": ("asimddp",),
    "FP16_VA": ("asimdhp",),
    "MATMUL_INT8": ("i8mm",),
    "SVE": ("sve",),
    "SME": ("sme",),
}
# Where slmprof's microkernels have another name for a flag.
_OF_KERNELS = {
    "neon": "asimd",
    "neon_dotprod": "asimddp",
    "neon_fp16": "asimdhp",
    "neon_i8mm": "i8mm",
}


def is_built(isa: str, features: str | None = None) -> bool:
    """Whether ggml's kernels were compiled for an instruction set.

    Args:
        isa: as a microkernel of slmprof or Linux names it.
        features: the build's features in llama.cpp's words; without, those of this build.
    """
    if features is None:
        from .. import _core

        features = _core.cpu_features()
    if isa == "sse2":
        return True  # every x86-64 has it
    flag = _OF_KERNELS.get(isa, isa)
    built = built_sets(features)
    return any(flag in flags for name, flags in _FLAGS.items() if name in built)


def built_sets(features: str) -> list[str]:
    """The instruction sets of a build, by llama.cpp's names of them.

    Args:
        features: the build's features in llama.cpp's words.
    """
    return [name for name in _FLAGS if f" {name} = 1 " in f" {features} "]


def missing_sets(features: str, flags: Collection[str]) -> list[str]:
    """What the build was compiled for and the processor lacks: it would die of it."""
    built = built_sets(features)
    return [name for name in built if not all(flag in flags for flag in _FLAGS[name])]


def unused_sets(features: str, flags: Collection[str]) -> list[str]:
    """What the processor has and the build was not compiled for."""
    built = built_sets(features)
    return [
        name
        for name, needed in _FLAGS.items()
        if name not in built and all(flag in flags for flag in needed)
    ]

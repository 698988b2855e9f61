"""Which instruction sets a build uses, from what llama.cpp says of it."""

from __future__ import annotations

import pytest

from slmprof.machine.instruction_sets import (
    built_sets,
    is_built,
    missing_sets,
    unused_sets,
)

FEATURES = "CPU : SSE3 = 1 | SSSE3 = 1 | AVX = 0 | AVX_VNNI = 1 | AVX512 = 1 | FMA = 10 | "


@pytest.mark.parametrize(
    ("isa", "wanted"),
    [
        ("sse2", True),
        ("ssse3", True),
        ("avx", False),
        ("avx2", False),
        ("avx_vnni", True),
        ("avx512bw", True),
        ("avx512_vnni", False),
        ("avx512_fp16", False),
        ("unheard_of", False),
    ],
)
def test_a_set_is_used_where_the_build_says_so(isa: str, wanted: bool) -> None:
    assert is_built(isa, FEATURES) is wanted
    assert is_built(isa, "") is (isa == "sse2")


def test_a_build_for_more_or_less_than_the_processor_has() -> None:
    assert built_sets(FEATURES) == ["SSE3", "SSSE3", "AVX_VNNI", "AVX512"]
    flags = {"pni", "ssse3", "avx", "avx2", "avx512f", "avx512bw", "avx512cd", "avx512dq"}
    assert missing_sets(FEATURES, flags) == ["AVX_VNNI", "AVX512"]  # avx512vl is not there
    assert unused_sets(FEATURES, flags) == ["AVX", "AVX2"]
    assert missing_sets(FEATURES, flags | {"avx512vl", "avx_vnni"}) == []


def test_arms_sets() -> None:
    built = "CPU : NEON = 1 | ARM_FMA = 1 | FP16_VA = 1 | DOTPROD = 1 | LLAMAFILE = 1 | "
    kernels = ["neon", "neon_dotprod", "neon_fp16", "neon_i8mm"]
    assert [is_built(isa, built) for isa in kernels] == [True, True, True, False]
    text = "fp asimd aes crc32 atomics fphp asimdhp cpuid asimdrdm asimddp"
    flags = frozenset(text.split())
    assert missing_sets(built, flags) == unused_sets(built, flags) == []
    assert missing_sets(f"{built}MATMUL_INT8 = 1 | SVE = 1 | ", flags) == ["MATMUL_INT8", "SVE"]
    assert unused_sets("CPU : NEON = 1 | ", flags) == ["DOTPROD", "FP16_VA"]

"""Which instructions of a CUDA device do the arithmetic of an op, as ggml-cuda chooses them.

A roof is the fastest of the instructions that the op's kernel may use. The kernel is known where
the profile names it; else every kernel that ggml-cuda might choose for such an op counts, because a
rate that the op's kernel cannot reach still makes a least time.

The rules are those of ggml-cuda on NVIDIA's devices, each with the file that it stands in. Whether
an instruction is offered was measured by loops that are compiled for the same architectures as
ggml's kernels: what the loops do not have, ggml's kernels do not use.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...profiles.records.device_ceilings import DeviceCeilings
from ..graphs.cuda_kernels import LIBRARY, kernel_family
from ..graphs.kernel_names import MAX_VEC_COLUMNS

# Instructions by the names that `csrc/machine/cuda/peaks.cu` gives them.
F32, F16, DP4A = "fma.f32", "fma.f16x2", "dp4a.s8"
MMA_F16, MMA_F16_ALL, MMA_BF16 = "mma.f16.f32", "mma.f16.f16", "mma.bf16.f32"
MMA_TF32, MMA_INT8 = "mma.tf32.f32", "mma.s8.s32"

Names = tuple[str, ...]

# Compute capabilities.
_VOLTA = 70
_HOPPER, _BLACKWELL, _RUBIN = 90, 120, 130

_FLOATS = ("f32", "f16", "bf16")
_FOUR_BIT_FLOATS = ("mxfp4", "nvfp4")
# Columns up to which ggml's own products with tensor cores take a matrix of floats (mmf.cu).
_MAX_MMF_COLUMNS = 16
# Quantized products of more columns are cuBLAS's, where tensor cores have no integers (mmq.cuh).
_MAX_DP4A_COLUMNS = 64

_MMA, _VEC, _TILE = "flash_attn_ext_f16", "flash_attn_ext_vec", "flash_attn_tile"
_CODES = ("mul_mat_vec_q", "mul_mat_vec_f", "mul_mat_q", "mul_mat_f", _MMA, _VEC, _TILE, LIBRARY)
_WORD = re.compile(r"[a-z_]\w*", re.ASCII | re.IGNORECASE)


def op_instructions(
    kernel: str, code: str, types: Sequence[str], n_columns: int, ceilings: DeviceCeilings
) -> Names:
    """The instructions of which the fastest is an op's roof; none where that is not known.

    Args:
        kernel: the op's family.
        code: the name of the device's kernel, or of several; empty where it is not known.
        types: of the op's sources.
        n_columns: of a product, what one matrix is multiplied with; queries of an attention.
    """
    named = [one for one in map(_known, _WORD.findall(code)) if one is not None]
    if not named and code and kernel_family(code) == LIBRARY:
        named = [LIBRARY]
    place = 1 if kernel == "flash_attn" else 0
    type_name = types[place] if len(types) > place else ""
    codes = named[:1] or possible_kernels(kernel, type_name, n_columns, ceilings)
    if not codes:
        return (F32,)
    found = [kernel_instructions(one, type_name, ceilings) for one in codes]
    return tuple(dict.fromkeys(name for names in found for name in names)) if all(found) else ()


def _known(word: str) -> str | None:
    """The longest of `_CODES` that a kernel's name begins with; templates have further words."""
    return max((code for code in _CODES if word.startswith(code)), key=len, default=None)


def possible_kernels(
    kernel: str, type_name: str, n_columns: int, ceilings: DeviceCeilings
) -> tuple[str, ...]:
    """The kernels that ggml-cuda may run for a product or an attention; none for other ops.

    `ggml_cuda_mul_mat` (ggml-cuda.cu) asks one after the other: vectors of floats, tiles of
    floats, quantized vectors, quantized tiles, cuBLAS. Where the limit between two of them differs
    from device to device, both count. Strides are not looked at: that a matrix is laid out so that
    ggml's own kernels cannot take it is rare.
    """
    if kernel == "flash_attn":
        return (_MMA, _VEC, _TILE)  # fattn.cu
    if not kernel.startswith("mul_mat"):
        return ()
    if type_name not in _FLOATS:
        if n_columns <= MAX_VEC_COLUMNS:
            # mmvq.cu; on some devices tiles are chosen from a few columns on.
            return ("mul_mat_vec_q", "mul_mat_q") if n_columns > 1 else ("mul_mat_vec_q",)
        has_integers = ceilings.peak_gflops(MMA_INT8) is not None
        if has_integers or n_columns < _MAX_DP4A_COLUMNS:
            return ("mul_mat_q",)  # mmq.cu
        is_tensor_device = ceilings.fingerprint.compute_capability >= _VOLTA
        return (LIBRARY,) if is_tensor_device else ("mul_mat_q",)
    if n_columns > _MAX_MMF_COLUMNS:
        return (LIBRARY,)
    return ("mul_mat_vec_f", "mul_mat_f")  # mmvf.cu, mmf.cu


def kernel_instructions(code: str, type_name: str, ceilings: DeviceCeilings) -> Names:
    """The instructions that a kernel may do its arithmetic with; none where no loop has them.

    Args:
        code: one of `possible_kernels`.
        type_name: of the matrix, or of the keys of an attention.
    """
    has_integers = ceilings.peak_gflops(MMA_INT8) is not None
    capability = ceilings.fingerprint.compute_capability
    if code == "mul_mat_vec_q":
        return (DP4A,)  # vecdotq.cuh
    if code == "mul_mat_q":
        if type_name in _FOUR_BIT_FLOATS and _BLACKWELL <= capability < _RUBIN:
            return ()  # mmq.cuh: tensor cores that multiply four bits, for which there is no loop
        return (MMA_INT8,) if has_integers else (DP4A,)
    if code == "mul_mat_vec_f":
        return _core_floats(type_name)  # mmvf.cu
    if code in (_VEC, _TILE):
        # fattn-vec.cuh, fattn-tile.cuh: pairs of f16 where they are fast, keys by integers.
        return (F16, F32) if type_name in _FLOATS else (F16, F32, DP4A)
    if capability == _VOLTA:
        return ()  # mma.cuh has a shape for it alone, for which there is no loop
    if code == _MMA:
        return (MMA_F16, MMA_F16_ALL)  # fattn-mma-f16.cuh: scores into f32, values into f16
    if code == "mul_mat_f":
        tensor = {"f32": MMA_TF32, "f16": MMA_F16, "bf16": MMA_BF16}.get(type_name)  # mmf.cuh
        return (tensor,) if tensor else ()
    return _library(type_name, capability, has_tensor_cores=has_integers)


def _library(type_name: str, capability: int, *, has_tensor_cores: bool) -> Names:
    """cuBLAS, as `ggml_cuda_mul_mat_cublas` (ggml-cuda.cu) calls it: quantized matrices as f16, f32
    with leave to round to tf32 (common.cuh), and f16 into f16, or as f32 where an op asks for
    precision."""
    if _HOPPER <= capability < _BLACKWELL:
        return ()  # it has instructions there that no kernel of ggml uses, and no loop measures
    if not has_tensor_cores:
        return _core_floats("f32" if type_name in ("f32", "bf16") else "f16")
    if type_name == "f32":
        return (F32, MMA_TF32)
    return (MMA_BF16, MMA_TF32, F32) if type_name == "bf16" else (MMA_F16, MMA_F16_ALL)


def _core_floats(type_name: str) -> Names:
    """Of the ordinary cores: products of f16 are added up in pairs where no op asks for more."""
    return (F16, F32) if type_name == "f16" else (F32,)


def peak_gflops(ceilings: DeviceCeilings, names: Names) -> float | None:
    """The rate of the fastest of some instructions; None where none of them was measured."""
    rates = [rate for name in names if (rate := ceilings.peak_gflops(name)) is not None]
    return max(rates, default=None)

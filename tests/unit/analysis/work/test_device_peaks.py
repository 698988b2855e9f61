"""Which instructions of a device an op is compared with, as ggml-cuda chooses its kernels."""

from __future__ import annotations

import pytest
from device_ceilings_builder import PEAKS, example_device_ceilings

from slmprof.analysis.work.device_peaks import op_instructions, peak_gflops

AMPERE = example_device_ceilings()
TURING = example_device_ceilings(75, lacks=("mma.bf16", "mma.tf32"))
VOLTA = example_device_ceilings(70, lacks=("mma",))
PASCAL = example_device_ceilings(61, lacks=("mma",))
HOPPER = example_device_ceilings(90)
BLACKWELL = example_device_ceilings(120)


@pytest.mark.parametrize(
    ("kernel", "code", "type_name", "n_columns", "names"),
    [
        # Where the device's kernel is known, its own instructions count.
        ("mul_mat_vec_q", "mul_mat_vec_q<Q4_K, 1>", "q4_K", 1, ("dp4a.s8",)),
        ("mul_mat_vec_q", "mul_mat_vec_q_moe<Q4_K, 2>", "q4_K", 1, ("dp4a.s8",)),
        ("mul_mat_q", "mul_mat_q<Q4_K, 64>", "q4_K", 100, ("mma.s8.s32",)),
        ("mul_mat_q", "mul_mat_q_stream_k_fixup<Q4_K>", "q4_K", 100, ("mma.s8.s32",)),
        ("mul_mat_q", "quantize_q8_1, mul_mat_q<Q4_K, 64>", "q4_K", 100, ("mma.s8.s32",)),
        ("mul_mat_vec_f", "mul_mat_vec_f<f16, f32, 1>", "f16", 1, ("fma.f16x2", "fma.f32")),
        ("mul_mat_vec_f", "mul_mat_f<f16, 32, 8>", "f16", 8, ("mma.f16.f32",)),
        ("mul_mat_vec_f", "mul_mat_f<f32, 32, 8>", "f32", 8, ("mma.tf32.f32",)),
        ("mul_mat_f", "ampere_h16816gemm_128x64_tn", "f16", 50, ("mma.f16.f32", "mma.f16.f16")),
        ("flash_attn", "flash_attn_ext_f16<64, 64, 8>", "f16", 50, ("mma.f16.f32", "mma.f16.f16")),
        ("flash_attn", "flash_attn_ext_vec<64, 1>", "f16", 1, ("fma.f16x2", "fma.f32")),
        ("flash_attn", "flash_attn_ext_vec<64, 1>", "q8_0", 1, ("fma.f16x2", "fma.f32", "dp4a.s8")),
        ("rms_norm", "rms_norm_f32<1024, true>", "f32", 1, ("fma.f32",)),
        # Else all that ggml-cuda may choose.
        ("mul_mat_vec_q", "", "q4_K", 1, ("dp4a.s8",)),
        ("mul_mat_vec_q", "", "q4_K", 5, ("dp4a.s8", "mma.s8.s32")),
        ("mul_mat_q", "", "q4_K", 50, ("mma.s8.s32",)),
        ("mul_mat_vec_f", "", "f32", 1, ("fma.f32", "mma.tf32.f32")),
        ("mul_mat_f", "", "bf16", 50, ("mma.bf16.f32", "mma.tf32.f32", "fma.f32")),
        ("bin_bcast", "", "f32", 1, ("fma.f32",)),
    ],
)
def test_on_ampere(
    kernel: str, code: str, type_name: str, n_columns: int, names: tuple[str, ...]
) -> None:
    types = ["f32", type_name] if kernel == "flash_attn" else [type_name, "f32"]
    assert op_instructions(kernel, code, types, n_columns, AMPERE) == names
    rate = peak_gflops(AMPERE, names)
    assert rate == max(PEAKS[name] for name in names)


def test_older_devices_multiply_integers_on_their_cores() -> None:
    quantized = ("mul_mat_q", "mul_mat_q<Q4_K, 64>", ["q4_K", "f32"], 50)
    assert op_instructions(*quantized, PASCAL) == ("dp4a.s8",)
    assert op_instructions(*quantized, TURING) == ("mma.s8.s32",)
    # Volta's tensor cores have no integers, so that cuBLAS has long prompts, and no loop has it.
    assert op_instructions("mul_mat_q", "", ["q4_K", "f32"], 50, VOLTA) == ("dp4a.s8",)
    assert op_instructions("mul_mat_q", "", ["q4_K", "f32"], 512, VOLTA) == ()
    assert op_instructions("mul_mat_q", "", ["q4_K", "f32"], 512, PASCAL) == ("dp4a.s8",)


def test_older_devices_multiply_floats_on_their_cores() -> None:
    floats = ("mul_mat_f", "", ["f16", "f32"], 50)
    assert op_instructions(*floats, PASCAL) == ("fma.f16x2", "fma.f32")
    assert op_instructions(*floats, VOLTA) == ()
    names = op_instructions("mul_mat_f", "", ["f32", "f32"], 50, TURING)
    assert peak_gflops(TURING, names) == PEAKS["fma.f32"]
    names = op_instructions("flash_attn", "", ["f32", "f16", "f16"], 50, PASCAL)
    assert peak_gflops(PASCAL, names) == PEAKS["fma.f16x2"]


def test_what_no_loop_measures_has_no_roof() -> None:
    # cuBLAS has instructions on Hopper that ggml's own kernels do not use.
    assert op_instructions("mul_mat_f", "", ["f16", "f32"], 50, HOPPER) == ()
    assert op_instructions("mul_mat_q", "", ["q4_K", "f32"], 50, HOPPER) == ("mma.s8.s32",)
    assert op_instructions("mul_mat_f", "nvjet_hsh_64x8_tn", ["f16", "f32"], 50, HOPPER) == ()
    # So have the tensor cores of Blackwell for four bits.
    assert op_instructions("mul_mat_q", "", ["mxfp4", "f32"], 50, BLACKWELL) == ()
    assert op_instructions("mul_mat_q", "", ["q4_K", "f32"], 50, BLACKWELL) == ("mma.s8.s32",)
    assert peak_gflops(HOPPER, ()) is None
    assert peak_gflops(PASCAL, ("mma.f16.f32",)) is None

"""Names of CUDA kernels: ggml's own, the libraries', and what people call them."""

from __future__ import annotations

import pytest

from slmprof.analysis.graphs.cuda_kernels import kernel_family, short_name

TYPES = {1: "f16", 12: "q4_K", 14: "q6_K"}


@pytest.mark.parametrize(
    ("full", "short"),
    [
        (
            "void mul_mat_vec_q<(ggml_type)12, 1, false, false>(void const*, void const*)",
            "mul_mat_vec_q<Q4_K, 1>",
        ),
        (
            "void mul_mat_vec_q<(ggml_type)14, 2, true, false, false>(void const*, float*)",
            "mul_mat_vec_q<Q6_K, 2, true>",
        ),
        ("void mul_mat_q<(ggml_type)99, 64, true>(char const*)", "mul_mat_q<type 99, 64, true>"),
        ("quantize_q8_1(float const*, void*, long, long)", "quantize_q8_1"),
        (
            "void k_bin_bcast<&(op_add(float, float)), float, float, float>(float const*)",
            "k_bin_bcast<op_add, f32, f32, f32>",
        ),
        (
            "void cpy_q_f32<&(void cpy_blck_q_f32<&(dequantize_q4_0(void const*, long, int)), 32>"
            "(char const*, char*)), 32>(char const*)",
            "cpy_q_f32<cpy_blck_q_f32<dequantize_q4_0, 32>, 32>",
        ),
        (
            "void rms_norm_f32<1024, true, false>(float const*, float*, int)",
            "rms_norm_f32<1024, true>",
        ),
        (
            "void flash_attn_ext_vec<128, 1, (ggml_type)1, (ggml_type)1, false>(char const*)",
            "flash_attn_ext_vec<128, 1, F16, F16>",
        ),
        ("void (anonymous namespace)::scale_f32(float const*, float*)", "scale_f32"),
        ("ampere_sgemm_32x32_sliced1x4_tn", "ampere_sgemm_32x32_sliced1x4_tn"),
        (
            "void cutlass::Kernel2<cutlass_80_tensorop_f16_s16816gemm_f16_64x64_32x6_tn_align8>"
            "(cutlass_80_tensorop_f16_s16816gemm_f16_64x64_32x6_tn_align8::Params)",
            "cutlass_80_tensorop_f16_s16816gemm_f16_64x64_32x6_tn_align8",
        ),
        (
            "void at::native::kernel<std::array<char*, 2ul>, 4u>(int)",
            "kernel<std::array<char*, 2ul>, 4>",
        ),
        ("", ""),
    ],
)
def test_short_names_drop_what_nobody_says(full: str, short: str) -> None:
    assert short_name(full, TYPES) == short


def test_without_the_types_their_numbers_stay() -> None:
    assert short_name("void mul_mat_q<(ggml_type)12, 8>(int)") == "mul_mat_q<type 12, 8>"


@pytest.mark.parametrize(
    ("full", "family"),
    [
        ("void mul_mat_vec_q<(ggml_type)12, 1, false, false>(void const*)", "mul_mat_vec_q"),
        ("void mul_mat_vec_q_moe<(ggml_type)12, 2>(void const*)", "mul_mat_vec_q"),
        ("void mul_mat_q<(ggml_type)12, 64, true>(char const*)", "mul_mat_q"),
        ("void mul_mat_q_stream_k_fixup<(ggml_type)12, 64, true>(float*)", "mul_mat_q"),
        ("void mul_mat_vec_f<__half, __half, 1, 256>(__half const*)", "mul_mat_vec_f"),
        ("quantize_q8_1(float const*, void*)", "quantize_q8"),
        ("void quantize_mmq_q8_1<(mmq_q8_1_ds_layout)1>(float const*)", "quantize_q8"),
        ("void k_bin_bcast<&(op_mul(float, float)), float, float, float>(float*)", "bin_bcast"),
        ("void rms_norm_f32<1024, true, false>(float const*)", "rms_norm"),
        ("void rope_neox<true, false, float, float>(float const*)", "rope"),
        ("void soft_max_f32<true, 0, 0, __half>(float const*)", "soft_max"),
        ("void k_get_rows<32, 2, &dequantize_q8_0, float>(void const*)", "get_rows"),
        ("void flash_attn_tile<128, 128, 16, 4, false>(char const*)", "flash_attn"),
        ("void flash_attn_combine_results<128>(float const*)", "flash_attn"),
        (
            "void cpy_scalar<&(void cpy_1_scalar<float, __half>(char const*, char*))>(char*)",
            "cpy_f32_f16",
        ),
        ("void cpy_scalar_transpose<float>(char const*, char*)", "cpy_f32_f32"),
        (
            "void cpy_f32_q<&(cpy_blck_f32_q8_0(char const*, char*)), 32>(char const*)",
            "cpy_f32_q8_0",
        ),
        (
            "void cpy_q_f32<&(void cpy_blck_q_f32<&(dequantize_q4_0(int)), 32>(char*)), 32>(int)",
            "cpy_q4_0_f32",
        ),
        ("void k_set_rows<float, long, __half>(float const*)", "cpy_f32_f16"),
        (
            "void k_set_rows_quant<long, block_q8_0, 32, &(quantize_f32_q8_0_block)>(float*)",
            "cpy_f32_q8_0",
        ),
        ("void convert_unary<float, __nv_bfloat16>(void const*)", "cpy_f32_bf16"),
        ("void dequantize_block_q4_K<__half>(void const*)", "dequantize"),
        ("void unary_gated_op_kernel<&op_silu, float>(float const*)", "glu"),
        ("void unary_op_kernel<&op_silu, float>(float const*)", "unary"),
        ("scale_f32(float const*, float*, float, float, long)", "scale"),
        ("l2_norm_f32(float const*)", "l2_norm"),
        ("void concat_non_cont<0>(char const*)", "concat"),
        ("void reduce_rows_f32<true>(float const*)", "sum_rows"),
        ("ampere_sgemm_32x32_sliced1x4_tn", "cublas"),
        ("nvjet_hsh_64x64_64x8_2x1_v_bz_TNT", "cublas"),
        ("sm80_xmma_gemm_f16f16_f16f32_f32_tn_n_tilesize32x32x64_kernel", "cublas"),
        ("void cublasLt::splitKreduce_kernel<32, 16, int, float>(int)", "cublas"),
        ("void cutlass::Kernel2<cutlass_80_wmma_tensorop_s161616gemm_f16>(int)", "cublas"),
        ("void conv2d_implicit_gemm_f16<float>(float const*)", "conv2d_implicit_gemm"),
        ("snake_kernel(float const*)", "snake"),
        ("_kernel", "_kernel"),
        ("", ""),
    ],
)
def test_a_family_is_that_of_the_cpu(full: str, family: str) -> None:
    assert kernel_family(full) == family

#include "ggml.h"
#include "record/custom_types.h"
#include "record/hooks.h"
#include "record/path_names.h"

#include <doctest/doctest.h>

using namespace slmprof;

TEST_SUITE_BEGIN("path names");

TEST_CASE("a code is named after what ran, layout and types") {
    const auto code = [](slmprof_path path, uint32_t layout = 0) {
        return SLMPROF_CODE(path, layout, GGML_TYPE_Q4_K, GGML_TYPE_Q8_K);
    };
    CHECK(path_name(0) == "generic");
    CHECK(path_name(code(SLMPROF_PATH_VEC_DOT)) == "vec_dot_q4_K_q8_K");
    CHECK(path_name(code(SLMPROF_PATH_REPACK_GEMV, SLMPROF_LAYOUT(8, 4))) == "repack gemv_q4_K_8x4_q8_K");
    CHECK(path_name(code(SLMPROF_PATH_REPACK_GEMM, SLMPROF_LAYOUT(16, 1))) == "repack gemm_q4_K_16x1_q8_K");
    CHECK(path_name(code(SLMPROF_PATH_TILED)) == "tiled");
    CHECK(path_name(code(SLMPROF_PATH_LLAMAFILE)) == "llamafile_sgemm");
    CHECK(path_name(code(SLMPROF_PATH_EXTRA)) == "extra_buffer");
    const uint32_t number = add_custom_type({ "custom:mine", 32, 18 });
    CHECK(add_custom_type({ "custom:mine", 64, 18 }) != number);
    CHECK(add_custom_type({ "custom:mine", 32, 18 }) == number);
    CHECK(path_name(code(SLMPROF_PATH_CUSTOM, number)) == "custom:mine");
    CHECK(path_name(code(SLMPROF_PATH_FWHT)) == "fwht");
    CHECK(path_name(code(SLMPROF_PATH_FLASH_ATTN_VEC)) == "flash_attn_vec");
    CHECK(path_name(code(SLMPROF_PATH_FLASH_ATTN_TILED)) == "flash_attn_tiled");
    CHECK(path_name(code(SLMPROF_PATH_FLASH_ATTN_SPLIT_KV)) == "flash_attn_split_kv");
}

TEST_CASE("the code that converted is named after its type, or as the float types' own functions are") {
    const auto name = [](slmprof_path path, ggml_type type) {
        return conversion_name(SLMPROF_CODE(path, SLMPROF_LAYOUT(8, 8), GGML_TYPE_Q4_K, type));
    };
    CHECK(name(SLMPROF_PATH_VEC_DOT, GGML_TYPE_Q8_K) == "quantize_row_q8_K");
    CHECK(name(SLMPROF_PATH_REPACK_GEMV, GGML_TYPE_Q8_K) == "quantize_row_q8_K");
    CHECK(name(SLMPROF_PATH_REPACK_GEMM, GGML_TYPE_Q8_K) == "quantize_mat_q8_K_4x8");
    CHECK(name(SLMPROF_PATH_VEC_DOT, GGML_TYPE_F16) == "fp32_to_fp16");
    CHECK(name(SLMPROF_PATH_VEC_DOT, GGML_TYPE_BF16) == "fp32_to_bf16");
    CHECK(name(SLMPROF_PATH_VEC_DOT, GGML_TYPE_F32) == "to_fp32");
}

TEST_CASE("a type that ggml does not have is not looked up") {
    CHECK(path_name(SLMPROF_CODE(SLMPROF_PATH_VEC_DOT, 0, 0x7F, 0x7F)) == "vec_dot_?_?");
}

TEST_CASE("each name is made once") {
    StringTable strings;
    PathTexts   texts(strings);
    const auto  code = SLMPROF_CODE(SLMPROF_PATH_VEC_DOT, 0, GGML_TYPE_F16, GGML_TYPE_F16);
    CHECK(texts.path(code) == texts.path(code));
    CHECK(texts.conversion(code) != texts.path(code));
    CHECK(strings.texts().size() == 2);
}

TEST_SUITE_END();

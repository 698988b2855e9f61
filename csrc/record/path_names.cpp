#include "record/path_names.h"

#include "ggml.h"
#include "record/custom_types.h"
#include "record/hooks.h"

namespace slmprof {

static std::string type_name(uint32_t type) {
    return type < GGML_TYPE_COUNT ? ggml_type_name(static_cast<ggml_type>(type)) : "?";
}

std::string path_name(uint32_t code) {
    const uint32_t    path   = code >> 24;
    const uint32_t    layout = (code >> 14) & 0x3FF;
    const std::string type_a = type_name((code >> 7) & 0x7F);
    const std::string type_b = type_name(code & 0x7F);
    switch (path) {
        case SLMPROF_PATH_VEC_DOT:   return "vec_dot_" + type_a + "_" + type_b;
        case SLMPROF_PATH_TILED:     return "tiled";
        case SLMPROF_PATH_LLAMAFILE: return "llamafile_sgemm";
        case SLMPROF_PATH_REPACK_GEMV:
        case SLMPROF_PATH_REPACK_GEMM:
            return std::string("repack ") + (path == SLMPROF_PATH_REPACK_GEMV ? "gemv_" : "gemm_") + type_a + "_" +
                   std::to_string(layout >> 4) + "x" + std::to_string(layout & 0xF) + "_" + type_b;
        case SLMPROF_PATH_FWHT:                return "fwht";
        case SLMPROF_PATH_EXTRA:               return "extra_buffer";
        case SLMPROF_PATH_FLASH_ATTN_VEC:      return "flash_attn_vec";
        case SLMPROF_PATH_FLASH_ATTN_TILED:    return "flash_attn_tiled";
        case SLMPROF_PATH_FLASH_ATTN_SPLIT_KV: return "flash_attn_split_kv";
        case SLMPROF_PATH_CUSTOM:              return custom_type(layout).name;
        case SLMPROF_PATH_BLAS:                return "cblas_sgemm";
        case SLMPROF_PATH_REMOTE:              return "";
        default:                               return "generic";
    }
}

std::string conversion_name(uint32_t code) {
    const uint32_t type = code & 0x7F;
    switch (type) {
        // The float types' own functions bear no name of a type; wide ones are made of narrow ones.
        case GGML_TYPE_F16:  return "fp32_to_fp16";
        case GGML_TYPE_BF16: return "fp32_to_bf16";
        case GGML_TYPE_F32:  return "to_fp32";
        default:             break;
    }
    if (code >> 24 == SLMPROF_PATH_REPACK_GEMM) {
        return "quantize_mat_" + type_name(type) + "_4x" + std::to_string(code >> 14 & 0xF);
    }
    return "quantize_row_" + type_name(type);
}

}  // namespace slmprof

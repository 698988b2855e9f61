#include "quant/rows.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace slmprof {

namespace {

// In ggml's conversions, what is not quantized has no way back and forth but to float32.
bool holds_weights(ggml_type type) {
    return type == GGML_TYPE_F32 || ggml_get_type_traits(type)->to_float != nullptr;
}

} // namespace

size_t row_bytes(ggml_type type, int64_t n_per_row) {
    if (!holds_weights(type)) {
        throw std::invalid_argument(std::string("no weights can have the type ") + ggml_type_name(type));
    }
    if (n_per_row <= 0 || n_per_row % ggml_blck_size(type) != 0) {
        throw std::invalid_argument("blocks of " + std::to_string(ggml_blck_size(type)) + " (" + ggml_type_name(type) +
                                    ") do not divide a row of " + std::to_string(n_per_row));
    }
    return ggml_row_size(type, n_per_row);
}

void unpack_rows(ggml_type type, const uint8_t * blocks, int64_t n_rows, int64_t n_per_row, float * values) {
    const size_t n_bytes = row_bytes(type, n_per_row);
    if (type == GGML_TYPE_F32) {
        const size_t n = n_bytes * size_t(n_rows);
        std::copy(blocks, blocks + n, reinterpret_cast<uint8_t *>(values));
        return;
    }
    const ggml_to_float_t to_float = ggml_get_type_traits(type)->to_float;
    for (int64_t row = 0; row < n_rows; ++row) {
        to_float(blocks + size_t(row) * n_bytes, values + row * n_per_row, n_per_row);
    }
}

void pack_rows(ggml_type type, const float * values, int64_t n_rows, int64_t n_per_row, const float * importance,
               uint8_t * blocks) {
    const size_t n_bytes = row_bytes(type, n_per_row) * size_t(n_rows);
    if (importance == nullptr && ggml_quantize_requires_imatrix(type)) {
        throw std::invalid_argument(std::string(ggml_type_name(type)) + " needs importances");
    }
    if (type == GGML_TYPE_F32) {
        const auto * bytes = reinterpret_cast<const uint8_t *>(values);
        std::copy(bytes, bytes + n_bytes, blocks);
        return;
    }
    ggml_quantize_chunk(type, values, blocks, 0, n_rows, n_per_row, importance);
}

} // namespace slmprof

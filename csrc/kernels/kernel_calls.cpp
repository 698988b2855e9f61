#include "kernels/kernel_calls.h"

#include "failures.h"
#include "kernels/ggml_functions.h"
#include "kernels/kernel_scheme.h"

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"  // the blocks of activations

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace slmprof {
namespace {

constexpr size_t k_gap = 5;

float scale_of(const block_q8_K & block) { return block.d; }
float scale_of(const block_q8_1 & block) {
    ggml_fp16_t scale;
    std::memcpy(&scale, &block, sizeof(scale));  // it comes first, under names that differ by language
    return ggml_fp16_to_fp32(scale);
}

// Bytes that a function of a scheme only reads.
void fill(GuardedMemory & memory, const void * bytes, size_t size_bytes) {
    std::memcpy(memory.bytes(), bytes, size_bytes);
    memory.protect();
}

// ggml's own types of activations have no way back in ggml.
void convert_back(ggml_type type, const void * activations, float * values, size_t n) {
    const auto read = [&](const auto * blocks, size_t block_size) {
        for (size_t i = 0; i < n; i++) {
            values[i] = scale_of(blocks[i / block_size]) * static_cast<float>(blocks[i / block_size].qs[i % block_size]);
        }
    };
    switch (type) {
        case GGML_TYPE_Q8_K: read(static_cast<const block_q8_K *>(activations), QK_K); break;
        case GGML_TYPE_Q8_1: read(static_cast<const block_q8_1 *>(activations), QK8_1); break;
        default:             ggml_functions()->dequantize(type, activations, values, n); break;
    }
}

}  // namespace

std::vector<uint8_t> pack_blocks(const KernelScheme & scheme, const float * weights, size_t n_blocks, const float * importance,
                                 Guard guard) {
    const size_t         n_weights = n_blocks * static_cast<size_t>(scheme.block_size());
    const size_t         n_bytes   = n_blocks * scheme.type_size();
    GuardedMemory        in(n_weights * sizeof(float), guard), counts(n_weights * sizeof(float), guard), out(n_bytes, guard);
    std::vector<uint8_t> blocks(n_bytes);
    fill(in, weights, n_weights * sizeof(float));
    if (importance != nullptr) {
        fill(counts, importance, n_weights * sizeof(float));
    }
    scheme.functions().pack(in.floats(), out.bytes(), n_blocks, importance != nullptr ? counts.floats() : nullptr);
    std::memcpy(blocks.data(), out.bytes(), n_bytes);
    return blocks;
}

std::vector<float> unpack_blocks(const KernelScheme & scheme, const uint8_t * blocks, size_t n_blocks, Guard guard) {
    const size_t       n_weights = n_blocks * static_cast<size_t>(scheme.block_size());
    GuardedMemory      in(n_blocks * scheme.type_size(), guard), out(n_weights * sizeof(float), guard);
    std::vector<float> weights(n_weights);
    fill(in, blocks, n_blocks * scheme.type_size());
    scheme.functions().unpack(in.bytes(), out.floats(), n_blocks);
    std::copy_n(out.floats(), n_weights, weights.begin());
    return weights;
}

std::vector<float> multiply_rows(const KernelScheme & scheme, Kernel kernel, const PackedRows & rows, const float * columns,
                                 size_t n_columns, Guard guard) {
    const slmprof_scheme & call         = scheme.functions();
    const auto             n            = static_cast<int64_t>(rows.n_per_row);
    const size_t           row_bytes    = scheme.row_bytes(n);
    const size_t           column_bytes = scheme.column_bytes(n);
    const bool             is_arranged  = kernel != Kernel::dot && scheme.is_arranged();
    GuardedMemory          left(rows.n_rows * row_bytes, guard), right(n_columns * column_bytes, guard);
    // Results of a chunk of rows lie apart from column to column: what is between them belongs to other threads.
    const size_t           stride = rows.n_rows + (kernel == Kernel::gemm ? k_gap : 0);
    GuardedMemory          out(((n_columns - 1) * stride + rows.n_rows) * sizeof(float), guard);
    if (is_arranged) {
        GuardedMemory plain(rows.n_rows * row_bytes, guard);
        fill(plain, rows.blocks, rows.n_rows * row_bytes);
        if (rows.n_rows % call.group_rows != 0) {
            throw std::invalid_argument("rows that are no whole groups");
        }
        for (size_t row = 0; row < rows.n_rows; row += call.group_rows) {
            call.arrange(rows.n_per_row, plain.bytes() + row * row_bytes, left.bytes() + row * row_bytes);
        }
        left.protect();
    } else {
        fill(left, rows.blocks, rows.n_rows * row_bytes);
    }
    for (size_t column = 0; column < n_columns; column++) {
        ggml_functions()->convert(scheme.activations(), columns + column * rows.n_per_row, right.bytes() + column * column_bytes, rows.n_per_row);
    }
    right.protect();

    if (kernel == Kernel::gemm) {
        call.gemm(rows.n_per_row, rows.n_rows, left.bytes(), n_columns, right.bytes(), out.floats(), stride);
    }
    for (size_t column = 0; column < n_columns && kernel != Kernel::gemm; column++) {
        float *      results = out.floats() + column * rows.n_rows;
        const char * own     = right.bytes() + column * column_bytes;
        if (kernel == Kernel::gemv) {
            call.gemv(rows.n_per_row, rows.n_rows, left.bytes(), own, results);
            continue;
        }
        for (size_t row = 0; row < rows.n_rows; row++) {
            call.dot(rows.n_per_row, left.bytes() + row * row_bytes, own, results + row);
        }
    }
    std::vector<float> results;
    for (size_t column = 0; column < n_columns; column++) {
        const float * own = out.floats() + column * stride;
        results.insert(results.end(), own, own + rows.n_rows);
        if (column + 1 < n_columns && !GuardedMemory::is_untouched(own + rows.n_rows, (stride - rows.n_rows) * sizeof(float))) {
            throw SchemeFailure("gemm writes between the columns of its results: results[column * stride + row]");
        }
    }
    return results;
}

std::vector<float> converted_values(const KernelScheme & scheme, const float * values, size_t n_columns, size_t n_per_row) {
    std::vector<float> found(n_columns * n_per_row);
    std::vector<char>  activations(scheme.column_bytes(static_cast<int64_t>(n_per_row)));
    for (size_t column = 0; column < n_columns; column++) {
        ggml_functions()->convert(scheme.activations(), values + column * n_per_row, activations.data(), n_per_row);
        convert_back(scheme.activations(), activations.data(), found.data() + column * n_per_row, n_per_row);
    }
    return found;
}

}  // namespace slmprof

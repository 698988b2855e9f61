// The functions of a scheme, called on rows and columns of any number: with memory around that nothing may touch, and
// none of what they only read may they write.

#pragma once

#include "kernels/guarded_memory.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace slmprof {

class KernelScheme;

std::vector<uint8_t> pack_blocks(const KernelScheme & scheme, const float * weights, size_t n_blocks, const float * importance,
                                 Guard guard);
std::vector<float>   unpack_blocks(const KernelScheme & scheme, const uint8_t * blocks, size_t n_blocks, Guard guard);

// What a product is made by.
enum class Kernel { dot, gemv, gemm };

// Rows of a product: whole blocks, n_per_row weights each.
struct PackedRows {
    const uint8_t * blocks;
    size_t          n_rows, n_per_row;
};

// [column][row] of rows times columns of n_per_row activations, which are converted first. gemv and gemm of a scheme
// with a layout of its own get the rows arranged, of which there must be whole groups then.
std::vector<float> multiply_rows(const KernelScheme & scheme, Kernel kernel, const PackedRows & rows, const float * columns,
                                 size_t n_columns, Guard guard);

// What is left of activations once they are converted.
std::vector<float> converted_values(const KernelScheme & scheme, const float * values, size_t n_columns, size_t n_per_row);

}  // namespace slmprof

// Rows of weights: as the blocks of a type, and as numbers. ggml's own routines. No pybind11.

#pragma once

#include "ggml.h"

#include <cstddef>
#include <cstdint>

namespace slmprof {

// Bytes of a row. Throws std::invalid_argument for types that no weights can have, and where blocks do not divide it.
size_t row_bytes(ggml_type type, int64_t n_per_row);

// The numbers of rows. Throws std::invalid_argument as row_bytes() does.
void unpack_rows(ggml_type type, const uint8_t * blocks, int64_t n_rows, int64_t n_per_row, float * values);

// The blocks of rows. `importance` weighs the columns; nullptr for none. Throws std::invalid_argument as row_bytes()
// does, and for a type that needs importances where there are none.
void pack_rows(ggml_type type, const float * values, int64_t n_rows, int64_t n_per_row, const float * importance,
               uint8_t * blocks);

} // namespace slmprof

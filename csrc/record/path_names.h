// The names of the codes by which the hooks tell which code ran.

#pragma once

#include <cstdint>
#include <string>

namespace slmprof {

// Name of a path code: `vec_dot_q6_K_q8_K`, `repack gemv_q4_K_8x8_q8_K`, `tiled`, ...; empty for
// an operator that has one implementation.
std::string path_name(uint32_t code);

// Name of the code that converted the activations of a product with this path: `quantize_row_q8_K`.
std::string conversion_name(uint32_t code);

}  // namespace slmprof

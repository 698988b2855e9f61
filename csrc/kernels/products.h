// What is computed of weights that a scheme has packed, by all threads of ggml's pool together.

#pragma once

#include <cstddef>

struct ggml_compute_params;
struct ggml_tensor;

namespace slmprof {

class PackedTensor;

// The work buffer of a product.
size_t product_work_bytes(const PackedTensor & weight, const ggml_tensor * op);

void multiply(const PackedTensor & weight, const ggml_compute_params & params, ggml_tensor * op);          // MUL_MAT
void multiply_experts(const PackedTensor & weight, const ggml_compute_params & params, ggml_tensor * op);  // MUL_MAT_ID
void look_rows_up(const PackedTensor & weight, const ggml_compute_params & params, ggml_tensor * op);      // GET_ROWS

}  // namespace slmprof

// The buffer type that packed weights lie in: ggml's CPU backend asks it before its own code about each operator.

#pragma once

#include "ggml-backend.h"

struct ggml_tensor;

namespace slmprof {

class PackedTensor;

// Known to ggml from the first call on.
ggml_backend_buffer_type_t packed_buffer_type();

// Of a tensor that lies there; null of any other.
PackedTensor * packed_tensor_of(const ggml_tensor * tensor);

}  // namespace slmprof

// Devices that only plans know: GPUs as ggml-cuda would place tensors on them, on a machine that has none. They have
// buffer types with its alignments and sizes and its say in who computes what, and no memory: nothing runs on them.

#pragma once

#include "ggml-backend.h"

#include <string>

namespace slmprof {

// What the name of a planned device begins with; what follows is ggml's name of the real one: planned:CUDA0.
constexpr const char * k_planned_prefix = "planned:";

bool is_planned(const std::string & name);

// The device, always the same one. Throws std::invalid_argument where it is none of CUDA0 to CUDA15.
ggml_backend_dev_t planned_device(const std::string & name);

}  // namespace slmprof

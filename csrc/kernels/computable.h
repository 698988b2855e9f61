// Which types of tensors ggml's CPU code computes with. ggml itself finds out too late: it aborts at the op, or
// calls a function that is not there.

#pragma once

#include "ggml-backend.h"
#include "ggml.h"

#include <exception>
#include <optional>
#include <string>

namespace slmprof {

// Which source of a node has a type that ggml's CPU code has no way to compute its op with. Ops whose sources
// no weight gets into are not looked at.
std::optional<int> uncomputable_source(const ggml_tensor & node);

// Why a weight cannot be one of its op's, as far as that follows from its own type; empty where it may be.
std::string why_not_computable(const ggml_tensor & weight, ggml_op op);

// Why a graph cannot be computed; empty where nothing is known against it. A node that the CPU has no code for may
// still be another backend's.
std::string why_not_computable(ggml_backend_sched_t scheduler, ggml_cgraph * graph);

// The last refusal of the hooks on this thread, which forgets it; null where there was none. llama.cpp keeps their
// exceptions to itself.
std::exception_ptr take_refusal();

}  // namespace slmprof

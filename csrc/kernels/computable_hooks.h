// The interface by which llama.cpp asks whether what it is about to load or to plan can be computed at all
// (third_party/llama.cpp/anchors.toml).

#pragma once

#include "ggml-backend.h"
#include "ggml.h"

#include <stddef.h>
#include <stdint.h>

// Throw ModelFailure, with the tensor's name and type, where no kernel computes it.
void slmprof_check_weight(const ggml_tensor * weight, ggml_op op);
void slmprof_check_graph(ggml_backend_sched_t scheduler, ggml_cgraph * graph);

// Throws ModelFailure where a model without a vocabulary has more tokens than any.
void slmprof_check_tokens(uint32_t n_tokens);

// Throws EngineFailure where a plan of so many tokens at once would itself take too much memory.
void slmprof_check_nodes(size_t n_nodes, size_t n_tokens);

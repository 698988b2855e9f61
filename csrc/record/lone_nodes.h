// Nodes of a graph that are computed one by one, on a device that tells nothing of its ops.

#pragma once

#include "ggml-backend.h"
#include "record/device_lanes.h"

namespace slmprof {

// Whether a backend has anything to do for a node.
bool is_computed(const ggml_tensor * node);

// Computes one node of a graph and returns when it is done.
ggml_status compute_alone(const DeviceLane & lane, ggml_backend_t backend, ggml_cgraph * graph, int node);

// Returns when a device has done all that it was told before; `tensor` is one that it has.
void await_device(const DeviceLane & lane, ggml_backend_t backend, const ggml_tensor * tensor);

// How long a graph takes, in ticks, that has nothing to do: the median of a few. 0 where none of the graph's tensors
// has a buffer.
uint64_t time_empty_graph(const DeviceLane & lane, ggml_backend_t backend, ggml_cgraph * graph);

}  // namespace slmprof

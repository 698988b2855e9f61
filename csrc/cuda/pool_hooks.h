// The hooks in ggml-cuda's pools (third_party/llama.cpp/anchors.toml). While nothing watches, each is one load, one test
// and one branch that is never taken.

#pragma once

#include "cuda/pool_watch.h"

#define SLMPROF_IF_WATCHED(call)                                                   \
    do {                                                                           \
        slmprof::PoolWatch * const slmprof_watch = slmprof::PoolWatch::active();   \
        if (__builtin_expect(slmprof_watch != nullptr, 0)) {                       \
            slmprof_watch->call;                                                   \
        }                                                                          \
    } while (0)

#define SLMPROF_POOL_RESERVED(pool, device, size) SLMPROF_IF_WATCHED(reserve(pool, device, size))
#define SLMPROF_POOL_TAKEN(pool, device, size)    SLMPROF_IF_WATCHED(take(pool, device, size))
#define SLMPROF_POOL_GIVEN(pool, device, size)    SLMPROF_IF_WATCHED(give(pool, device, size))

#define SLMPROF_POOL_GRAPH_END() SLMPROF_IF_WATCHED(end_graph())

// Where ggml's functions are known. Of a fused group this is the first node.
#define SLMPROF_POOL_NODE(node)                                                                                    \
    SLMPROF_IF_WATCHED(begin_node(node, [](const void * described, std::string & op, std::string & tensor) {       \
        op     = ggml_op_desc(static_cast<const ggml_tensor *>(described));                                        \
        tensor = ggml_get_name(static_cast<const ggml_tensor *>(described));                                       \
    }))

// Of a ggml_backend_cuda_context, which allocates a workspace with each of cuBLAS's handles.
#define SLMPROF_POOL_WORKSPACES(context)                                                              \
    do {                                                                                              \
        if (__builtin_expect(slmprof::PoolWatch::active() != nullptr, 0)) {                           \
            size_t slmprof_n = 0;                                                                     \
            for (const void * slmprof_workspace : (context)->cublas_workspaces[(context)->device]) {  \
                slmprof_n += slmprof_workspace != nullptr;                                            \
            }                                                                                         \
            SLMPROF_IF_WATCHED(set_workspaces(context, (context)->device,                             \
                                              slmprof_n * (context)->cublas_workspace_sizes[(context)->device])); \
        }                                                                                             \
    } while (0)

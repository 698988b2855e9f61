// The interface that ggml's scheduler and the backends of other devices call (third_party/llama.cpp/anchors.toml).
// None of it runs for each op but in a backend whose ops a hook tells of.

#pragma once

#include "ggml-backend.h"
#include "record/hooks.h"

#ifdef __cplusplus
extern "C" {
#endif

// What the scheduler is about to run: each split, and where this graph was not seen before, each copy that a split reads.
void slmprof_schedule_begin(void);
void slmprof_schedule_split(struct ggml_cgraph * graph, ggml_backend_t backend);
bool slmprof_schedule_is_new(void);
void slmprof_schedule_copy(const struct ggml_tensor * original, const struct ggml_tensor * copy);
void slmprof_schedule_end(void);

// A tensor goes to the device of a split.
void slmprof_copy_begin(const struct ggml_tensor * tensor, ggml_backend_t source, ggml_backend_t target,
                        const struct ggml_cgraph * graph);

// In place of ggml_backend_graph_compute_async.
enum ggml_status slmprof_compute_split(ggml_backend_t backend, struct ggml_cgraph * graph);

// This process has waited for a device.
void slmprof_synchronized(ggml_backend_t backend);
// It has read from a buffer; or will have when it next waits for the device.
void slmprof_read(ggml_backend_buffer_t buffer);
void slmprof_read_async(ggml_backend_t backend);

// An op of the split that is being computed.
void slmprof_node_begin(void);
void slmprof_node_end(int node, uint32_t path);

#ifdef __cplusplus
}
#endif

// Within ggml's scheduler, whose structs are its own.
#define SLMPROF_SCHEDULE(sched)                                                                                        \
    SLMPROF_IF_ON(slmprof_schedule_begin();                                                                            \
                  for (int i = 0; i < (sched)->n_splits; i++) {                                                        \
                      slmprof_schedule_split(&(sched)->splits[i].graph, (sched)->backends[(sched)->splits[i].backend_id]); \
                  }                                                                                                    \
                  for (int i = 0; slmprof_schedule_is_new() && i < (sched)->n_splits; i++) {                           \
                      auto & split = (sched)->splits[i];                                                               \
                      for (int j = 0; j < split.n_inputs; j++) {                                                       \
                          slmprof_schedule_copy(split.inputs[j],                                                       \
                                                tensor_copy(split.inputs[j], split.backend_id, (sched)->cur_copy));    \
                      }                                                                                                \
                  }                                                                                                    \
                  slmprof_schedule_end())
#define SLMPROF_COPY_BEGIN(tensor, source, target, graph) SLMPROF_IF_ON(slmprof_copy_begin(tensor, source, target, graph))
#define SLMPROF_SYNCHRONIZED(backend)                     SLMPROF_IF_ON(slmprof_synchronized(backend))
#define SLMPROF_READ(buffer)                              SLMPROF_IF_ON(slmprof_read(buffer))
#define SLMPROF_READ_ASYNC(backend)                       SLMPROF_IF_ON(slmprof_read_async(backend))
#define SLMPROF_NODE_BEGIN()                              SLMPROF_IF_ON(slmprof_node_begin())
#define SLMPROF_NODE_END(node, path)                      SLMPROF_IF_ON(slmprof_node_end(node, SLMPROF_CODE(path, 0, 0, 0)))

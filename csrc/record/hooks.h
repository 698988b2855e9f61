// The C interface that instrumented llama.cpp calls (third_party/llama.cpp/anchors.toml).
//
// While nothing records, each hook is one load, one test and one branch that is never taken.
// While something records, an op costs one 32-byte store and two clock reads on each thread, of which
// one falls into time that the thread spends waiting or is shared with the next op: no lock, no
// allocation, no formatting. What runs for each op is in hot_path.h.

#pragma once

#include "record/hot_path.h"

#include <stddef.h>
#include <stdint.h>

struct ggml_cgraph;
struct ggml_tensor;

#ifdef __cplusplus
extern "C" {
#endif

// Which code ran. The values are packed into a path code and never leave the process.
enum slmprof_path {
    SLMPROF_PATH_GENERIC             = 0,  // ggml's only implementation of the operator
    SLMPROF_PATH_VEC_DOT             = 1,
    SLMPROF_PATH_TILED               = 2,
    SLMPROF_PATH_LLAMAFILE           = 3,
    SLMPROF_PATH_REPACK_GEMV         = 4,
    SLMPROF_PATH_REPACK_GEMM         = 5,
    SLMPROF_PATH_FWHT                = 6,
    SLMPROF_PATH_EXTRA               = 7,  // an extra buffer type of another kind (AMX, KleidiAI, a user's)
    SLMPROF_PATH_FLASH_ATTN_VEC      = 8,
    SLMPROF_PATH_FLASH_ATTN_TILED    = 9,
    SLMPROF_PATH_FLASH_ATTN_SPLIT_KV = 10,
    SLMPROF_PATH_CUSTOM              = 11,  // a user's scheme; its number stands where the layout does
    SLMPROF_PATH_BLAS                = 12,
    SLMPROF_PATH_REMOTE              = 13,  // on a device that does not tell
};

// What the host does in a step outside the graphs: the values are those of the profile file.
enum slmprof_segment {
    SLMPROF_SEGMENT_BATCH       = 0,
    SLMPROF_SEGMENT_GRAPH_BUILD = 1,
    SLMPROF_SEGMENT_GRAPH_ALLOC = 2,
    SLMPROF_SEGMENT_INPUTS      = 3,
    SLMPROF_SEGMENT_LAUNCH      = 4,
    SLMPROF_SEGMENT_COPIES      = 5,
    SLMPROF_SEGMENT_OUTPUTS     = 6,
};

void slmprof_run_begin(struct ggml_cgraph * graph, int n_threads);
void slmprof_run_end(void);
void slmprof_route(int thread, const struct ggml_tensor * experts);
void slmprof_enter_segment(int kind);

#ifdef __cplusplus
}
#endif

#define SLMPROF_IF_ON(call)                                                                        \
    do {                                                                                           \
        struct slmprof_thread * slmprof_on = __atomic_load_n(&slmprof_threads, __ATOMIC_ACQUIRE);  \
        if (__builtin_expect(slmprof_on != NULL, 0)) {                                             \
            call;                                                                                  \
        }                                                                                          \
    } while (0)

#define SLMPROF_RUN_BEGIN(graph, n_threads) SLMPROF_IF_ON(slmprof_run_begin(graph, n_threads))
#define SLMPROF_RUN_END()                   SLMPROF_IF_ON(slmprof_run_end())
#define SLMPROF_OP_BEGIN(thread)            SLMPROF_IF_ON(slmprof_op_begin(slmprof_on, thread))

// Where ggml has a barrier of its own, the end of an op is read in it: by a thread that arrives early,
// when it begins to wait; by the last one, after it has let the others go, and that reading is the
// next op's begin as well. OpenMP's barrier has no such place. A barrier that returns at once, on one
// thread, or that tells nothing of its inside is arrived at when it is entered.
#ifdef GGML_USE_OPENMP
#    define SLMPROF_BARRIER_TELLS(n_threads) 0
#    define SLMPROF_ENTER_BARRIER(n_threads) SLMPROF_ARRIVE(1)
#else
#    define SLMPROF_BARRIER_TELLS(n_threads) ((n_threads) > 1)
#    define SLMPROF_ENTER_BARRIER(n_threads) do { if ((n_threads) == 1) { SLMPROF_ARRIVE(1); } } while (0)
#endif
#define SLMPROF_OP_END(thread, n_threads, node, n_fused) \
    SLMPROF_IF_ON(slmprof_op_end(slmprof_on, thread, node, n_fused, SLMPROF_BARRIER_TELLS(n_threads)))
#define SLMPROF_ARRIVE(is_last) SLMPROF_IF_ON(slmprof_arrive(is_last))
// A thread goes on behind that barrier.
#define SLMPROF_RESUME(thread) SLMPROF_IF_ON(slmprof_resume(slmprof_on, thread))

// A product begins to convert its activations; the next barrier within the op ends that.
#define SLMPROF_CONVERT(thread) SLMPROF_IF_ON(slmprof_convert(slmprof_on, thread))
// The experts that each token goes to, [n_used, n_tokens] of int32: only those matrices are read.
#define SLMPROF_ROUTE(thread, experts) SLMPROF_IF_ON(slmprof_route(thread, experts))

#define SLMPROF_SEGMENT(kind) SLMPROF_IF_ON(slmprof_enter_segment(kind))

// A path code: what ran, the layout of repacked weights, the types of the two operands.
#define SLMPROF_LAYOUT(n_cols, interleave) ((((uint32_t) (n_cols)) << 4) | ((uint32_t) (interleave)))
#define SLMPROF_CODE(path, layout, type_a, type_b) \
    (((uint32_t) (path) << 24) | ((uint32_t) (layout) << 14) | ((uint32_t) (type_a) << 7) | (uint32_t) (type_b))
#define SLMPROF_PATH(thread, path, layout, type_a, type_b) \
    SLMPROF_IF_ON(slmprof_set_path(slmprof_on, thread, SLMPROF_CODE(path, layout, type_a, type_b), 0))
#define SLMPROF_PATH_UNLESS_KNOWN(thread, path, layout, type_a, type_b) \
    SLMPROF_IF_ON(slmprof_set_path(slmprof_on, thread, SLMPROF_CODE(path, layout, type_a, type_b), 1))

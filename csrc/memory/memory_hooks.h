// The C interface by which instrumented llama.cpp tells what it allocates, or what it would
// (third_party/llama.cpp/anchors.toml). What a thread tells goes to the MemoryNotes that it points to;
// without any, each hook is a test of that pointer. None of them stands in a step's hot path.

#pragma once

#include "ggml-backend.h"
#include "ggml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ggml_cgraph;
struct gguf_context;

#ifdef __cplusplus
extern "C" {
#endif

// Whether this thread only plans: what is allocated then must stay untouched, virtual memory.
bool slmprof_is_planning(void);

// Whether it plans for a file that would be mapped, which llama.cpp's own planner knows nothing of.
bool slmprof_plans_mapping(void);

// A buffer with these tensors in it; while this thread plans, an empty one that they only belong to.
ggml_backend_buffer_t slmprof_allocate_tensors(struct ggml_context * tensors, ggml_backend_buffer_type_t type);

// The tensors of one buffer type, and then each one's place in the file: part and offset, -1 and -1
// where it is in none. `is_mappable`: a memory-mapped file could hold them as it is.
void slmprof_note_weights(struct ggml_context * tensors, ggml_backend_buffer_type_t type, bool is_lazy, bool is_mappable);
void slmprof_note_weight(struct ggml_tensor * tensor, int file, int64_t offset);

// A cache's tensors of one buffer type; `window` in tokens, 0 where every token stays.
void slmprof_note_kv_cache(const void * owner, struct ggml_context * tensors, ggml_backend_buffer_t buffer,
                           uint32_t n_cells, uint32_t n_streams, uint32_t window);
void slmprof_note_recurrent_state(const void * owner, struct ggml_context * tensors, ggml_backend_buffer_t buffer,
                                  uint32_t n_cells, uint32_t n_streams);

// The header of a file whose vocabulary is left out.
void slmprof_note_vocabulary(const struct gguf_context * metadata);

void slmprof_note_output_buffer(ggml_backend_buffer_t buffer);
void slmprof_note_work_buffer(void * data, size_t size_bytes);
void slmprof_note_compute_buffer(ggml_backend_buffer_t buffer);
void slmprof_forget_compute_buffer(ggml_backend_buffer_t buffer);

// A context reserves its compute buffers for a graph of one sequence as well as for several.
void slmprof_note_reserve_for_one(void);

// A split of the graph that the scheduler has cut, the first one with number 0.
void slmprof_note_split(ggml_backend_t backend, struct ggml_cgraph * split, int number);

// A graph whose tensors the allocator has placed, and then each place.
void slmprof_note_graph(struct ggml_cgraph * graph);
void slmprof_note_place(const struct ggml_tensor * tensor, ggml_backend_buffer_type_t type, int chunk, size_t offset);

#ifdef __cplusplus
}
#endif

// Before a statement.
#define SLMPROF_UNLESS_PLANNING if (!slmprof_is_planning())

#define SLMPROF_NOTE_WEIGHTS(loader, tensors, type, is_lazy, is_mappable)                                              \
    slmprof_note_weights(tensors, type, is_lazy, is_mappable);                                                         \
    for (ggml_tensor * tensor = ggml_get_first_tensor(tensors); tensor != nullptr;                                     \
         tensor = ggml_get_next_tensor(tensors, tensor)) {                                                             \
        const auto * source = (loader).get_weight(ggml_get_name(tensor));                                              \
        slmprof_note_weight(tensor, source != nullptr ? static_cast<int>(source->idx) : -1,                            \
                            source != nullptr ? static_cast<int64_t>(source->offs) : -1);                              \
    }

// Within a function that loads a vocabulary: leaves it at that number of nameless tokens.
#define SLMPROF_COUNT_TOKENS_IF_PLANNING(metadata, type, tokens)                                                       \
    if (slmprof_is_planning()) {                                                                                       \
        const int64_t key = gguf_find_key(metadata, "tokenizer.ggml.tokens");                                          \
        if (key >= 0) {                                                                                                \
            slmprof_note_vocabulary(metadata);                                                                         \
            type = LLAMA_VOCAB_TYPE_NONE;                                                                              \
            (tokens).resize(gguf_get_arr_n(metadata, key));                                                            \
            return;                                                                                                    \
        }                                                                                                              \
    }

// Within ggml's graph allocator, whose structs are its own.
#define SLMPROF_NOTE_PLACE(galloc, tensor, place)                                                                      \
    if ((tensor) != NULL && (place).buffer_id >= 0 && (place).size_max > 0) {                                          \
        slmprof_note_place(tensor, (galloc)->bufts[(place).buffer_id], (place).addr.chunk, (place).addr.offset);       \
    }
#define SLMPROF_NOTE_GRAPH(galloc, graph)                                                                              \
    do {                                                                                                               \
        if (slmprof_is_planning()) {                                                                                   \
            slmprof_note_graph(graph);                                                                                 \
            for (int i = 0; i < (graph)->n_leafs; i++) {                                                               \
                SLMPROF_NOTE_PLACE(galloc, (graph)->leafs[i], (galloc)->leaf_allocs[i].leaf);                          \
            }                                                                                                          \
            for (int i = 0; i < (graph)->n_nodes; i++) {                                                               \
                SLMPROF_NOTE_PLACE(galloc, (graph)->nodes[i], (galloc)->node_allocs[i].dst);                           \
                for (int j = 0; j < GGML_MAX_SRC; j++) {                                                               \
                    SLMPROF_NOTE_PLACE(galloc, (graph)->nodes[i]->src[j], (galloc)->node_allocs[i].src[j]);            \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

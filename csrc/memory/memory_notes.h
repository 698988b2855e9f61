// What the hooks tell of memory (memory_hooks.h), kept with the model or context that it belongs to.

#pragma once

#include "ggml-backend.h"
#include "ggml.h"
#include "memory/buffers.h"
#include "record/places.h"

#include <map>

namespace slmprof {

class MemoryNotes {
  public:
    MemoryNotes() = default;

    // Notes of what would be allocated; `maps` where the file would be mapped into memory.
    static MemoryNotes planned(bool maps);

    // While it lives, the hooks of this thread write to these notes.
    class Scope {
      public:
        explicit Scope(MemoryNotes & notes);
        ~Scope();
        Scope(const Scope &)             = delete;
        Scope & operator=(const Scope &) = delete;

      private:
        MemoryNotes * before_;
    };

    // The buffers that are allocated: those of places() in its order, then compute, output and work.
    std::vector<RealBuffer> real_buffers() const;

    // What would be allocated for the weights, caches and outputs.
    std::vector<BufferRecord> planned_buffers() const;

    // One row a tensor of weights or caches. The model and the context must still be alive.
    PlaceColumns places() const;

    // Those tensors.
    std::vector<ggml_tensor *> tensors() const;

    // The graph that the allocator placed last.
    ggml_cgraph *       graph() const { return graph_; }
    // Those of its splits that the CPU computes.
    const std::vector<ggml_cgraph *> & cpu_splits() const { return cpu_splits_; }
    const GraphPlaces & graph_places() const { return graph_places_; }

    // Adds what the weights or caches of these notes lie in to the places of a planned graph.
    void add_to(GraphPlaces & places) const;

    bool is_planning() const { return is_planning_; }
    bool plans_mapping() const { return is_planning_ && maps_; }

    // What the texts of the vocabulary would take that was left out.
    uint64_t text_bytes() const { return text_bytes_; }

    // Whether llama.cpp reserves for a graph of one sequence as well, which takes more than one of several.
    bool reserves_for_one() const { return reserves_for_one_; }

    // What the hooks call.
    void begin_weights(ggml_context * tensors, ggml_backend_buffer_type * type, bool is_lazy, bool is_mappable);
    void add_weight(ggml_tensor * tensor, int file, int64_t offset);
    void add_cache(const char * kind, const void * owner, ggml_context * tensors, ggml_backend_buffer * buffer,
                   int64_t n_cells, int64_t n_streams, int64_t window);
    void set_text_bytes(uint64_t size_bytes) { text_bytes_ = size_bytes; }
    void set_output(ggml_backend_buffer * buffer) { output_ = buffer; }
    void set_work(void * data, size_t size_bytes) { work_ = data; work_bytes_ = size_bytes; }
    void add_compute(ggml_backend_buffer * buffer) { compute_.push_back(buffer); }
    void remove_compute(ggml_backend_buffer * buffer);
    void add_split(ggml_backend * backend, ggml_cgraph * split, int number);
    void set_reserves_for_one() { reserves_for_one_ = true; }
    void begin_graph(ggml_cgraph * graph);
    void add_place(const ggml_tensor * tensor, ggml_backend_buffer_type * type, int chunk, size_t offset);

  private:
    struct Row {
        ggml_tensor *              tensor;
        const char *               kind;
        ggml_backend_buffer_type * type        = nullptr;  // planned; else that of the buffer
        int32_t                    file        = -1;
        int64_t                    file_offset = -1;
        int64_t                    n_cells = 0, n_streams = 0, window = 0;
        int32_t                    cache = -1;
    };

    // Of one part of the file: from the first tensor that stays where it is mapped to the last one.
    struct Range {
        int64_t first, last;
    };

    std::vector<ggml_backend_buffer *> buffers_of_rows() const;

    bool                               is_planning_ = false;
    bool                               maps_        = false;
    std::vector<Row>                   rows_;
    std::vector<const void *>          caches_;
    std::vector<BufferRecord>          planned_;
    std::vector<std::map<int, Range>>  ranges_;             // of each group of weights that would be mapped
    bool                               is_mapped_ = false;  // of the weights that are being added
    ggml_backend_buffer_type *         type_ = nullptr;
    std::vector<ggml_backend_buffer *> compute_;
    ggml_backend_buffer *              output_ = nullptr;
    void *                             work_   = nullptr;
    size_t                             work_bytes_ = 0;
    uint64_t                           text_bytes_ = 0;
    bool                               reserves_for_one_ = false;
    ggml_cgraph *                      graph_ = nullptr;
    std::vector<ggml_cgraph *>         cpu_splits_;
    GraphPlaces                        graph_places_;
    std::map<std::pair<const void *, int>, int32_t> graph_buffers_;
};

}  // namespace slmprof

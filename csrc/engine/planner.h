// What a model and its contexts would take: llama.cpp plans them, nothing is read or allocated.

#pragma once

#include "memory/buffers.h"
#include "memory/memory_notes.h"
#include "engine/model.h"
#include "engine/settings.h"
#include "record/records.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace slmprof {

// The largest graph of a phase, as llama.cpp reserves its compute buffer for it.
struct PlannedGraph {
    Phase                     phase = Phase::prefill;
    uint32_t                  n_tokens = 0, n_outputs = 0;
    std::vector<BufferRecord> buffers;         // what this graph alone needs
    uint64_t                  work_bytes = 0;  // what ggml's threads would ask for
    TensorColumns             tensors;
    std::vector<std::string>  strings;
};

struct Plan {
    ContextInfo               context;
    std::vector<BufferRecord> buffers;
    PlaceColumns              caches;
    std::vector<PlannedGraph> graphs;
    int64_t                   duration_ns = 0;
};

class Planner {
  public:
    // Reads the header of the file. Throws ModelFailure and std::invalid_argument.
    explicit Planner(const EngineSettings & settings);

    const Model & model() const { return *model_; }
    PlaceColumns  weights() const { return notes_.places(); }
    int64_t       duration_ns() const { return duration_ns_; }

    // Of the heap, for the vocabulary of a model that is loaded.
    uint64_t vocabulary_bytes() const;

    // A context with these settings; those of the model do not count. Throws EngineFailure and
    // std::invalid_argument.
    Plan plan(const EngineSettings & settings, bool with_graphs);

  private:
    MemoryNotes          notes_;
    std::optional<Model> model_;
    int64_t              duration_ns_ = 0;
};

}  // namespace slmprof

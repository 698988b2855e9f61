// A model that is to be quantized: its headers, and llama.cpp's model of it without weights.

#pragma once

#include "engine/model.h"
#include "gguf/header.h"
#include "memory/memory_notes.h"

#include <string>
#include <vector>

namespace slmprof {

class SourceModel {
  public:
    // Reads the headers of all parts of a split model, or of the one file. Throws ModelFailure where llama.cpp
    // cannot load it.
    explicit SourceModel(const std::string & path);

    const llama_model &             model() const { return *model_.get(); }
    ModelInfo                       info() const { return model_.info(); }
    const std::vector<TensorSpec> & tensors() const { return tensors_; }

    // A copy of the metadata, as of a model in one file.
    gguf_context_ptr metadata() const;

  private:
    MemoryNotes             notes_;
    Model                   model_;
    std::vector<FileHeader> parts_;
    std::vector<TensorSpec> tensors_;
};

} // namespace slmprof

// A model that is to be quantized: its headers, and llama.cpp's model of it without weights.

#pragma once

#include "engine/model.h"
#include "gguf/header.h"
#include "memory/memory_notes.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace slmprof {

class KernelScheme;

// Where the data of a tensor lies.
struct DataPlace {
    size_t    part = 0; // of a split model
    DataRange range;
};

class SourceModel {
  public:
    // Reads the headers of all parts of a split model, or of the one file. Throws ModelFailure where llama.cpp
    // cannot load it, as where a scheme that is not given has packed weights of it.
    explicit SourceModel(const std::string & path, std::shared_ptr<const KernelScheme> scheme = nullptr);

    const llama_model &             model() const { return *model_.get(); }
    ModelInfo                       info() const { return model_.info(); }
    const std::vector<TensorSpec> & tensors() const { return tensors_; }
    const std::vector<DataPlace> &  places() const { return places_; } // of each tensor
    const std::vector<std::string> & paths() const { return paths_; }  // of the parts

    // A copy of the metadata, as of a model in one file.
    gguf_context_ptr metadata() const;

  private:
    MemoryNotes             notes_;
    Model                   model_;
    std::vector<std::string> paths_;
    std::vector<FileHeader>  parts_;
    std::vector<TensorSpec>  tensors_;
    std::vector<DataPlace>   places_;
};

} // namespace slmprof

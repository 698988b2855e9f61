// The owner of a llama.cpp model.

#pragma once

#include "engine/model_info.h"

#include "llama-cpp.h"

#include <cstdint>
#include <string>
#include <vector>

namespace slmprof {

struct EngineSettings;
class MemoryNotes;

class Model {
  public:
    // What is allocated goes to the notes. Where those plan, only the header of the file is read: no
    // weights, and no texts of the vocabulary. Throws ModelFailure and std::invalid_argument.
    Model(const EngineSettings & settings, MemoryNotes & notes);

    llama_model * get() const { return model_.get(); }
    ModelInfo     info() const;

    // Text to token ids with the model's own vocabulary, its special tokens added.
    std::vector<int32_t> tokenize(const std::string & text) const;

  private:
    llama_model_ptr model_;
};

}  // namespace slmprof

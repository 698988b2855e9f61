// The owner of a llama.cpp model.

#pragma once

#include "engine/model_info.h"

#include "llama-cpp.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace slmprof {

struct EngineSettings;
class MemoryNotes;
class PackedWeights;

class Model {
  public:
    // What is allocated goes to the notes. Where those plan, only the header of the file is read: no
    // weights, and no texts of the vocabulary. Throws ModelFailure and std::invalid_argument.
    Model(const EngineSettings & settings, MemoryNotes & notes);
    ~Model();

    llama_model * get() const { return model_.get(); }
    ModelInfo     info() const;

    // Replaces bytes of a weight in memory. Throws std::invalid_argument where there is no such weight, or it does not lie
    // in memory as the file has it: mapped, or repacked.
    void write_weight(const std::string & tensor, size_t begin, const std::vector<uint8_t> & bytes);

    // Text to token ids with the model's own vocabulary, its special tokens added.
    std::vector<int32_t> tokenize(const std::string & text) const;

    // The most bytes of a text that one of its tokens stands for, or 0 where that is not limited: some vocabularies drop
    // characters, or have one token for every unknown word.
    size_t longest_token_bytes() const;

  private:
    std::unique_ptr<PackedWeights> packed_;  // which the model's tensors refer to
    llama_model_ptr                model_;
    bool                           is_mapped_;
};

// Which of some weights the scheme of the settings can hold: those that a model uses for products and for looking rows up
// only, so far as its kernels allow. Reads the header of the file. Throws ModelFailure and std::invalid_argument.
std::vector<std::string> packable_tensors(const EngineSettings & settings, const std::vector<std::string> & names);

}  // namespace slmprof

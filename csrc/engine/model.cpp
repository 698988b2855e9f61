#include "engine/model.h"

#include "engine/backends.h"
#include "failures.h"
#include "engine/llama_params.h"
#include "engine/settings.h"
#include "kernels/packed_weights.h"
#include "memory/memory_notes.h"

#include "ggml-backend.h"
#include "llama-model.h"

#include <algorithm>
#include <stdexcept>

namespace slmprof {

Model::Model(const EngineSettings & settings, MemoryNotes & notes)
    : packed_(std::make_unique<PackedWeights>(settings.scheme)), is_mapped_(settings.use_mmap) {
    initialize_backends();
    ModelParams model_params(settings);
    if (notes.is_planning()) {
        model_params.leave_weights_out();
    }
    const MemoryNotes::Scope   scope(notes);
    const PackedWeights::Scope packed(*packed_);
    model_.reset(llama_model_load_from_file(settings.path.c_str(), model_params.params));
    if (!model_) {
        throw ModelFailure("llama.cpp cannot load " + settings.path);
    }
    packed_->bind(notes.tensors());
}

Model::~Model() = default;

std::vector<std::string> packable_tensors(const EngineSettings & settings, const std::vector<std::string> & names) {
    initialize_backends();
    ModelParams model_params(settings);
    model_params.leave_weights_out();
    MemoryNotes                notes = MemoryNotes::planned(false);
    PackedWeights              weights(settings.scheme, names);
    const MemoryNotes::Scope   scope(notes);
    const PackedWeights::Scope packed(weights);
    const llama_model_ptr      model(llama_model_load_from_file(settings.path.c_str(), model_params.params));
    if (!model) {
        throw ModelFailure("llama.cpp cannot load " + settings.path);
    }
    return weights.held(notes.tensors());
}

void Model::write_weight(const std::string & tensor, size_t begin, const std::vector<uint8_t> & bytes) {
    bool is_found = false;
    // A name may stand for several tensors: an embedding that is the LM head as well.
    for (const auto & [name, weight] : llama_internal_get_tensor_map(get())) {
        if (name != tensor) {
            continue;
        }
        is_found = true;
        if (is_mapped_ || !ggml_backend_buffer_is_host(weight->buffer)) {
            throw std::invalid_argument(tensor + " does not lie in memory as the file has it");
        }
        if (begin > ggml_nbytes(weight) || bytes.size() > ggml_nbytes(weight) - begin) {
            throw std::invalid_argument("bytes beyond the end of " + tensor);
        }
        ggml_backend_tensor_set(weight, bytes.data(), begin, bytes.size());
    }
    if (!is_found) {
        throw std::invalid_argument("there is no weight " + tensor);
    }
}

ModelInfo Model::info() const {
    return describe(get());
}

std::vector<int32_t> Model::tokenize(const std::string & text) const {
    const llama_vocab * vocab = llama_model_get_vocab(get());
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) {
        throw std::invalid_argument("this model has no vocabulary, so a prompt cannot be tokenized");
    }
    const auto    length = static_cast<int32_t>(text.size());
    const int32_t n      = -llama_tokenize(vocab, text.data(), length, nullptr, 0, true, false);
    std::vector<int32_t> tokens(static_cast<size_t>(std::max(n, 0)));
    llama_tokenize(vocab, text.data(), length, tokens.data(), n, true, false);
    return tokens;
}

}  // namespace slmprof

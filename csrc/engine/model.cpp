#include "engine/model.h"

#include "failures.h"
#include "engine/backends.h"
#include "engine/deep_stack.h"
#include "engine/llama_params.h"
#include "engine/settings.h"
#include "kernels/packed_weights.h"
#include "memory/memory_notes.h"

#include "ggml-backend.h"
#include "llama-model.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace slmprof {

namespace {

// The standard library's regular expressions, by which llama.cpp cuts texts for some vocabularies, call themselves once
// for each character of a word, or of blanks.
size_t tokenizer_stack_bytes(size_t text_bytes) {
    constexpr size_t k_bytes_a_character = 1 << 10, k_least = 8 << 20, k_most = 512 << 20;
    return std::clamp(text_bytes * k_bytes_a_character, k_least, k_most);
}

}  // namespace

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
    const auto           length = static_cast<int32_t>(text.size());
    std::vector<int32_t> tokens(text.size() / 2 + 16);
    on_deep_stack(tokenizer_stack_bytes(text.size()), [&] {
        const auto attempt = [&] {
            return llama_tokenize(vocab, text.data(), length, tokens.data(), static_cast<int32_t>(tokens.size()), true, false);
        };
        int32_t n = attempt();
        if (n < 0 && n != std::numeric_limits<int32_t>::min()) {
            tokens.resize(static_cast<size_t>(-n));  // what it takes
            n = attempt();
        }
        if (n < 0) {
            throw std::invalid_argument("llama.cpp cannot tokenize a text of so many tokens");
        }
        tokens.resize(static_cast<size_t>(n));
    });
    return tokens;
}

size_t Model::longest_token_bytes() const {
    const llama_vocab * vocab = llama_model_get_vocab(get());
    const auto          type  = llama_vocab_type(vocab);
    if (type != LLAMA_VOCAB_TYPE_SPM && type != LLAMA_VOCAB_TYPE_BPE) {
        return 0;
    }
    size_t longest = 0;
    for (int32_t i = 0; i < llama_vocab_n_tokens(vocab); i++) {
        // As the file has it, where no character is shorter than in the text.
        longest = std::max(longest, std::strlen(llama_vocab_get_text(vocab, i)));
    }
    return longest;
}

}  // namespace slmprof

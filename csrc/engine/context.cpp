#include "engine/context.h"

#include "failures.h"
#include "engine/llama_params.h"
#include "engine/model.h"
#include "kernels/computable.h"
#include "llama_api/model.h"
#include "llama_api/parameters.h"
#include "memory/memory_notes.h"
#include "record/forked.h"

#include "ggml-cpu.h"
#include "llama-context.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>

namespace slmprof {

namespace {

constexpr uint32_t k_largest_batch = uint32_t(1) << 26;

std::mutex computing;

[[maybe_unused]] const bool is_renewed = renewed_in_forks<computing>();

std::string explain(int32_t status, int32_t n_past, uint32_t n_ctx) {
    switch (status) {
        case 1:
            return "the KV cache is full (context " + std::to_string(n_ctx) + ", " +
                   std::to_string(n_past) + " tokens in it); use a larger --n-ctx";
        case 2:  return "the computation was aborted";
        case -1: return "llama.cpp refused the batch";
        case -2: return "llama.cpp could not allocate memory for the batch";
        default: return "llama.cpp failed with status " + std::to_string(status);
    }
}

// llama.cpp asks this of flash attention only, and aborts without it when it builds the graph.
void check_cache_types(const Model & model, const llama_context_params & params) {
    if (!ggml_is_quantized(params.type_k)) {
        return;
    }
    const llama_hparams & hparams    = model.get()->hparams;
    const auto            block_size = static_cast<uint32_t>(ggml_blck_size(params.type_k));
    for (uint32_t layer = 0; layer < llama_api::n_layers(hparams); layer++) {
        if (hparams.n_embd_head_k(layer) % block_size != 0) {
            throw EngineFailure(std::string("K cache type ") + ggml_type_name(params.type_k) + " has blocks of " +
                                std::to_string(block_size) + ", which do not divide heads of " +
                                std::to_string(hparams.n_embd_head_k(layer)));
        }
    }
}

// llama.cpp keeps a number for each token of a batch, which only a causal model's context limits.
void check_batch(const Model & model, const llama_context_params & params) {
    if (!model.get()->hparams.causal_attn && params.n_batch > k_largest_batch) {
        throw EngineFailure("a batch of " + std::to_string(params.n_batch) + " tokens is too large: at most " +
                            std::to_string(k_largest_batch) + " are possible; use a smaller --n-batch");
    }
}

// Where it reserves the graph of a decoder for several sequences, what the encoder gave has no room for them.
void check_sequences(const Model & model, const llama_context_params & params) {
    if (params.n_seq_max > 1 && llama_model_has_encoder(model.get()) && llama_model_has_decoder(model.get())) {
        throw EngineFailure("llama.cpp runs a model with an encoder and a decoder with one sequence alone, not with " +
                            std::to_string(params.n_seq_max));
    }
}

}  // namespace

std::mutex & compute_mutex() {
    return computing;
}

void Context::PoolDeleter::operator()(ggml_threadpool * pool) const {
    ggml_threadpool_free(pool);
}

llama_context_ptr make_context(const Model & model, const EngineSettings & settings, ObserverSlot * slot) {
    llama_context_params params = context_params(settings);
    params.cb_eval_user_data    = slot;
    check_cache_types(model, params);
    check_batch(model, params);
    check_sequences(model, params);
    take_refusal();
    llama_context_ptr context(llama_init_from_model(model.get(), params));
    if (!context) {
        if (const std::exception_ptr reason = take_refusal()) {
            std::rethrow_exception(reason);
        }
        throw EngineFailure("llama.cpp cannot make a context of " + std::to_string(settings.n_ctx) + " tokens");
    }
    return context;
}

Context::Context(const Model & model, const EngineSettings & settings, MemoryNotes & notes)
    : model_(model), can_observe_(settings.can_observe), notes_(notes) {
    const MemoryNotes::Scope scope(notes_);
    context_ = make_context(model, settings, &slot_);
    // One pool for the life of the context, as llama-bench has it: without one, ggml starts and
    // ends its threads for every graph.
    ggml_threadpool_params pool_params = ggml_threadpool_params_default(settings.n_threads);
    pool_.reset(ggml_threadpool_new(&pool_params));
    if (!pool_) {
        throw EngineFailure("cannot start " + std::to_string(settings.n_threads) + " threads");
    }
    llama_attach_threadpool(context_.get(), pool_.get(), nullptr);
}

ContextInfo Context::info() const {
    return describe(context_.get());
}

int32_t Context::n_vocab() const {
    return llama_vocab_n_tokens(llama_model_get_vocab(model_.get()));
}

bool Context::truncate(int32_t n_past) {
    llama_memory_t memory = llama_get_memory(context_.get());
    if (memory == nullptr) {
        n_past_ = 0;
        return n_past == 0;
    }
    if (n_past > 0 && n_past <= n_past_ && llama_memory_seq_rm(memory, 0, n_past, -1)) {
        // A cache of a sliding window has let go of tokens that a position further back sees.
        const int32_t window = llama_model_n_swa(model_.get());
        const int32_t needed = std::max(0, n_past - window + 1);
        const int32_t oldest = llama_memory_seq_pos_min(memory, 0);
        if (window == 0 || n_past == n_past_ || (oldest >= 0 && oldest <= needed)) {
            n_past_ = n_past;
            return true;
        }
    }
    llama_memory_clear(memory, false);
    n_past_ = 0;
    return n_past == 0;
}

void Context::check_tokens(const std::vector<int32_t> & tokens) const {
    if (tokens.empty()) {
        throw std::invalid_argument("no tokens");
    }
    for (const int32_t token : tokens) {
        if (token < 0 || token >= n_vocab()) {
            throw std::invalid_argument("token " + std::to_string(token) + " is not in the vocabulary of " +
                                        std::to_string(n_vocab()));
        }
    }
    const uint32_t n_ctx = llama_n_ctx(context_.get());
    if (llama_get_memory(context_.get()) != nullptr && static_cast<size_t>(n_past_) + tokens.size() > n_ctx) {
        throw std::invalid_argument(std::to_string(n_past_ + static_cast<int64_t>(tokens.size())) +
                                    " tokens do not fit in a context of " + std::to_string(n_ctx));
    }
}

void Context::check_prompt(const std::vector<int32_t> & tokens) const {
    check_tokens(tokens);
    const bool has_memory = llama_get_memory(context_.get()) != nullptr;
    if (has_memory && !llama_model_has_encoder(model_.get())) {
        return;
    }
    // Without a memory each token has outputs; llama.cpp aborts where it was told of fewer.
    const uint32_t n_outputs = llama_api::outputs_max(context_->get_cparams());
    if (!has_memory && tokens.size() > n_outputs) {
        throw std::invalid_argument("this model has outputs for each of its " + std::to_string(tokens.size()) +
                                    " tokens, n_outputs_max allows " + std::to_string(n_outputs));
    }
    // llama.cpp aborts otherwise: in an encoder each token sees all the others.
    const uint32_t limit = std::min(llama_n_batch(context_.get()), llama_n_ubatch(context_.get()));
    if (tokens.size() > limit) {
        throw std::invalid_argument("this model encodes its prompt in one batch of at most " + std::to_string(limit) +
                                    " tokens; use --n-batch and --n-ubatch " + std::to_string(tokens.size()) + " or more");
    }
}

void Context::check_decode(const std::vector<int32_t> & tokens) const {
    check_tokens(tokens);
    if (llama_model_has_encoder(model_.get()) && !has_encoded_) {
        throw std::invalid_argument("this model's decoder reads an encoded prompt; run a prefill first");
    }
}

void Context::check_keeps(const std::vector<int32_t> & tokens) const {
    check_tokens(tokens);
    if (llama_get_memory(context_.get()) == nullptr || llama_model_has_encoder(model_.get())) {
        throw std::invalid_argument("this model encodes its prompt anew each time and keeps nothing of it: it has no depth, "
                                    "and no logits of a next token");
    }
}

void Context::run_batch(const int32_t * tokens, int32_t n_tokens, bool encodes, int8_t * has_logits) {
    const MemoryNotes::Scope scope(notes_);  // buffers may be made anew
    // llama.cpp does not write to the tokens of a batch.
    llama_batch batch    = llama_batch_get_one(const_cast<int32_t *>(tokens), n_tokens);
    batch.logits         = has_logits;
    const int32_t status = encodes ? llama_encode(context_.get(), batch) : llama_decode(context_.get(), batch);
    if (status != 0) {
        const std::string cause = explain(status, n_past_, llama_n_ctx(context_.get()));
        // What the failed batch has left in the memory.
        if (llama_memory_t memory = llama_get_memory(context_.get())) {
            n_past_ = llama_memory_seq_pos_max(memory, 0) + 1;
        }
        throw EngineFailure(cause);
    }
    // An encoder's prompt leaves nothing in the decoder's memory.
    has_encoded_ = has_encoded_ || encodes;
    n_past_ += encodes ? 0 : n_tokens;
}

void Context::run(const int32_t * tokens, int32_t n_tokens, bool is_prompt) {
    const bool encodes = is_prompt && llama_model_has_encoder(model_.get());
    const auto limit   = static_cast<int32_t>(llama_n_batch(context_.get()));
    for (int32_t done = 0; done < n_tokens; done += limit) {
        run_batch(tokens + done, std::min(limit, n_tokens - done), encodes, nullptr);
    }
    llama_synchronize(context_.get());
}

void Context::fill(const std::vector<int32_t> & tokens) {
    check_keeps(tokens);
    const std::lock_guard<std::mutex> lock(compute_mutex());
    run(tokens.data(), static_cast<int32_t>(tokens.size()), true);
}

void Context::score(const std::vector<int32_t> & tokens, const LogitsConsumer & consume, int32_t first) {
    check_keeps(tokens);
    const auto n_tokens = static_cast<int32_t>(tokens.size());
    const auto n_ubatch = static_cast<int32_t>(llama_n_ubatch(context_.get()));
    const auto n_most   = static_cast<int32_t>(llama_api::outputs_max(context_->get_cparams()));
    if (first < 0 || first >= n_tokens) {
        throw std::invalid_argument("no logits are asked for from token " + std::to_string(first) + " of " +
                                    std::to_string(n_tokens) + " on");
    }
    std::vector<int8_t> has_logits;
    for (int32_t done = 0; done < n_tokens;) {
        const int32_t n_without = std::clamp(first - done, 0, n_ubatch);
        const int32_t n_with    = std::clamp(n_tokens - done - n_without, 0, std::min(n_ubatch - n_without, n_most));
        has_logits.assign(static_cast<size_t>(n_without), 0);
        has_logits.resize(static_cast<size_t>(n_without + n_with), 1);
        LogitsView view{ n_past_ + n_without, nullptr, n_with, n_vocab() };
        {
            // Let go for the consumer, which may run another context.
            const std::lock_guard<std::mutex> lock(compute_mutex());
            run_batch(tokens.data() + done, n_without + n_with, false, has_logits.data());
            llama_synchronize(context_.get());
            view.values = n_with > 0 ? llama_get_logits(context_.get()) : nullptr;
        }
        done += n_without + n_with;
        if (n_with == 0) {
            continue;
        }
        if (view.values == nullptr) {
            throw EngineFailure("llama.cpp has no logits of this model");
        }
        consume(view);
    }
}

void Context::run_observed(const std::vector<int32_t> & tokens, GraphObserver & observer) {
    if (!can_observe_) {
        throw std::invalid_argument("this context was not made to be observed");
    }
    struct Observed {
        ObserverSlot & slot;
        ~Observed() { slot.observer = nullptr; }
    } observed{ slot_ };
    slot_.observer = &observer;
    score(tokens, [](const LogitsView &) {});
}

void Context::rest() {
    ggml_threadpool_pause(pool_.get());
}

std::vector<float> Context::last_logits() const {
    const float * logits = llama_get_logits_ith(context_.get(), -1);
    if (logits == nullptr) {
        return {};
    }
    return { logits, logits + n_vocab() };
}

}  // namespace slmprof

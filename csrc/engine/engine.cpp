#include "engine/engine.h"

#include "record/clock.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "llama-context.h"
#include "llama.h"
#include "engine/llama_params.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace slmprof {

namespace {

constexpr uint64_t k_default_events = 1 << 16;
constexpr uint64_t k_most_events    = 1 << 22;
// Of one graph, with room to spare.
constexpr uint64_t k_events_of_run = 1 << 13;

// One step at a time in the process: two at once would disturb each other's times, and the hooks
// tell threads apart by their number alone.
std::mutex step_mutex;

std::string explain(int32_t status, int32_t n_past, uint32_t n_ctx) {
    switch (status) {
        case 1:
            return "llama.cpp found no room in the KV cache (context " + std::to_string(n_ctx) + ", " +
                   std::to_string(n_past) + " tokens in it); use a larger --n-ctx";
        case 2:  return "the computation was aborted";
        case -1: return "llama.cpp refused the batch";
        case -2: return "llama.cpp could not allocate memory for the batch";
        default: return "llama.cpp failed with status " + std::to_string(status);
    }
}

}  // namespace

Engine::Engine(const EngineSettings & settings) : n_threads_(settings.n_threads),
      observes_by_callback_(settings.observe_by_callback) {
    initialize_backends();
    tick_scale();
    try {
        load(settings);
    } catch (...) {
        unload();
        throw;
    }
}

void Engine::load(const EngineSettings & settings) {
    const ModelParams          model_params(settings);
    const llama_context_params context_settings = context_params(settings);
    const MemoryNotes::Scope   scope(notes_);

    observations_.push_back(look("start"));
    model_ = llama_model_load_from_file(settings.path.c_str(), model_params.params);
    if (model_ == nullptr) {
        throw ModelFailure("llama.cpp cannot load " + settings.path);
    }
    observations_.push_back(look("load"));
    context_ = llama_init_from_model(model_, context_settings);
    if (context_ == nullptr) {
        throw EngineFailure("llama.cpp cannot make a context of " + std::to_string(settings.n_ctx) + " tokens");
    }
    // One pool for the life of the context, as llama-bench has it: without one, ggml starts and
    // ends its threads for every graph.
    ggml_threadpool_params pool_params = ggml_threadpool_params_default(settings.n_threads);
    thread_pool_ = ggml_threadpool_new(&pool_params);
    if (thread_pool_ == nullptr) {
        throw EngineFailure("cannot start " + std::to_string(settings.n_threads) + " threads");
    }
    llama_attach_threadpool(context_, thread_pool_, nullptr);
    grows_    = settings.event_capacity == 0;
    recorder_ = std::make_unique<Recorder>(n_threads_, grows_ ? k_default_events : settings.event_capacity,
                                           settings.exact_clock);
    observations_.push_back(look("context"));
}

Observation Engine::look(const std::string & point) const {
    return slmprof::observe(point, n_past_, recorder_ ? recorder_->memory() : std::vector<AddressRange>{},
                            notes_.real_buffers(), notes_.places());
}

Observation Engine::observe(const std::string & point) const {
    const std::lock_guard<std::mutex> own_lock(mutex_);
    return look(point);
}

Engine::~Engine() {
    unload();
}

void Engine::unload() {
    if (context_ != nullptr) {
        llama_free(context_);
        context_ = nullptr;
    }
    if (thread_pool_ != nullptr) {
        ggml_threadpool_free(thread_pool_);
        thread_pool_ = nullptr;
    }
    // After the pool's threads, of which one may still look at its slot behind the last barrier.
    recorder_.reset();
    if (model_ != nullptr) {
        llama_model_free(model_);
        model_ = nullptr;
    }
}

ModelInfo Engine::model_info() const {
    return describe(model_);
}

ContextInfo Engine::context_info() const {
    return describe(context_);
}

std::vector<BufferRecord> Engine::buffers() const {
    const std::lock_guard<std::mutex> own_lock(mutex_);
    return merge_buffers(notes_.real_buffers());
}

std::vector<RealBuffer> Engine::real_buffers() const {
    const std::lock_guard<std::mutex> own_lock(mutex_);
    return notes_.real_buffers();
}

PlaceColumns Engine::places() const {
    const std::lock_guard<std::mutex> own_lock(mutex_);
    return notes_.places();
}

std::vector<int32_t> Engine::tokenize(const std::string & text) const {
    const llama_vocab * vocab = llama_model_get_vocab(model_);
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) {
        throw std::invalid_argument("this model has no vocabulary, so a prompt cannot be tokenized");
    }
    const auto    length = static_cast<int32_t>(text.size());
    const int32_t n      = -llama_tokenize(vocab, text.data(), length, nullptr, 0, true, false);
    std::vector<int32_t> tokens(static_cast<size_t>(std::max(n, 0)));
    llama_tokenize(vocab, text.data(), length, tokens.data(), n, true, false);
    return tokens;
}

bool Engine::truncate(int32_t n_past) {
    const std::lock_guard<std::mutex> own_lock(mutex_);
    llama_memory_t memory = llama_get_memory(context_);
    if (memory == nullptr) {
        n_past_ = 0;
        return n_past == 0;
    }
    if (n_past > 0 && n_past <= n_past_ && llama_memory_seq_rm(memory, 0, n_past, -1)) {
        // A cache of a sliding window has let go of tokens that a position further back sees.
        const int32_t window = llama_model_n_swa(model_);
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

void Engine::check_tokens(const std::vector<int32_t> & tokens) const {
    const int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model_));
    if (tokens.empty()) {
        throw std::invalid_argument("no tokens");
    }
    for (const int32_t token : tokens) {
        if (token < 0 || token >= n_vocab) {
            throw std::invalid_argument("token " + std::to_string(token) + " is not in the vocabulary of " +
                                        std::to_string(n_vocab));
        }
    }
    const uint32_t n_ctx = llama_n_ctx(context_);
    if (llama_get_memory(context_) != nullptr && static_cast<size_t>(n_past_) + tokens.size() > n_ctx) {
        throw std::invalid_argument(std::to_string(n_past_ + static_cast<int64_t>(tokens.size())) +
                                    " tokens do not fit in a context of " + std::to_string(n_ctx));
    }
}

void Engine::check_encoder_batch(const std::vector<int32_t> & tokens) const {
    if (llama_get_memory(context_) != nullptr && !llama_model_has_encoder(model_)) {
        return;
    }
    // Without a memory each token has outputs; llama.cpp aborts where it was told of fewer.
    const uint32_t n_outputs = context_->get_cparams().n_outputs_max;
    if (llama_get_memory(context_) == nullptr && tokens.size() > n_outputs) {
        throw std::invalid_argument("this model has outputs for each of its " + std::to_string(tokens.size()) +
                                    " tokens, n_outputs_max allows " + std::to_string(n_outputs));
    }
    // llama.cpp aborts otherwise: in an encoder each token sees all the others.
    const uint32_t limit = std::min(llama_n_batch(context_), llama_n_ubatch(context_));
    if (tokens.size() > limit) {
        throw std::invalid_argument("this model encodes its prompt in one batch of at most " + std::to_string(limit) +
                                    " tokens; use --n-batch and --n-ubatch " + std::to_string(tokens.size()) + " or more");
    }
}

void Engine::submit(const int32_t * tokens, int32_t n_tokens, bool is_prompt) {
    const MemoryNotes::Scope scope(notes_);  // buffers may be made anew
    const bool encode = is_prompt && llama_model_has_encoder(model_);
    const auto limit  = static_cast<int32_t>(llama_n_batch(context_));
    for (int32_t done = 0; done < n_tokens;) {
        const int32_t n = std::min(limit, n_tokens - done);
        // llama.cpp does not write to the tokens of a batch.
        const llama_batch batch  = llama_batch_get_one(const_cast<int32_t *>(tokens) + done, n);
        const int32_t     status = encode ? llama_encode(context_, batch) : llama_decode(context_, batch);
        if (status != 0) {
            const std::string cause = explain(status, n_past_ + done, llama_n_ctx(context_));
            // What the failed batch or the batches before it have left in the memory.
            if (llama_memory_t memory = llama_get_memory(context_)) {
                n_past_ = llama_memory_seq_pos_max(memory, 0) + 1;
            }
            throw EngineFailure(cause);
        }
        done += n;
        has_encoded_ = has_encoded_ || encode;
    }
    llama_synchronize(context_);
}

void Engine::fill(const std::vector<int32_t> & tokens) {
    const std::lock_guard<std::mutex> own_lock(mutex_);
    check_tokens(tokens);
    if (llama_get_memory(context_) == nullptr || llama_model_has_encoder(model_)) {
        throw std::invalid_argument("this model encodes its prompt anew each time and keeps nothing of it: it has no depth");
    }
    const std::lock_guard<std::mutex> lock(step_mutex);
    submit(tokens.data(), static_cast<int32_t>(tokens.size()), true);
    n_past_ += static_cast<int32_t>(tokens.size());
}

void Engine::step(const int32_t * tokens, int32_t n_tokens, Phase phase, Pass pass, int32_t repeat, int32_t depth, int32_t index) {
    const bool is_op = slmprof_threads != nullptr;

    const uint64_t begin = read_ticks();
    if (is_op) {
        recorder_->step_begin(phase, depth);
    }
    try {
        submit(tokens, n_tokens, phase == Phase::prefill);
    } catch (...) {
        if (is_op) {
            recorder_->abandon_step();
        }
        throw;
    }
    if (is_op) {
        recorder_->step_end();
    }
    const uint64_t end = read_ticks();
    if (is_op) {
        recorder_->resolve_graphs();
    }

    StepColumns::Row row;
    row.phase    = static_cast<uint8_t>(phase);
    row.pass     = static_cast<uint8_t>(pass);
    row.repeat   = repeat;
    row.index    = index;
    row.depth    = depth;
    row.n_tokens = n_tokens;
    row.n_past   = n_past_;
    row.begin_ns = tick_scale().to_ns(begin);
    row.end_ns   = tick_scale().to_ns(end);
    recorder_->add_step(row);
    // An encoder's prompt leaves nothing in the decoder's memory.
    if (phase == Phase::decode || !llama_model_has_encoder(model_)) {
        n_past_ += n_tokens;
    }
}

uint64_t Engine::events_of(size_t n_tokens, Phase phase) const {
    if (phase == Phase::decode) {
        return k_default_events;  // collected between the steps
    }
    const uint64_t n_batch = llama_n_batch(context_), n_ubatch = llama_n_ubatch(context_);
    const uint64_t per_batch = (n_batch + n_ubatch - 1) / n_ubatch;
    const uint64_t n_runs    = n_tokens / n_batch * per_batch + (n_tokens % n_batch + n_ubatch - 1) / n_ubatch;
    return std::clamp(n_runs * k_events_of_run, k_default_events, k_most_events);
}

void Engine::run_steps(const std::vector<int32_t> & tokens, Phase phase, Pass pass, int32_t repeat, int32_t depth,
                       EventMode mode, const std::function<void()> & check) {
    const std::lock_guard<std::mutex> own_lock(mutex_);
    check_tokens(tokens);
    if (phase == Phase::prefill) {
        check_encoder_batch(tokens);
    } else if (llama_model_has_encoder(model_) && !has_encoded_) {
        throw std::invalid_argument("this model's decoder reads an encoded prompt; run a prefill first");
    }
    if (pass == Pass::op && observes_by_callback_) {
        throw std::invalid_argument("a context observed by callback has no op passes: its graphs are cut into pieces");
    }
    const std::lock_guard<std::mutex> lock(step_mutex);

    // Hooks off again however this ends.
    struct Hooks {
        Recorder * recorder;
        ~Hooks() {
            if (recorder != nullptr) {
                recorder->stop();
                recorder->discard();
            }
        }
    } hooks{ nullptr };
    if (pass == Pass::op) {
        if (grows_) {
            recorder_->reserve(events_of(tokens.size(), phase));
        }
        recorder_->start();
        hooks.recorder = recorder_.get();
    }

    const auto n = static_cast<int32_t>(tokens.size());
    const int32_t n_steps = phase == Phase::prefill ? 1 : n;
    const auto    collect = [&] {
        if (hooks.recorder != nullptr) {
            recorder_->collect(mode);
        }
    };
    try {
        for (int32_t i = 0; i < n_steps; i++) {
            step(tokens.data() + i, phase == Phase::prefill ? n : 1, phase, pass, repeat, depth, i);
            if (recorder_->is_nearly_full()) {
                collect();
            }
            check();
        }
    } catch (...) {
        collect();  // the steps before are whole, and stand in the harvest already
        throw;
    }
    collect();
}

void Engine::prefill(const std::vector<int32_t> & tokens, Pass pass, int32_t repeat, int32_t depth, EventMode mode,
                     const std::function<void()> & check) {
    run_steps(tokens, Phase::prefill, pass, repeat, depth, mode, check);
}

void Engine::decode(const std::vector<int32_t> & tokens, Pass pass, int32_t repeat, int32_t depth, EventMode mode,
                    const std::function<void()> & check) {
    run_steps(tokens, Phase::decode, pass, repeat, depth, mode, check);
}

std::vector<float> Engine::last_logits() const {
    const std::lock_guard<std::mutex> own_lock(mutex_);
    const float * logits = llama_get_logits_ith(context_, -1);
    if (logits == nullptr) {
        return {};
    }
    return { logits, logits + llama_vocab_n_tokens(llama_model_get_vocab(model_)) };
}

Recording Engine::take() {
    const std::lock_guard<std::mutex> own_lock(mutex_);
    return recorder_->take();
}

}  // namespace slmprof

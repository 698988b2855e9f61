// Owners of a llama.cpp model and context, and the steps that are measured on them.

#pragma once

#include "engine/failures.h"
#include "engine/model_info.h"
#include "engine/settings.h"
#include "memory/buffers.h"
#include "memory/memory_notes.h"
#include "memory/observation.h"
#include "record/recorder.h"
#include "record/records.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct llama_model;
struct llama_context;
struct ggml_threadpool;

namespace slmprof {

// A call from another thread waits for the one that runs.
class Engine {
  public:
    // Loads the model and makes the context. Throws ModelFailure, EngineFailure, std::invalid_argument.
    explicit Engine(const EngineSettings & settings);
    ~Engine();
    Engine(const Engine &)             = delete;
    Engine & operator=(const Engine &) = delete;

    ModelInfo                  model_info() const;
    ContextInfo                context_info() const;
    // What is allocated: by kind, by allocation, and by tensor of weights and caches.
    std::vector<BufferRecord>  buffers() const;
    std::vector<RealBuffer>    real_buffers() const;
    PlaceColumns               places() const;
    // The process and the allocations as they are in memory now, and as they were when this was made:
    // before it, with the model, and with the context.
    Observation                      observe(const std::string & point) const;
    const std::vector<Observation> & observations() const { return observations_; }
    int32_t                    n_past() const { return n_past_; }

    // Text to token ids with the model's own vocabulary, its special tokens added.
    std::vector<int32_t> tokenize(const std::string & text) const;

    // Forgets all tokens from position `n_past` on. False where the model's memory cannot do that
    // (a recurrent state, a sliding window that has moved on): then the context is empty.
    bool truncate(int32_t n_past);

    // Tokens into the context, unmeasured.
    void fill(const std::vector<int32_t> & tokens);

    // One step for the whole prompt / one step for each token. `check` is called between the steps
    // and may throw. `depth` is what the repeat began at: it is only noted. Throws EngineFailure and
    // std::invalid_argument.
    void prefill(const std::vector<int32_t> & tokens, Pass pass, int32_t repeat, int32_t depth, EventMode mode,
                 const std::function<void()> & check);
    void decode(const std::vector<int32_t> & tokens, Pass pass, int32_t repeat, int32_t depth, EventMode mode,
                const std::function<void()> & check);

    // The logits of the last token of the last step; [n_vocab].
    std::vector<float> last_logits() const;

    // Everything that was recorded since the last call.
    Recording take();

  private:
    void load(const EngineSettings & settings);
    Observation look(const std::string & point) const;
    void unload();
    void check_tokens(const std::vector<int32_t> & tokens) const;
    void check_encoder_batch(const std::vector<int32_t> & tokens) const;
    uint64_t events_of(size_t n_tokens, Phase phase) const;
    void submit(const int32_t * tokens, int32_t n_tokens, bool is_prompt);
    void step(const int32_t * tokens, int32_t n_tokens, Phase phase, Pass pass, int32_t repeat, int32_t depth, int32_t index);
    void run_steps(const std::vector<int32_t> & tokens, Phase phase, Pass pass, int32_t repeat, int32_t depth, EventMode mode,
                   const std::function<void()> & check);

    MemoryNotes               notes_;
    llama_model *             model_       = nullptr;
    llama_context *           context_     = nullptr;
    ggml_threadpool *         thread_pool_ = nullptr;
    int32_t                   n_threads_   = 1;
    bool                      observes_by_callback_ = false;
    bool                      grows_                = true;  // the room for events
    bool                      has_encoded_          = false;
    std::atomic<int32_t>      n_past_{ 0 };
    mutable std::mutex        mutex_;  // taken before the one for steps
    std::unique_ptr<Recorder> recorder_;
    std::vector<Observation>  observations_;
};

}  // namespace slmprof

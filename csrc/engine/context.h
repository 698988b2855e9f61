// The owner of a llama.cpp context, of its threads, and of what is in its memory. It knows nothing of
// what is measured while it runs.

#pragma once

#include "engine/graph_observer.h"
#include "engine/model_info.h"

#include "llama-cpp.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

struct ggml_threadpool;

namespace slmprof {

struct EngineSettings;
class MemoryNotes;
class Model;

// Without a pool of threads. `slot` is where it looks for its observer, which must outlive it.
// Throws EngineFailure and std::invalid_argument.
llama_context_ptr make_context(const Model & model, const EngineSettings & settings, ObserverSlot * slot = nullptr);

// What runs a graph holds it: two at once in a process would disturb each other's times, and the hooks
// tell threads apart by their number alone.
std::mutex & compute_mutex();

// Logits of consecutive tokens, of which the first one stands at `position`: [n_tokens, n_vocab], row by
// row, as long as the call lasts.
struct LogitsView {
    int32_t       position = 0;
    const float * values   = nullptr;
    int32_t       n_tokens = 0, n_vocab = 0;
};

using LogitsConsumer = std::function<void(const LogitsView &)>;

class Context {
  public:
    // What is allocated goes to the notes, later too. All three must outlive this.
    Context(const Model & model, const EngineSettings & settings, MemoryNotes & notes);

    ContextInfo info() const;
    int32_t     n_past() const { return n_past_; }

    // Forgets all tokens from position `n_past` on. False where the model's memory cannot do that
    // (a recurrent state, a sliding window that has moved on): then the context is empty.
    bool truncate(int32_t n_past);

    // Whether tokens can be run as a prompt, or one by one. Throws std::invalid_argument.
    void check_prompt(const std::vector<int32_t> & tokens) const;
    void check_decode(const std::vector<int32_t> & tokens) const;

    // Runs tokens, with the logits of the last one. Throws EngineFailure; the tokens before are in the
    // memory then.
    void run(const int32_t * tokens, int32_t n_tokens, bool is_prompt);

    // Runs tokens that later ones can follow, and nothing else.
    void fill(const std::vector<int32_t> & tokens);

    // The same with the logits of each from the token number `first` on, batch by batch: as many tokens at a time as
    // a ubatch has, and n_outputs_max of them with logits. What `consume` throws ends it; the tokens so far are in the memory then.
    // Throws EngineFailure and std::invalid_argument.
    void score(const std::vector<int32_t> & tokens, const LogitsConsumer & consume, int32_t first = 0);

    // Runs tokens with logits of each, and lets `observer` see the graphs' tensors meanwhile. What it throws ends it.
    // Throws as score() does, and std::invalid_argument where the context was not made for it.
    void run_observed(const std::vector<int32_t> & tokens, GraphObserver & observer);

    // Lets the threads sleep, which for a while look out for the next run otherwise: they would take a core
    // from whatever runs meanwhile. The next run wakes them.
    void rest();

    // The logits of the last token of the last run; [n_vocab].
    std::vector<float> last_logits() const;

  private:
    struct PoolDeleter {
        void operator()(ggml_threadpool * pool) const;
    };

    int32_t n_vocab() const;
    void    check_tokens(const std::vector<int32_t> & tokens) const;
    void    check_keeps(const std::vector<int32_t> & tokens) const;
    void    run_batch(const int32_t * tokens, int32_t n_tokens, bool encodes, int8_t * has_logits);

    const Model &                                 model_;
    const bool                                    can_observe_;
    ObserverSlot                                  slot_;
    MemoryNotes &                                 notes_;
    std::unique_ptr<ggml_threadpool, PoolDeleter> pool_;
    llama_context_ptr                             context_;  // goes first: it knows the pool
    bool                                          has_encoded_ = false;
    std::atomic<int32_t>                          n_past_{ 0 };
};

}  // namespace slmprof

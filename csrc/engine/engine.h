// A model and a context, and the steps that are measured on them, behind one lock.

#pragma once

#include "cuda/pool_watch.h"
#include "engine/context.h"
#include "engine/model.h"
#include "engine/stepper.h"
#include "memory/buffers.h"
#include "memory/memory_notes.h"
#include "memory/observation.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

namespace slmprof {

// A call from another thread waits for the one that runs; what a call calls back may not call again.
class Engine {
    // Holds the engine for the length of a call.
    class Turn {
      public:
        explicit Turn(const Engine & engine);
        ~Turn();
        Turn(const Turn &)             = delete;
        Turn & operator=(const Turn &) = delete;

      private:
        const Engine & engine_;
    };

  public:
    // Loads the model and makes the context. Throws ModelFailure, EngineFailure, std::invalid_argument.
    explicit Engine(const EngineSettings & settings);

    // Whether this is the process that it was made in. In a child that was forked later its threads are not there: any call
    // throws std::invalid_argument, and its end would wait for them for ever.
    bool is_at_home() const { return home_ == getpid(); }

    // What their constant functions tell may be asked at any time.
    const Model &   model() const { return *model_; }
    const Context & context() const { return *context_; }

    // What is allocated: by kind, and by tensor of weights and caches.
    std::vector<BufferRecord> buffers() const { const Turn turn(*this); return merge_buffers(notes_.real_buffers()); }
    PlaceColumns              places() const { const Turn turn(*this); return notes_.places(); }

    // The process and the allocations as they are in memory now, and as they were when this was made:
    // before it, with the model, and with the context.
    Observation observe(const std::string & point) const { const Turn turn(*this); return look(point); }
    const std::vector<Observation> & observations() const { return observations_; }

    // Why the kernels of a device are not recorded; empty where they are, or where there are none.
    const std::string & tracing_problem() const { return stepper_->tracing_problem(); }

    // What ggml-cuda's pools hold; nothing where there are none, or where another engine came first and watches them.
    std::vector<PoolUse> pools() const { return pools_.uses(); }

    // As Model, Context and Stepper have them.
    bool truncate(int32_t n_past) { const Turn turn(*this); return context_->truncate(n_past); }
    void fill(const std::vector<int32_t> & tokens) { const Turn turn(*this); context_->fill(tokens); }
    void score(const std::vector<int32_t> & tokens, const LogitsConsumer & consume, int32_t first) {
        const Turn turn(*this);
        context_->score(tokens, consume, first);
    }
    void run_observed(const std::vector<int32_t> & tokens, GraphObserver & observer) {
        const Turn turn(*this);
        context_->run_observed(tokens, observer);
    }
    void write_weight(const std::string & tensor, size_t begin, const std::vector<uint8_t> & bytes) {
        const Turn turn(*this);
        model_->write_weight(tensor, begin, bytes);
    }
    void run(const std::vector<int32_t> & tokens, const Steps & steps, const std::function<void()> & check) {
        const Turn turn(*this);
        stepper_->run(*context_, tokens, steps, check);
    }
    void rest() { const Turn turn(*this); context_->rest(); }
    std::vector<float> last_logits() const { const Turn turn(*this); return context_->last_logits(); }
    Recording          take() { const Turn turn(*this); return stepper_->take(); }

  private:
    Observation look(const std::string & point) const;

    const pid_t                          home_ = getpid();
    mutable std::mutex                   mutex_;  // taken before the one for computing
    mutable std::atomic<std::thread::id> caller_{};
    PoolWatch                            pools_;  // goes last: contexts tell of pools that end with them
    MemoryNotes                          notes_;
    std::optional<Stepper>               stepper_;  // goes after the context, whose threads it must outlive
    std::optional<Model>                 model_;
    std::optional<Context>               context_;
    std::vector<Observation>             observations_;
};

}  // namespace slmprof

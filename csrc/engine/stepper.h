// The steps of prefill and decode on a context, and what is recorded of them.

#pragma once

#include "engine/kernel_tracing.h"
#include "record/recorder.h"
#include "record/records.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace slmprof {

class Context;
struct EngineSettings;

// What steps are run as. `repeat` and `depth`, which the repeat began at, are only noted.
struct Steps {
    Phase     phase  = Phase::prefill;
    Pass      pass   = Pass::timing;
    int32_t   repeat = 0, depth = 0;
    EventMode mode   = EventMode::all;
};

// It must outlive the threads that run the steps: one may still look at its slot behind the last barrier.
class Stepper {
  public:
    explicit Stepper(const EngineSettings & settings);
    ~Stepper();

    // One step for the whole prompt, or one for each token. `check` is called between the steps and
    // may throw. Throws EngineFailure and std::invalid_argument.
    void run(Context & context, const std::vector<int32_t> & tokens, const Steps & steps, const std::function<void()> & check);

    // Everything that was recorded since the last call.
    Recording take() { return recorder_.take(); }

    const std::string & tracing_problem() const { return tracing_.problem; }

    std::vector<AddressRange> memory() const;

  private:
    void step(Context & context, const int32_t * tokens, int32_t n_tokens, const Steps & steps, int32_t index);

    Recorder      recorder_;
    KernelTracing tracing_;  // goes first: it writes to the recorder's texts
    bool     grows_;  // the room for events
    bool     observes_by_callback_;
};

}  // namespace slmprof

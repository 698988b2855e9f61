// What tells that other processes disturbed a step. It is looked at between the steps.

#pragma once

#include "record/records.h"

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

namespace slmprof {

// What this process has had of the processor so far; zeros where the system does not tell.
struct ProcessorUse {
    int64_t cpu_ns      = 0;  // of all threads; those of running ones as of the system's last tick
    int64_t n_preempted = 0;  // how often a thread was taken off its core

    static ProcessorUse now();
};

// How long a step may take, by those before it. Statistics that are added up while a run lasts cannot
// leave out later what they hold already; analysis/timing/disturbance.py judges when all is known.
class StepLimit {
  public:
    // Whether a step took much longer than its like; from then on it is one of them. Steps that are recorded in a way
    // that makes them longer are of another kind.
    bool is_exceeded_by(const StepColumns::Row & step, uint8_t kind = 0);

  private:
    // The last walls of a phase and depth, in the order in which they are overwritten.
    struct Recent {
        std::vector<int64_t> walls_ns;
        size_t               next = 0;
    };

    std::map<std::tuple<uint8_t, int32_t, uint8_t>, Recent> recent_;
    std::vector<int64_t>                                    sorted_;
};

}  // namespace slmprof

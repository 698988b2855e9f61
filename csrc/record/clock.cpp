#include "record/clock.h"

#include <thread>
#include <chrono>

namespace slmprof {
namespace {

struct Reading {
    uint64_t ticks;
    int64_t  ns;
};

// Both clocks at one moment: of several tries the one that was interrupted least.
Reading read_both() {
    Reading  best{};
    uint64_t best_gap = UINT64_MAX;
    for (int i = 0; i < 16; i++) {
        const uint64_t before = read_ticks();
        const int64_t  ns     = monotonic_ns();
        const uint64_t after  = read_ticks();
        if (after - before < best_gap) {
            best_gap = after - before;
            best     = { before + (after - before) / 2, ns };
        }
    }
    return best;
}

const Reading k_at_load = read_both();

TickScale calibrate() {
    TickScale scale{ k_at_load.ticks, k_at_load.ns };
    if (!k_invariant_ticks) {
        return scale;
    }
    // Over 50 ms an error of 100 ns in either reading is 4 parts in a million.
    constexpr int64_t k_least_ns = 50'000'000;
    const int64_t     elapsed    = monotonic_ns() - k_at_load.ns;
    if (elapsed < k_least_ns) {
        std::this_thread::sleep_for(std::chrono::nanoseconds(k_least_ns - elapsed));
    }
    const Reading now = read_both();
    scale.ns_per_tick = static_cast<double>(now.ns - k_at_load.ns) / static_cast<double>(now.ticks - k_at_load.ticks);
    return scale;
}

}  // namespace

const TickScale & tick_scale() {
    static const TickScale scale = calibrate();
    return scale;
}

}  // namespace slmprof

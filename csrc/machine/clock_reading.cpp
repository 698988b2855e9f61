#include "machine/clock_reading.h"

#include "record/clock.h"

#include <algorithm>
#include <limits>

namespace slmprof {
namespace {

constexpr int k_runs = 20, k_readings = 1000;

double read_ns() {
    int64_t           best_ns = std::numeric_limits<int64_t>::max();
    volatile uint64_t last    = 0;
    for (int run = 0; run < k_runs; run++) {
        const int64_t begin_ns = monotonic_ns();
        for (int i = 0; i < k_readings; i++) {
            last = read_ticks();
        }
        best_ns = std::min(best_ns, monotonic_ns() - begin_ns);
    }
    (void) last;
    return static_cast<double>(best_ns) / k_readings;
}

double system_resolution_ns() {
    timespec step = { 0, 1 };
#ifdef CLOCK_MONOTONIC_RAW
    clock_getres(CLOCK_MONOTONIC_RAW, &step);
#else
    clock_getres(CLOCK_MONOTONIC, &step);
#endif
    return static_cast<double>(step.tv_sec) * 1e9 + static_cast<double>(step.tv_nsec);
}

}  // namespace

ClockReading measure_clock() {
    if (!slmprof_has_ticks) {
        return { "clock_monotonic", system_resolution_ns(), read_ns() };
    }
#if defined(__aarch64__)
    const char * source = "cntvct";
#else
    const char * source = "tsc";
#endif
    return { source, tick_scale().ns_per_tick, read_ns() };
}

}  // namespace slmprof

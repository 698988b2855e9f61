// The one clock: processor ticks where they are invariant (about 8 ns a read), else the system's
// monotonic clock (about 25 ns). Ticks are turned into nanoseconds after the measurement.

#pragma once

#include "record/ticks.h"

#include <cstdint>

namespace slmprof {

inline uint64_t read_ticks() { return slmprof_read_ticks(); }
inline int64_t  monotonic_ns() { return slmprof_monotonic_ns(); }

// The line through two simultaneous readings of both clocks.
struct TickScale {
    uint64_t base_ticks  = 0;
    int64_t  base_ns     = 0;
    double   ns_per_tick = 1.0;

    int64_t duration_ns(uint64_t ticks) const {
        return static_cast<int64_t>(static_cast<double>(ticks) * ns_per_tick + 0.5);
    }

    int64_t to_ns(uint64_t ticks) const {
        const auto elapsed = static_cast<double>(static_cast<int64_t>(ticks - base_ticks));
        return base_ns + static_cast<int64_t>(elapsed * ns_per_tick + (elapsed < 0 ? -0.5 : 0.5));
    }
};

// The scale of this process. The first call takes up to 50 ms, the later ones nothing.
const TickScale & tick_scale();

}  // namespace slmprof

// The host's monotonic clock beside CUPTI's, from readings of both.

#pragma once

#include <cstdint>
#include <vector>

namespace slmprof {

// CUPTI's clock was read between two readings of the host's.
struct ClockReading {
    int64_t host_before_ns, device_ns, host_after_ns;
};

// The line through two readings, those that were bracketed tightest at the begin and at the end.
struct ClockAlignment {
    int64_t device_base_ns  = 0;
    int64_t host_base_ns    = 0;
    double  host_per_device = 1.0;
    int64_t error_ns        = -1;  // of a time on the host's clock within the readings; -1: there are none

    int64_t to_host_ns(int64_t device_ns) const;
    int64_t to_device_ns(int64_t host_ns) const;
};

// The error is half the wider bracket of the two readings, and what the line misses any other bracket by.
ClockAlignment align_clocks(const std::vector<ClockReading> & readings);

}  // namespace slmprof

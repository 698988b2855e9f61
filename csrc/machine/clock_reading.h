// What the clock of the recorder is on this machine, and what reading it costs.

#pragma once

namespace slmprof {

struct ClockReading {
    const char * source;         // tsc, cntvct (the processor's own counters) or clock_monotonic
    double       resolution_ns;  // the step in which it counts
    double       read_ns;        // a reading, of many in a row
};

// Takes some milliseconds, and up to 50 more where the clock has not been calibrated yet.
ClockReading measure_clock();

}  // namespace slmprof

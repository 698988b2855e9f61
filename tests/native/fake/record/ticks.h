// In place of csrc/record/ticks.h: a clock that stands where the test has put it. Compiled in, so that
// the recorder under test is as inline as the real one.

#pragma once

#include <cstdint>

namespace slmprof {

inline uint64_t fake_ticks = 0;
inline uint64_t fake_step  = 0;  // by which each reading moves it on

}  // namespace slmprof

inline uint64_t slmprof_read_ticks() {
    const uint64_t now = slmprof::fake_ticks;
    slmprof::fake_ticks += slmprof::fake_step;
    return now;
}
inline uint64_t slmprof_read_ticks_in_order() { return slmprof_read_ticks(); }
inline int64_t  slmprof_monotonic_ns() { return static_cast<int64_t>(slmprof::fake_ticks); }

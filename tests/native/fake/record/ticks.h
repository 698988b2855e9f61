// In place of csrc/record/ticks.h: a clock that stands where the test has put it. Compiled in, so that
// the recorder under test is as inline as the real one.

#pragma once

#include <cstdint>

namespace slmprof {

inline uint64_t fake_ticks = 0;

inline uint64_t read_ticks() { return fake_ticks; }
inline uint64_t read_ticks_in_order() { return fake_ticks; }

}  // namespace slmprof

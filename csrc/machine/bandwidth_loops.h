// The inner loops of the bandwidth measurement. They are compiled with the same processor flags as
// ggml's own CPU code, so they include nothing whose compiled form other files would share.

#pragma once

#include <cstddef>
#include <cstdint>

namespace slmprof {

// All arrays are aligned to 64 bytes, and `n` is a multiple of `k_loop_granule`.
constexpr size_t k_loop_granule = 256;  // floats

// Reads n floats once; the returned value only keeps the compiler from dropping the loads.
uint32_t read_once(const float * source, size_t n);

// target = source, n floats. `zero` is 0: the loop must not be recognised as a memcpy, which
// chooses other instructions, such as stores around the caches, by size.
void copy_once(float * target, const float * source, size_t n, uint32_t zero);

// target = a + factor * b, n floats.
void triad_once(float * target, const float * a, const float * b, float factor, size_t n);

}  // namespace slmprof

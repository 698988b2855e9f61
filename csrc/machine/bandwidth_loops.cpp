#include "machine/bandwidth_loops.h"

namespace slmprof {

uint32_t read_once(const float * source, size_t n) {
    // Four streams with an accumulator each: a single one would wait for its own last result.
    const size_t quarter = n / 4;
    const auto * a       = reinterpret_cast<const uint32_t *>(source);
    const auto * b = a + quarter, * c = b + quarter, * d = c + quarter;
    uint32_t     sum_a = 0, sum_b = 0, sum_c = 0, sum_d = 0;
    for (size_t i = 0; i < quarter; i++) {
        sum_a ^= a[i];
        sum_b ^= b[i];
        sum_c ^= c[i];
        sum_d ^= d[i];
    }
    return sum_a ^ sum_b ^ sum_c ^ sum_d;
}

void copy_once(float * target, const float * source, size_t n, uint32_t zero) {
    auto * __restrict to         = reinterpret_cast<uint32_t *>(target);
    const auto * __restrict from = reinterpret_cast<const uint32_t *>(source);
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i] ^ zero;
    }
}

void triad_once(float * __restrict target, const float * __restrict a, const float * __restrict b, float factor,
                size_t n) {
    for (size_t i = 0; i < n; i++) {
        target[i] = a[i] + factor * b[i];
    }
}

}  // namespace slmprof

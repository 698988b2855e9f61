/* What the examples share: activations of ggml's type q8_0, halves, and the sum of a vector. */

#ifndef Q8_0_H
#define Q8_0_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#    include <immintrin.h>
#endif

enum { COLUMN_BLOCK = 32 };

/* A block of activations. Bytes only, so that a pointer to it may be aligned to 1. */
typedef struct {
    uint8_t scale[2]; /* a half */
    int8_t  values[COLUMN_BLOCK];
} column_block;

static inline float half_to_float(unsigned half) {
    const uint32_t bits = (half & 0x8000u) << 16 | (half & 0x7fffu) << 13;
    float          value;
    memcpy(&value, &bits, sizeof(value));
    return value * 0x1p112f; /* between the two biases of exponents; right for subnormal halves, too */
}

static inline float half_at(const uint8_t * bytes) {
    return half_to_float(bytes[0] | (unsigned) bytes[1] << 8);
}

#if defined(__AVX2__)
/* Pairs of products of numbers without a sign and of numbers with one, added up to eight floats. */
static inline __m256 add_pairs(__m256i pairs) {
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static inline float sum_of(__m256 eight) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four        = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(four) + _mm_cvtss_f32(_mm_movehdup_ps(four));
}
#endif

#endif

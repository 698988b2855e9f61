/* 3.5 bits per weight in blocks of 32: a half for a scale, and codes of 3 bits. The low two bits of four weights share
 * a byte, the high bits of eight another, so that a vector of bytes gives all codes by shifts and one comparison. */

#include <math.h>
#include <slmprof_scheme.h>

#include "q8_0.h"

enum { BLOCK = 32, QUARTER = BLOCK / 4, OFFSET = 4 };

/* Weight i has its low bits in low[i % 8], at 2 * (i / 8), and its high bit in high[i / 8], at i % 8. */
typedef struct {
    uint8_t scale[2]; /* a half */
    uint8_t low[QUARTER];
    uint8_t high[QUARTER / 2];
} block;

/* Cut off, not rounded: codes are chosen for the scale that is left. */
static void put_half(float value, uint8_t * bytes) {
    uint32_t    bits;
    const float moved = fminf(fabsf(value), 65504.0f) * 0x1p-112f;
    memcpy(&bits, &moved, sizeof(bits));
    const uint32_t half = bits >> 13 | (value < 0 ? 0x8000u : 0);
    bytes[0]            = (uint8_t) half;
    bytes[1]            = (uint8_t) (half >> 8);
}

static int code_of(float weight, float inverse) {
    const int code = (int) lrintf(weight * inverse);
    return code < -OFFSET ? -OFFSET : code > OFFSET - 1 ? OFFSET - 1 : code;
}

/* The scale that loses least with the codes that another one gives, and what is lost then. */
static float refit(const float * weights, const float * counts, float * scale) {
    const float inverse = *scale != 0.0f ? 1.0f / *scale : 0.0f;
    float       both = 0.0f, codes = 0.0f, all = 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        const float code = (float) code_of(weights[i], inverse);
        both += counts[i] * code * weights[i];
        codes += counts[i] * code * code;
        all += counts[i] * weights[i] * weights[i];
    }
    *scale = codes > 0.0f ? both / codes : 0.0f;
    return all - *scale * both;
}

/* One code reaches further down than up: a scale with the other sign turns the block round. */
static float best_scale(const float * weights, const float * counts) {
    float largest = 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        largest = fabsf(weights[i]) > fabsf(largest) ? weights[i] : largest;
    }
    float best = 0.0f, least = INFINITY;
    for (int step = 0; step <= 12; step++) {
        float       scale = -largest / (3.0f + 0.15f * (float) step);
        const float lost  = refit(weights, counts, &scale);
        if (lost < least) {
            least = lost;
            best  = scale;
        }
    }
    return best;
}

static void pack_block(const float * weights, block * packed, const float * importance) {
    float counts[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        counts[i] = importance != NULL ? importance[i] : 1.0f;
    }
    memset(packed, 0, sizeof(*packed));
    put_half(best_scale(weights, counts), packed->scale);
    const float scale = half_at(packed->scale), inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        const unsigned code = (unsigned) (code_of(weights[i], inverse) + OFFSET);
        packed->low[i % QUARTER] |= (uint8_t) ((code & 3) << 2 * (i / QUARTER));
        packed->high[i / QUARTER] |= (uint8_t) (code >> 2 << i % QUARTER);
    }
}

static void pack(const float * weights, void * blocks, size_t n_blocks, const float * importance) {
    for (size_t b = 0; b < n_blocks; b++) {
        pack_block(weights + b * BLOCK, (block *) blocks + b, importance ? importance + b * BLOCK : NULL);
    }
}

static int code_at(const block * packed, int i) {
    const int low = packed->low[i % QUARTER] >> 2 * (i / QUARTER) & 3;
    return (low | (packed->high[i / QUARTER] >> i % QUARTER & 1) << 2) - OFFSET;
}

static void unpack(const void * blocks, float * weights, size_t n_blocks) {
    const block * packed = blocks;
    for (size_t b = 0; b < n_blocks; b++) {
        const float scale = half_at(packed[b].scale);
        for (int i = 0; i < BLOCK; i++) {
            weights[b * BLOCK + (size_t) i] = scale * (float) code_at(packed + b, i);
        }
    }
}

#if defined(__AVX2__)
/* All 32 codes, each in a byte. */
static inline __m256i codes_of(const block * packed) {
    int64_t low;
    int32_t high;
    memcpy(&low, packed->low, sizeof(low));
    memcpy(&high, packed->high, sizeof(high));
    const __m256i shifts = _mm256_set_epi64x(6, 4, 2, 0);
    const __m256i lows   = _mm256_and_si256(_mm256_srlv_epi64(_mm256_set1_epi64x(low), shifts), _mm256_set1_epi8(3));
    const __m256i spread = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    const __m256i bit    = _mm256_set1_epi64x((long long) 0x8040201008040201);
    const __m256i bytes  = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(high), spread), bit);
    const __m256i highs  = _mm256_and_si256(_mm256_cmpeq_epi8(bytes, bit), _mm256_set1_epi8(4));
    return _mm256_or_si256(lows, highs);
}

static void dot(size_t n, const void * row, const void * activations, float * result) {
    const block *        packed = row;
    const column_block * column = activations;
    __m256               sum    = _mm256_setzero_ps();
    for (size_t b = 0; b < n / BLOCK; b++) {
        const __m256i y     = _mm256_loadu_si256((const __m256i *) column[b].values);
        const __m256i four  = _mm256_maddubs_epi16(_mm256_set1_epi8(OFFSET), y);
        const __m256i pairs = _mm256_sub_epi16(_mm256_maddubs_epi16(codes_of(packed + b), y), four);
        const __m256  dots  = add_pairs(pairs);
        const __m256  scale = _mm256_set1_ps(half_at(packed[b].scale) * half_at(column[b].scale));
        sum                 = _mm256_add_ps(sum, _mm256_mul_ps(dots, scale));
    }
    *result = sum_of(sum);
}
#else
static void dot(size_t n, const void * row, const void * activations, float * result) {
    const block *        packed = row;
    const column_block * column = activations;
    float                sum    = 0.0f;
    for (size_t b = 0; b < n / BLOCK; b++) {
        int32_t products = 0;
        for (int i = 0; i < BLOCK; i++) {
            products += code_at(packed + b, i) * column[b].values[i];
        }
        sum += half_at(packed[b].scale) * half_at(column[b].scale) * (float) products;
    }
    *result = sum;
}
#endif

SLMPROF_SCHEME(q3_32) = {
    .abi         = SLMPROF_SCHEME_ABI,
    .block_size  = BLOCK,
    .type_size   = sizeof(block),
    .activations = "q8_0",
    .pack        = pack,
    .unpack      = unpack,
    .dot         = dot,
};

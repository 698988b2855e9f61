/* -1, 0 or 1 times a scale: 2.25 bits per weight in blocks of 64, for models that are trained so. Codes of 2 bits become
 * bytes, and products are integer dot products with them. */

#include <math.h>
#include <slmprof_scheme.h>

#include "q8_0.h"

enum { BLOCK = 64, QUARTER = BLOCK / 4 };

/* Weight i has its code, 0 to 2, in codes[i % 16] at 2 * (i / 16). */
typedef struct {
    uint8_t scale[2]; /* the upper half of a float (bfloat16) */
    uint8_t codes[QUARTER];
} block;

static float scale_of(const block * packed) {
    const uint32_t bits = (uint32_t) packed->scale[0] << 16 | (uint32_t) packed->scale[1] << 24;
    float          value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* The mean of what is not rounded to 0, where that begins at 0.7 times the mean of all: near the least error for
 * weights of any usual distribution. Returns where it begins. */
static float find_scale(const float * weights, const float * importance, block * packed) {
    float mean = 0.0f, sum = 0.0f, count = 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        mean += fabsf(weights[i]) / BLOCK;
    }
    const float least = 0.7f * mean;
    for (int i = 0; i < BLOCK; i++) {
        const float counts = importance != NULL ? importance[i] : 1.0f;
        if (fabsf(weights[i]) > least) {
            sum += counts * fabsf(weights[i]);
            count += counts;
        }
    }
    const float scale = count > 0.0f ? sum / count : 0.0f;
    uint32_t    bits;
    memcpy(&bits, &scale, sizeof(bits));
    packed->scale[0] = (uint8_t) (bits >> 16);
    packed->scale[1] = (uint8_t) (bits >> 24);
    return least;
}

static void pack(const float * weights, void * blocks, size_t n_blocks, const float * importance) {
    block * packed = blocks;
    for (size_t b = 0; b < n_blocks; b++) {
        const float * own   = weights + b * BLOCK;
        const float   least = find_scale(own, importance ? importance + b * BLOCK : NULL, packed + b);
        memset(packed[b].codes, 0, sizeof(packed[b].codes));
        for (int i = 0; i < BLOCK; i++) {
            const int code = fabsf(own[i]) <= least ? 1 : own[i] > 0.0f ? 2 : 0;
            packed[b].codes[i % QUARTER] |= (uint8_t) (code << 2 * (i / QUARTER));
        }
    }
}

static int code_at(const block * packed, int i) {
    return (packed->codes[i % QUARTER] >> 2 * (i / QUARTER) & 3) - 1;
}

static void unpack(const void * blocks, float * weights, size_t n_blocks) {
    const block * packed = blocks;
    for (size_t b = 0; b < n_blocks; b++) {
        for (int i = 0; i < BLOCK; i++) {
            weights[b * BLOCK + (size_t) i] = scale_of(packed + b) * (float) code_at(packed + b, i);
        }
    }
}

#if defined(__AVX2__)
/* Products of 32 codes, 0 to 2, less those of 1, with a column; the latter are the sum of the column. */
static inline __m256 products(__m256i codes, const column_block * column, float scale) {
    const __m256i y     = _mm256_loadu_si256((const __m256i *) column->values);
    const __m256i once  = _mm256_maddubs_epi16(_mm256_set1_epi8(1), y);
    const __m256i pairs = _mm256_sub_epi16(_mm256_maddubs_epi16(codes, y), once);
    return _mm256_mul_ps(add_pairs(pairs), _mm256_set1_ps(scale * half_at(column->scale)));
}

static void dot(size_t n, const void * row, const void * activations, float * result) {
    const block *        packed = row;
    const column_block * column = activations;
    __m256               sum    = _mm256_setzero_ps();
    for (size_t b = 0; b < n / BLOCK; b++, column += 2) {
        const __m128i bytes  = _mm_loadu_si128((const __m128i *) packed[b].codes);
        const __m256i both   = _mm256_set_m128i(_mm_srli_epi16(bytes, 2), bytes);
        const __m256i two    = _mm256_set1_epi8(3);
        const __m256i first  = _mm256_and_si256(both, two);
        const __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), two);
        const float   scale  = scale_of(packed + b);
        sum                  = _mm256_add_ps(sum, products(first, column, scale));
        sum                  = _mm256_add_ps(sum, products(second, column + 1, scale));
    }
    *result = sum_of(sum);
}
#else
static void dot(size_t n, const void * row, const void * activations, float * result) {
    const block *        packed = row;
    const column_block * column = activations;
    float                sum    = 0.0f;
    for (size_t b = 0; b < n / BLOCK; b++) {
        for (int part = 0; part < 2; part++, column++) {
            int32_t products = 0;
            for (int i = 0; i < COLUMN_BLOCK; i++) {
                products += code_at(packed + b, part * COLUMN_BLOCK + i) * column->values[i];
            }
            sum += scale_of(packed + b) * half_at(column->scale) * (float) products;
        }
    }
    *result = sum;
}
#endif

SLMPROF_SCHEME(ternary) = {
    .abi         = SLMPROF_SCHEME_ABI,
    .block_size  = BLOCK,
    .type_size   = sizeof(block),
    .activations = "q8_0",
    .pack        = pack,
    .unpack      = unpack,
    .dot         = dot,
};

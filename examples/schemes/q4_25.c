/* 4.25 bits per weight in blocks of 32, which fit the rows of small models that K-quants (blocks of 256) do not.
 *
 * A weight is one of 16 values of a codebook that is dense where weights are, times a scale of 8 bits for each block.
 * With AVX512-VNNI 16 rows are multiplied at once, from a layout of their own; elsewhere `dot` does all. */

#include <math.h>
#include <slmprof_scheme.h>

#include "q8_0.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#    define HAS_GROUPS 1
#endif

enum { BLOCK = 32, HALF = BLOCK / 2, VALUES = 16 };

/* Weight i of the first half is in the low bits of codes[i], that of the second half in the high bits. */
typedef struct {
    uint8_t codes[HALF];
    uint8_t scale;
} block;

/* Fitted to blocks of Gaussian noise (Lloyd's algorithm). It is not symmetric: the sign of a scale turns it round,
 * so that the longer side is where the block has its largest weight. */
static const int8_t codebook[VALUES] = { -127, -100, -80, -63, -48, -35, -22, -9, 3, 15, 28, 42, 56, 73, 93, 123 };

/* A scale is a sign, 4 bits of exponent and 3 of mantissa: a half without the bits that it does without, and smaller
 * by a constant. So weights reach from 1e-7 to 14.9. */
#define SCALE_UNIT 0x1p-4f

static unsigned scale_as_half(unsigned scale) {
    return (scale & 0x80u) << 8 | (scale & 0x7fu) << 7;
}

static float scale_value(unsigned scale) {
    return half_to_float(scale_as_half(scale)) * SCALE_UNIT;
}

/* The largest scale without a sign that is not above a value. */
static int scale_below(float value) {
    int scale = 0;
    for (int bit = 64; bit > 0; bit /= 2) {
        if (scale_value((unsigned) (scale + bit)) <= value) {
            scale += bit;
        }
    }
    return scale;
}

/* The nearest codes, and the weighted square of what is lost. Loops are such that compilers make vectors of them. */
static float encode(const float * weights, const float * importance, float scale, int32_t * codes) {
    const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    float       wanted[BLOCK], error = 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        wanted[i] = weights[i] * inverse;
        codes[i]  = 0;
    }
    for (int value = 1; value < VALUES; value++) {
        const float middle = 0.5f * (float) (codebook[value - 1] + codebook[value]);
        for (int i = 0; i < BLOCK; i++) {
            codes[i] += wanted[i] > middle;
        }
    }
    for (int i = 0; i < BLOCK; i++) {
        const float lost = weights[i] - scale * (float) codebook[codes[i]];
        error += importance[i] * lost * lost;
    }
    return error;
}

/* How much errors count: more for large weights, for they make large products. */
static float weigh(const float * weights, const float * importance, float * found) {
    float square = 0.0f, largest = 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        square += weights[i] * weights[i] / BLOCK;
        largest = fmaxf(largest, fabsf(weights[i]));
    }
    for (int i = 0; i < BLOCK; i++) {
        const float own = square + weights[i] * weights[i];
        found[i]        = importance != NULL ? importance[i] * sqrtf(own) : own;
    }
    return largest;
}

static void pack_block(const float * weights, block * packed, const float * importance) {
    float       counts[BLOCK], best = INFINITY;
    const float largest = weigh(weights, importance, counts);
    /* Scales are so few that all that might be best are tried: from one that cuts large weights off to one that
     * leaves the ends of the codebook empty. */
    const int first = scale_below(0.65f * largest / 127.0f), last = scale_below(1.45f * largest / 127.0f);
    for (int scale = first; scale <= last; scale++) {
        for (int sign = 0; sign <= 0x80; sign += 0x80) {
            int32_t     codes[BLOCK];
            const float error = encode(weights, counts, scale_value((unsigned) (scale | sign)), codes);
            if (error < best) {
                best          = error;
                packed->scale = (uint8_t) (scale | sign);
                for (int i = 0; i < HALF; i++) {
                    packed->codes[i] = (uint8_t) (codes[i] | codes[i + HALF] << 4);
                }
            }
        }
    }
}

static void pack(const float * weights, void * blocks, size_t n_blocks, const float * importance) {
    for (size_t b = 0; b < n_blocks; b++) {
        pack_block(weights + b * BLOCK, (block *) blocks + b, importance ? importance + b * BLOCK : NULL);
    }
}

static void unpack(const void * blocks, float * weights, size_t n_blocks) {
    const block * packed = blocks;
    for (size_t b = 0; b < n_blocks; b++, weights += BLOCK) {
        const float scale = scale_value(packed[b].scale);
        for (int i = 0; i < HALF; i++) {
            weights[i]        = scale * (float) codebook[packed[b].codes[i] & 15];
            weights[i + HALF] = scale * (float) codebook[packed[b].codes[i] >> 4];
        }
    }
}

#if defined(__AVX2__)
static void dot(size_t n, const void * row, const void * activations, float * result) {
    const block *        packed = row;
    const column_block * column = activations;
    const __m256i        values = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) codebook));
    __m256               sum    = _mm256_setzero_ps();
    for (size_t b = 0; b < n / BLOCK; b++) {
        const __m128i bytes   = _mm_loadu_si128((const __m128i *) packed[b].codes);
        const __m256i nibbles = _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), _mm256_set1_epi8(15));
        const __m256i w       = _mm256_shuffle_epi8(values, nibbles);
        const __m256i y       = _mm256_loadu_si256((const __m256i *) column[b].values);
        /* Products are of numbers without a sign and numbers with one: signs of weights go to the activations. */
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(y, w));
        const __m256  dots  = add_pairs(pairs);
        const float   scale = scale_value(packed[b].scale) * half_at(column[b].scale);
        sum                 = _mm256_add_ps(sum, _mm256_mul_ps(dots, _mm256_set1_ps(scale)));
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
        for (int i = 0; i < HALF; i++) {
            products += codebook[packed[b].codes[i] & 15] * column[b].values[i];
            products += codebook[packed[b].codes[i] >> 4] * column[b].values[i + HALF];
        }
        sum += scale_value(packed[b].scale) * half_at(column[b].scale) * (float) products;
    }
    *result = sum;
}
#endif

#if HAS_GROUPS
#    include "q4_25_groups.h"
#endif

SLMPROF_SCHEME(q4_25) = {
    .abi         = SLMPROF_SCHEME_ABI,
    .block_size  = BLOCK,
    .type_size   = sizeof(block),
    .activations = "q8_0",
    .pack        = pack,
    .unpack      = unpack,
    .dot         = dot,
#if HAS_GROUPS
    .gemv        = gemv,
    .gemm        = gemm,
    .group_rows  = ROWS,
    .arrange     = arrange,
#endif
};

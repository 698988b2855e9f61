// The type of the fork that tests build: 16 weights of 4 bits and a float scale, 12 bytes.

#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#define QK_X6_0 16

struct block_x6_0 {
    float   scale;
    uint8_t codes[QK_X6_0 / 2];  // of weights i and i + 8
};

static inline void quantize_row_x6_0(const float * values, void * blocks, int64_t n) {
    struct block_x6_0 * to = (struct block_x6_0 *) blocks;
    for (int64_t b = 0; b < n / QK_X6_0; b++, values += QK_X6_0) {
        float largest = 0;
        for (int i = 0; i < QK_X6_0; i++) {
            largest = fmaxf(largest, fabsf(values[i]));
        }
        to[b].scale         = largest / 7;
        const float inverse = largest > 1e-30f ? 7 / largest : 0;
        for (int i = 0; i < QK_X6_0 / 2; i++) {
            const int low  = (int) lrintf(values[i] * inverse) + 8;
            const int high = (int) lrintf(values[i + QK_X6_0 / 2] * inverse) + 8;
            to[b].codes[i] = (uint8_t) (low | high << 4);
        }
    }
}

static inline void dequantize_row_x6_0(const void * blocks, float * values, int64_t n) {
    const struct block_x6_0 * from = (const struct block_x6_0 *) blocks;
    for (int64_t b = 0; b < n / QK_X6_0; b++, values += QK_X6_0) {
        for (int i = 0; i < QK_X6_0 / 2; i++) {
            values[i]               = from[b].scale * (float) ((from[b].codes[i] & 15) - 8);
            values[i + QK_X6_0 / 2] = from[b].scale * (float) ((from[b].codes[i] >> 4) - 8);
        }
    }
}

static inline size_t quantize_x6_0(const float * values, void * blocks, int64_t n_rows, int64_t n_per_row) {
    quantize_row_x6_0(values, blocks, n_rows * n_per_row);
    return (size_t) (n_rows * n_per_row / QK_X6_0) * sizeof(struct block_x6_0);
}

// Activations are floats.
static inline void vec_dot_x6_0_f32(int n, float * sum, size_t bs, const void * x, size_t bx, const void * y, size_t by,
                                    int nrc) {
    (void) bs, (void) bx, (void) by, (void) nrc;
    const float * activations = (const float *) y;
    float         total       = 0;
    for (int at = 0; at < n; at += QK_X6_0) {
        float values[QK_X6_0];
        dequantize_row_x6_0((const struct block_x6_0 *) x + at / QK_X6_0, values, QK_X6_0);
        for (int i = 0; i < QK_X6_0; i++) {
            total += values[i] * activations[at + i];
        }
    }
    *sum = total;
}

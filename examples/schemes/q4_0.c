/* ggml's own q4_0, through the door for schemes: what a variant of a type begins with, and what shows that the door costs
 * nothing. Blocks, products and results are ggml's to the bit. */

#include <slmprof_scheme.h>

enum { BLOCK = 32, BYTES = 18 };

static int q4_0(void) {
    static int type = -1;
    return type >= 0 ? type : (type = ggml->type("q4_0"));
}

static void pack(const float * weights, void * blocks, size_t n_blocks, const float * importance) {
    if (importance == NULL) {
        ggml->quantize(q4_0(), weights, blocks, 1, n_blocks * BLOCK, NULL);
        return;
    }
    for (size_t i = 0; i < n_blocks; i++) { /* ggml takes the importances of a row: here each block is one */
        ggml->quantize(q4_0(), weights + i * BLOCK, (char *) blocks + i * BYTES, 1, BLOCK, importance + i * BLOCK);
    }
}

static void unpack(const void * blocks, float * weights, size_t n_blocks) {
    ggml->dequantize(q4_0(), blocks, weights, n_blocks * BLOCK);
}

static void dot(size_t n, const void * row, const void * activations, float * result) {
    ggml->dot(q4_0(), n, row, activations, result);
}

static void gemm(size_t n, size_t n_rows, const void * rows, size_t n_columns, const void * activations, float * results,
                 size_t stride) {
    if (ggml->gemm(q4_0(), n, n_rows, rows, n_columns, activations, results, stride)) {
        return;
    }
    const size_t row_bytes    = n / BLOCK * BYTES;
    const size_t column_bytes = ggml->row_bytes(ggml->activations_of(q4_0()), n);
    for (size_t c = 0; c < n_columns; c++) {
        for (size_t r = 0; r < n_rows; r++) {
            dot(n, (const char *) rows + r * row_bytes, (const char *) activations + c * column_bytes, results + c * stride + r);
        }
    }
}

SLMPROF_SCHEME(q4_0_again) = {
    .abi         = SLMPROF_SCHEME_ABI,
    .block_size  = BLOCK,
    .type_size   = BYTES,
    .activations = "q8_0",
    .pack        = pack,
    .unpack      = unpack,
    .dot         = dot,
    .gemm        = gemm,
};

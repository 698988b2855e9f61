/*
 * A quantization scheme with kernels of its own, in C or C++: what a file gives to slmprof, and what it gets.
 *
 *     #include <slmprof_scheme.h>
 *
 *     static void pack(const float * weights, void * blocks, size_t n_blocks, const float * importance) { ... }
 *     static void unpack(const void * blocks, float * weights, size_t n_blocks) { ... }
 *     static void dot(size_t n, const void * row, const void * activations, float * result) { ... }
 *
 *     SLMPROF_SCHEME(my_scheme) = {
 *         .abi = SLMPROF_SCHEME_ABI, .block_size = 32, .type_size = 18, .activations = "q8_0",
 *         .pack = pack, .unpack = unpack, .dot = dot,
 *     };
 *
 * and `slmprof breakdown model.gguf@file.c:my_scheme` runs a model with it. A row of a weight matrix is
 * a whole number of blocks, one after the other. Every function is called by several threads at once and must
 * keep no state. Rows are as long as the model's; pointers to blocks are aligned to 1 byte, those to floats to 4.
 *
 * docs/custom-quantization.md walks through it.
 */

#ifndef SLMPROF_SCHEME_H
#define SLMPROF_SCHEME_H

#include <stddef.h>
#include <stdint.h>

/* Raised where a file that was written for an older header would no longer be right. */
#define SLMPROF_SCHEME_ABI 1

#ifdef __cplusplus
extern "C" {
#endif

/* What a file says of a scheme. Members that it leaves out are 0. */
typedef struct slmprof_scheme {
    uint32_t abi;         /* SLMPROF_SCHEME_ABI */
    uint32_t block_size;  /* weights of a block */
    uint32_t type_size;   /* bytes of a block */

    /* ggml's type that activations are converted to before a product: "q8_0", "q8_K", "q8_1", "f16", "f32", ... */
    const char * activations;

    /* n_blocks blocks of weights, and back. importance: how much each weight counts, or NULL. Each block by
     * itself: whatever stands before or behind it must change nothing. */
    void (*pack)(const float * weights, void * blocks, size_t n_blocks, const float * importance);
    void (*unpack)(const void * blocks, float * weights, size_t n_blocks);

    /* One row of n weights times one column of activations. */
    void (*dot)(size_t n, const void * row, const void * activations, float * result);

    /* Optional: n_rows rows times one column; results[r]. Without it `dot` is called for each row. */
    void (*gemv)(size_t n, size_t n_rows, const void * rows, const void * activations, float * results);

    /* Optional: n_rows rows times n_columns columns, which lie one after the other; results[c * stride + r]. */
    void (*gemm)(size_t n, size_t n_rows, const void * rows, size_t n_columns, const void * activations,
                 float * results, size_t stride);

    /* Optional: a layout of its own. When weights are loaded, each `group_rows` rows that lie one after the other
     * are arranged into as many bytes; gemv and gemm, which there must both be, then get whole groups only. Rows
     * that are left over stay as they are, and so do tables that embeddings are looked up in: `dot` multiplies them. */
    uint32_t group_rows;
    void (*arrange)(size_t n, const void * rows, void * group);
} slmprof_scheme;

/* What ggml offers, so that a variant of a type is a few lines. `type` is what `type()` returns. */
typedef struct slmprof_ggml {
    uint32_t abi;

    int    (*type)(const char * name);             /* of "q4_0"; -1 where ggml has no such type */
    size_t (*block_size)(int type);                /* elements of a block */
    size_t (*row_bytes)(int type, size_t n);       /* bytes of n elements */

    /* Rows of weights; importance as above, of one row, or NULL. */
    void (*quantize)(int type, const float * weights, void * blocks, size_t n_rows, size_t n, const float * importance);
    void (*dequantize)(int type, const void * blocks, float * weights, size_t n);

    /* n activations, as the type `activations_of(type)` that `dot` and `gemm` of a type read. */
    int  (*activations_of)(int type);
    void (*convert)(int type, const float * values, void * activations, size_t n);

    void (*dot)(int type, size_t n, const void * row, const void * activations, float * result);

    /* As gemm above, by ggml's fastest code that leaves blocks as they are. Returns 0, with nothing done, where
     * there is none for this type and so many columns. */
    int (*gemm)(int type, size_t n, size_t n_rows, const void * rows, size_t n_columns, const void * activations,
                float * results, size_t stride);
} slmprof_ggml;

#ifndef SLMPROF_SCHEME_HOST
/* Set before any function of a scheme is called. */
__attribute__((weak, visibility("default"))) const slmprof_ggml * ggml;
#endif

#ifdef __cplusplus
#    define SLMPROF_SCHEME(name)                                                                 \
        extern "C" {                                                                             \
        extern __attribute__((visibility("default"))) const slmprof_scheme name;                 \
        }                                                                                        \
        const slmprof_scheme name
#else
#    define SLMPROF_SCHEME(name) __attribute__((visibility("default"))) const slmprof_scheme name
#endif

#ifdef __cplusplus
}
#endif

#endif

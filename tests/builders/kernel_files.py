"""Schemes with kernels in C, as users write them."""

from __future__ import annotations

from pathlib import Path

# Floats as they are, in blocks of 32: whatever is computed of them can be held against float32.
FLOATS = """
#include <slmprof_scheme.h>
#include <string.h>

enum { BLOCK = 32 };

static void pack(const float * weights, void * blocks, size_t n_blocks, const float * importance) {
    (void) importance;
    memcpy(blocks, weights, n_blocks * BLOCK * sizeof(float));
}

static void unpack(const void * blocks, float * weights, size_t n_blocks) {
    memcpy(weights, blocks, n_blocks * BLOCK * sizeof(float));
}

static void dot(size_t n, const void * row, const void * activations, float * result) {
    const float * a = row;
    const float * b = activations;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double) a[i] * b[i];
    }
    *result = (float) sum;
}

/* KERNELS */

SLMPROF_SCHEME(floats) = {
    .abi = SLMPROF_SCHEME_ABI, .block_size = BLOCK, .type_size = BLOCK * sizeof(float),
    .activations = "f32", .pack = pack, .unpack = unpack, .dot = dot, /* MORE */
};
"""

# The numbers of three rows side by side; rows that are left over are plain.
_ARRANGED = """
enum { GROUP = 3 };

static void arrange(size_t n, const void * rows, void * group) {
    for (size_t r = 0; r < GROUP; r++) {
        for (size_t i = 0; i < n; i++) {
            ((float *) group)[i * GROUP + r] = ((const float *) rows)[r * n + i];
        }
    }
}

static void gemv(size_t n, size_t n_rows, const void * rows, const void * activations,
                 float * results) {
    for (size_t r = 0; r < n_rows; r++) {
        const float * group = (const float *) rows + r / GROUP * GROUP * n;
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            sum += (double) group[i * GROUP + r % GROUP] * ((const float *) activations)[i];
        }
        results[r] = (float) sum;
    }
}

static void gemm(size_t n, size_t n_rows, const void * rows, size_t n_columns,
                 const void * activations, float * results, size_t stride) {
    for (size_t c = 0; c < n_columns; c++) {
        gemv(n, n_rows, rows, (const float *) activations + c * n, results + c * stride);
    }
}
"""
_MORE = ".group_rows = GROUP, .arrange = arrange, .gemv = gemv, .gemm = gemm,"
ARRANGED = FLOATS.replace("/* KERNELS */", _ARRANGED).replace("/* MORE */", _MORE)


def write_kernels(folder: Path, text: str = FLOATS, name: str = "kernels.c") -> str:
    """A file in a folder; the place of the scheme in it."""
    path = folder / name
    path.write_text(text)
    return f"{path}:floats"


def with_kernels(old: str, new: str, text: str = FLOATS) -> str:
    """The scheme with one thing wrong."""
    assert text.count(old) == 1
    return text.replace(old, new)


def write_documented(folder: Path) -> Path:
    """The scheme `mine` of docs/custom-quantization.md, of 5 bits a weight, as `mine.c`."""
    page = (Path(__file__).parents[2] / "docs" / "custom-quantization.md").read_text("utf-8")
    text = page.partition("<!-- file: mine.c -->\n```c\n")[2].partition("```")[0]
    path = folder / "mine.c"
    path.write_text(text)
    return path

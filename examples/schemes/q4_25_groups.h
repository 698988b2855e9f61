/* What q4_25.c includes where there is AVX512-VNNI: 16 rows at once, one in each lane.
 *
 * A group is laid out so that four codes of each row are one load, and then it takes no adding across lanes, and one
 * look-up of the codebook for each 64 weights serves all columns of a tile. */

enum { ROWS = 16, QUADS = HALF / 4, COLUMNS = 4, SEGMENT = 64 };

/* Block b of 16 rows: as many bytes as they had. */
typedef struct {
    uint8_t codes[QUADS][ROWS][4];
    uint8_t scales[ROWS];
} group_block;

/* What a block of a column needs besides its values. */
typedef struct {
    float   scale;
    int32_t offset;
} column_note;

static void arrange(size_t n, const void * rows, void * group) {
    const block * packed   = rows;
    group_block * arranged = group;
    const size_t  n_blocks = n / BLOCK;
    for (size_t b = 0; b < n_blocks; b++) {
        for (size_t r = 0; r < ROWS; r++) {
            const block * own     = packed + r * n_blocks + b;
            arranged[b].scales[r] = own->scale;
            for (size_t q = 0; q < QUADS; q++) {
                memcpy(arranged[b].codes[q][r], own->codes + 4 * q, 4);
            }
        }
    }
}

/* The instruction multiplies numbers without a sign and numbers with one, so weights are looked up 128 too large: what
 * that adds is 128 times the sum of the activations, which is the same for all rows. */
static void take_notes(const column_block * column, size_t n_blocks, column_note * notes) {
    for (size_t b = 0; b < n_blocks; b++) {
        const __m256i y     = _mm256_loadu_si256((const __m256i *) column[b].values);
        const __m256i eight = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), y);
        __m128i       four  = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        four                = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        const int32_t sum   = _mm_cvtsi128_si32(four) + _mm_extract_epi32(four, 1);
        notes[b]            = (column_note) { half_at(column[b].scale) * SCALE_UNIT, -128 * sum };
    }
}

static inline __m512 group_scales(const uint8_t * scales) {
    /* As scale_as_half: of a byte extended with its sign, bit 14 is a copy of the sign, too. */
    const __m256i bytes = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) scales));
    return _mm512_cvtph_ps(_mm256_andnot_si256(_mm256_set1_epi16(0x4000), _mm256_slli_epi16(bytes, 7)));
}

static inline __m512i four_values(const int8_t * values) {
    int32_t four;
    memcpy(&four, values, sizeof(four));
    return _mm512_set1_epi32(four);
}

/* Adds the products of a segment of 16 rows and of n_columns columns, which compilers know where this is inlined. */
__attribute__((always_inline)) static inline void add_segment(size_t n_blocks, const group_block * group,
                                                              const column_block * columns, size_t column_blocks,
                                                              column_note notes[][SEGMENT], __m512 * sums, const int n_columns) {
    const __m128i values = _mm_xor_si128(_mm_loadu_si128((const __m128i *) codebook), _mm_set1_epi8(-128));
    const __m512i table = _mm512_broadcast_i32x4(values), nibble = _mm512_set1_epi8(15);
    for (size_t b = 0; b < n_blocks; b++) {
        __m512i low[QUADS], high[QUADS];
        for (int q = 0; q < QUADS; q++) {
            const __m512i bytes = _mm512_loadu_si512(group[b].codes[q]);
            low[q]              = _mm512_shuffle_epi8(table, _mm512_and_si512(bytes, nibble));
            high[q]             = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble));
        }
        const __m512 scales = group_scales(group[b].scales);
        for (int c = 0; c < n_columns; c++) {
            const int8_t * y    = columns[(size_t) c * column_blocks + b].values;
            __m512i        dots = _mm512_set1_epi32(notes[c][b].offset);
            for (int q = 0; q < QUADS; q++) {
                dots = _mm512_dpbusd_epi32(dots, low[q], four_values(y + 4 * q));
                dots = _mm512_dpbusd_epi32(dots, high[q], four_values(y + HALF + 4 * q));
            }
            const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(notes[c][b].scale));
            sums[c]            = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), scale, sums[c]);
        }
    }
}

/* All rows times n_columns columns. Notes are of a segment at a time, so that they need not be as long as a row. */
__attribute__((always_inline)) static inline void multiply_tile(size_t n, size_t n_rows, const void * rows,
                                                                const column_block * columns, float * results,
                                                                size_t stride, const int n_columns) {
    const size_t n_blocks = n / BLOCK;
    column_note  notes[COLUMNS][SEGMENT];
    for (size_t first = 0; first < n_blocks; first += SEGMENT) {
        const size_t n_here = n_blocks - first < SEGMENT ? n_blocks - first : SEGMENT;
        for (int c = 0; c < n_columns; c++) {
            take_notes(columns + (size_t) c * n_blocks + first, n_here, notes[c]);
        }
        for (size_t r = 0; r < n_rows; r += ROWS) {
            const group_block * group = (const group_block *) rows + r / ROWS * n_blocks + first;
            __m512              sums[COLUMNS];
            for (int c = 0; c < n_columns; c++) {
                sums[c] = first > 0 ? _mm512_loadu_ps(results + (size_t) c * stride + r) : _mm512_setzero_ps();
            }
            add_segment(n_here, group, columns + first, n_blocks, notes, sums, n_columns);
            for (int c = 0; c < n_columns; c++) {
                _mm512_storeu_ps(results + (size_t) c * stride + r, sums[c]);
            }
        }
    }
}

static void gemv(size_t n, size_t n_rows, const void * rows, const void * activations, float * results) {
    multiply_tile(n, n_rows, rows, activations, results, 0, 1);
}

static void gemm(size_t n, size_t n_rows, const void * rows, size_t n_columns, const void * activations, float * results,
                 size_t stride) {
    const column_block * columns = activations;
    size_t               c       = 0;
    for (; c + COLUMNS <= n_columns; c += COLUMNS) {
        multiply_tile(n, n_rows, rows, columns + c * (n / BLOCK), results + c * stride, stride, COLUMNS);
    }
    for (; c < n_columns; c++) {
        multiply_tile(n, n_rows, rows, columns + c * (n / BLOCK), results + c * stride, stride, 1);
    }
}

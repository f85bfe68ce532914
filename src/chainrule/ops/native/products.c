/* Matrix products that PyTorch lacks, or computes more slowly: of few rows, and of bfloat16 factors with a result in float32. */

#include "tiles.h"
#include "vectors.h"

enum { FEW = 4, AT_ONCE = LANES == 16 ? 4 : 2 }; /* rows of the weight, and of x, whose sums are kept in registers */

typedef struct {
    floats a, b;
} two; /* 2 · LANES numbers, in an order that does not matter to a sum of products */

INLINE two load_two_f(const float *p) { return (two){load_f(p, LANES), load_f(p + LANES, LANES)}; }

INLINE two load_two_b(const bf16 *p) { /* the even and the odd ones */
    bits both;
    memcpy(&both, p, sizeof both);
    return (two){(floats)(both << 16), (floats)(both & 0xffff0000)};
}

/* y = x · weightᵀ for few rows of x, of one type, in float32. The weight is read once, which takes most of the time. At least
   FEW columns: the last block starts early enough to be full, and does not write columns that another block writes, maybe in
   another thread. */
#define FEW_ROWS(S, T)                                                                                                     \
    PART two load_some_##S(const T *p, long left) {                                                                        \
        T padded[2 * LANES] = {};                                                                                          \
        memcpy(padded, p, left * sizeof(T));                                                                               \
        return load_two_##S(padded);                                                                                       \
    }                                                                                                                      \
                                                                                                                           \
    INLINE void few_sums_##S(const T *x, const T *weight, float *y, long stride, long terms, long known, const int rows) { \
        floats sums[AT_ONCE][FEW] = {};                                                                                    \
        for (long k = 0; k < terms; k += 2 * LANES) {                                                                      \
            int whole = terms - k >= 2 * LANES;                                                                            \
            two v[AT_ONCE];                                                                                                \
            UNROLLED (int i = 0; i < rows; i++)                                                                            \
                v[i] = whole ? load_two_##S(x + i * terms + k) : load_some_##S(x + i * terms + k, terms - k);              \
            UNROLLED (int j = 0; j < FEW; j++) {                                                                           \
                const T *from = weight + j * terms + k;                                                                    \
                two w = whole ? load_two_##S(from) : load_some_##S(from, terms - k);                                       \
                UNROLLED (int i = 0; i < rows; i++) sums[i][j] += v[i].a * w.a;                                            \
                UNROLLED (int i = 0; i < rows; i++) sums[i][j] += v[i].b * w.b;                                            \
            }                                                                                                              \
        }                                                                                                                  \
        for (int i = 0; i < rows; i++)                                                                                     \
            for (int j = 0; j < FEW; j++)                                                                                  \
                if (j >= known) y[i * stride + j] = sum(sums[i][j]);                                                       \
    }                                                                                                                      \
                                                                                                                           \
    void few_##S(const T *x, const T *weight, float *y, long stride, long rows, long columns, long terms, int threads) {   \
        long blocks = (columns + FEW - 1) / FEW;                                                                           \
        SHARE_OUT(static)                                                                                                  \
        for (long block = 0; block < blocks; block++) {                                                                    \
            long column = block * FEW < columns - FEW ? block * FEW : columns - FEW, known = block * FEW - column;         \
            const T *w = weight + column * terms;                                                                          \
            for (long row = 0; row < rows; row += AT_ONCE) {                                                               \
                const T *from = x + row * terms;                                                                           \
                float *to = y + row * stride + column;                                                                     \
                switch (rows - row) {                                                                                      \
                case 1: few_sums_##S(from, w, to, stride, terms, known, 1); break;                                         \
                case 2: few_sums_##S(from, w, to, stride, terms, known, 2); break;                                         \
                case 3: few_sums_##S(from, w, to, stride, terms, known, AT_ONCE < 3 ? AT_ONCE : 3); break;                 \
                default: few_sums_##S(from, w, to, stride, terms, known, AT_ONCE);                                         \
                }                                                                                                          \
            }                                                                                                              \
        }                                                                                                                  \
    }

FEW_ROWS(f, float)
FEW_ROWS(b, bf16)

enum { GROUP = 16, PARTS = GROUP / LANES, ABREAST = LANES == 16 ? 12 : 6 }; /* rows in lanes, in PARTS vectors; columns at a time */

/* Adds to the totals of ABREAST columns the sums of `terms` terms for GROUP rows of x, one in each lane. */
INLINE void add_sums_of_lanes(const float *x, const float *const *weight, long terms, float (*totals)[GROUP], int first) {
    floats sums[ABREAST][PARTS] = {};
    for (long k = 0; k < terms; k++) {
        floats lane[PARTS];
        UNROLLED (int p = 0; p < PARTS; p++) lane[p] = loaded_once(x + k * GROUP + p * LANES);
        UNROLLED (int j = 0; j < ABREAST; j++)
            UNROLLED (int p = 0; p < PARTS; p++) sums[j][p] += lane[p] * weight[j][k];
    }
    UNROLLED (int j = 0; j < ABREAST; j++)
        UNROLLED (int p = 0; p < PARTS; p++) {
            floats total = first ? sums[j][p] : load_f(totals[j] + p * LANES, LANES) + sums[j][p];
            store_f(totals[j] + p * LANES, total, LANES);
        }
}

/* y = x · weightᵀ, term by term from first to last in float32, in sums of `block` terms that are added up in turn. Libraries
   of products sum in this order for some number of terms; the caller finds out which. `lanes`: 16 · ⌈rows ÷ 16⌉ · terms
   numbers of scratch memory. */
void lanes_f(const float *x, const float *weight, float *y, float *lanes, long stride, long rows, long columns, long terms,
             long block, int threads) {
    for (long row = 0; row < rows; row += GROUP) /* x by lanes: lane i of row k is term k of row i */
        for (long k = 0; k < terms; k++)
            for (long i = 0; i < GROUP; i++)
                lanes[row * terms + k * GROUP + i] = row + i < rows ? x[(row + i) * terms + k] : 0;
    SHARE_OUT(static)
    for (long column = 0; column < columns; column += ABREAST)
        for (long row = 0; row < rows; row += GROUP) {
            float totals[ABREAST][GROUP];
            for (long k = 0; k < terms; k += block) {
                const float *from[ABREAST];
                for (long j = 0; j < ABREAST; j++)
                    from[j] = weight + (column + j < columns ? column + j : columns - 1) * terms + k;
                add_sums_of_lanes(lanes + row * terms + k * GROUP, from, terms - k < block ? terms - k : block, totals, k == 0);
            }
            for (long i = 0; i < GROUP && row + i < rows; i++)
                for (long j = 0; j < ABREAST && column + j < columns; j++)
                    y[(row + i) * stride + column + j] = totals[j][i];
        }
}

#ifdef __AVX512BF16__ /* without it there is no `product_b` */
enum { ROWS = 6, COLUMNS = 4 }; /* of the block of sums kept in registers; columns in vectors */

/* The lanes below `count`, at most 16. */
INLINE __mmask16 first_lanes(long count) { return count >= 16 ? 0xffff : count > 0 ? (1u << count) - 1 : 0; }

/* 16 columns of a product, which are the first `count` rows of a weight (zeros where there are no more), pair by pair of
   terms, each pair of all columns side by side; the pairs are `stride` numbers apart. */
INLINE void pack(const bf16 *weight, long terms, long count, uint32_t *to, long stride) {
    for (long k = 0; k < terms / 2; k += 16) {
        __mmask16 some = first_lanes(terms / 2 - k);
        floats rows[16] = {};
        for (int j = 0; j < 16; j++)
            if (j < count) rows[j] = (floats)_mm512_maskz_loadu_epi32(some, weight + j * terms + 2 * k);
        transpose(rows, (float *)(to + k * stride), stride);
    }
}

#if TILES
enum { TILE = 16, TERMS = 32, SIDE = 2 * TILE }; /* rows of a tile; bfloat16 terms in a row; rows and columns of four tiles */

/* The sums of SIDE rows of h with SIDE packed columns. */
INLINE void sums_of_tiles(const bf16 *h, const uint32_t *panel, long terms, float (*sums)[SIDE]) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (long k = 0; k < terms; k += TERMS) {
        _tile_loadd(4, h + k, 2 * terms);
        _tile_loadd(6, panel + k / 2 * TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, panel + (terms + k) / 2 * TILE, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, h + TILE * terms + k, 2 * terms);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums[0], 4 * SIDE);
    _tile_stored(1, sums[0] + TILE, 4 * SIDE);
    _tile_stored(2, sums[TILE], 4 * SIDE);
    _tile_stored(3, sums[TILE] + TILE, 4 * SIDE);
    barrier();
}

/* As `product_b`, for a number of terms that is a multiple of TERMS. */
static int product_by_tiles(const bf16 *h, const bf16 *weight, float *z, long stride, long rows, long columns, long terms,
                            int threads) {
    long ragged = rows % SIDE;
    int failed = 0;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : failed)
    {
        /* SIDE packed columns of the weight; the last rows of h, with zeros below them; the sums of a block. */
        uint32_t *panel = aligned_alloc(64, 4 * SIDE * terms / 2 + 2 * SIDE * terms + 4 * SIDE * SIDE);
        bf16 *last = (bf16 *)(panel + SIDE * terms / 2);
        float(*sums)[SIDE] = (float(*)[SIDE])(last + SIDE * terms);
        failed = !panel;
        if (panel) {
            memcpy(last, h + (rows - ragged) * terms, 2 * ragged * terms);
            memset(last + ragged * terms, 0, 2 * (SIDE - ragged) * terms);
            set_up_tiles();
        }
#pragma omp for schedule(static)
        for (long column = 0; column < columns; column += SIDE) {
            if (!panel) continue;
            for (long part = 0; part < SIDE; part += TILE) {
                long left = columns - column - part;
                pack(weight + (left > 0 ? column + part : 0) * terms, terms, left, panel + part * terms / 2, TILE);
            }
            barrier();
            for (long row = 0; row < rows; row += SIDE) {
                long here = rows - row < SIDE ? rows - row : SIDE;
                sums_of_tiles(here < SIDE ? last : h + row * terms, panel, terms, sums);
                for (long part = 0; part < SIDE; part += 16) {
                    float *to = z + row * stride + column + part;
                    __mmask16 some = first_lanes(columns - column - part);
                    for (long i = 0; i < here; i++)
                        _mm512_mask_storeu_ps(to + i * stride, some, _mm512_load_ps(sums[i] + part));
                }
            }
        }
        if (panel) _tile_release();
        free(panel);
    }
    return failed;
}
#endif

/* z = h · weightᵀ in float32, of bfloat16 factors; an even number of terms, summed from first to last. PyTorch's own product
   rounds the result to bfloat16. The last block of rows starts early enough to be full; if there are fewer rows than that,
   the last row fills the block. */
int product_b(const bf16 *h, const bf16 *weight, float *z, long stride, long rows, long columns, long terms, int threads) {
#if TILES
    if (terms % TERMS == 0 && tiles_allowed) return product_by_tiles(h, weight, z, stride, rows, columns, terms, threads);
#endif
    long pairs = terms / 2, width = 16 * COLUMNS;
    int failed = 0;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : failed)
    {
        uint32_t *panel = aligned_alloc(64, 4 * width * (pairs + 15)); /* `width` columns of the weight, pair by pair */
        failed = !panel;
#pragma omp for schedule(static)
        for (long column = 0; column < columns; column += width) {
            if (!panel) continue;
            for (long part = 0; part < width; part += 16) {
                long left = columns - column - part;
                pack(weight + (left > 0 ? column + part : 0) * terms, terms, left, panel + part, width);
            }
            for (long first = 0; first < rows; first += ROWS) {
                long row = first + ROWS <= rows ? first : rows > ROWS ? rows - ROWS : 0;
                const bf16 *from[ROWS];
                for (long r = 0; r < ROWS; r++) from[r] = h + (row + r < rows ? row + r : rows - 1) * terms;
                __m512 sums[ROWS][COLUMNS] = {};
                for (long k = 0; k < pairs; k++) {
                    __m512bh of_weight[COLUMNS];
                    for (int c = 0; c < COLUMNS; c++)
                        of_weight[c] = (__m512bh)_mm512_load_si512(panel + k * width + 16 * c);
                    for (int r = 0; r < ROWS; r++) {
                        int32_t pair;
                        memcpy(&pair, from[r] + 2 * k, 4);
                        __m512bh of_h = (__m512bh)_mm512_set1_epi32(pair);
                        for (int c = 0; c < COLUMNS; c++) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], of_h, of_weight[c]);
                    }
                }
                for (int r = 0; r < ROWS && row + r < rows; r++)
                    for (int c = 0; c < COLUMNS; c++) {
                        float *to = z + (row + r) * stride + column + 16 * c;
                        _mm512_mask_storeu_ps(to, first_lanes(columns - column - 16 * c), sums[r][c]);
                    }
            }
        }
        free(panel);
    }
    return failed;
}
#endif

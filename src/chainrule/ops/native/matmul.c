/* Products of float32 matrices of any size. Each sum adds its terms in one order, on every processor and for any number of rows
   and threads: from first to last in sums of BLOCK terms, which are added up in turn, after the bias. */

#include "vectors.h"

/* BLOCK terms of PANEL columns are a panel of the weight. It stays in the first cache while all rows pass; ABREAST panels pass
   before the next terms, so that these columns of y stay in the second one. */
enum { BLOCK = 256, WIDE = 2, PANEL = WIDE * LANES, ABREAST = 16 };

/* A panel of a weight with a row for each column of y; zeros where there are no more columns. */
INLINE void pack_rows(const float *weight, long distance, long columns, long terms, float *panel) {
    for (long part = 0; part < PANEL; part += LANES)
        for (long k = 0; k < terms; k += LANES) {
            floats rows[LANES] = {};
            for (long j = 0; j < LANES && part + j < columns; j++)
                rows[j] = load_f(weight + (part + j) * distance + k, terms - k);
            transpose(rows, panel + k * PANEL + part, PANEL);
        }
}

/* A panel of a weight with a row for each term. */
INLINE void pack_columns(const float *weight, long distance, long columns, long terms, float *panel) {
    for (long k = 0; k < terms; k++)
        for (long part = 0; part < PANEL; part += LANES) {
            floats some = part < columns ? load_f(weight + k * distance + part, columns - part) : all(0);
            store_f(panel + k * PANEL + part, some, LANES);
        }
}

/* The sums of `rows` rows of x with a panel, all kept in registers, are written to y, or added to it. The address of a row of x
   is one of a few and at most two distances: there are no registers for more. */
INLINE void sums(const float *x, long distance, const float *panel, long terms, float *y, long stride, int add, const int rows) {
    floats total[12][WIDE] = {};
    const float *from[4];
    for (int i = 0; 3 * i < rows; i++) from[i] = x + 3 * i * distance;
    for (long k = 0; k < terms; k++) {
        floats w[WIDE];
        UNROLLED (int c = 0; c < WIDE; c++) w[c] = loaded_once(panel + k * PANEL + c * LANES);
        UNROLLED (int r = 0; r < rows; r++) {
            float v = from[r / 3][r % 3 * distance + k];
            UNROLLED (int c = 0; c < WIDE; c++) total[r][c] += v * w[c];
        }
    }
    UNROLLED (int r = 0; r < rows; r++)
        UNROLLED (int c = 0; c < WIDE; c++) {
            float *to = y + r * stride + c * LANES;
            store_f(to, add ? load_f(to, LANES) + total[r][c] : total[r][c], LANES);
        }
}

/* Functions of their own, so that the compiler has all registers for them. */
#define SUMS(rows)                                                                                                          \
    PART void sums_##rows(const float *x, long distance, const float *panel, long terms, float *y, long stride, int add) {  \
        sums(x, distance, panel, terms, y, stride, add, rows);                                                              \
    }
SUMS(1)
SUMS(2)
SUMS(4)
SUMS(6)
SUMS(8)
SUMS(12)

typedef void (*Sums)(const float *x, long distance, const float *panel, long terms, float *y, long stride, int add);

/* The function for the most rows, up to those that are left, whose sums fit into the registers. */
INLINE Sums most_sums(long left, int *rows) {
    if (LANES == 16 && left >= 12) return *rows = 12, sums_12;
    if (LANES == 16 && left >= 8) return *rows = 8, sums_8;
    if (left >= 6) return *rows = 6, sums_6;
    if (left >= 4) return *rows = 4, sums_4;
    if (left >= 2) return *rows = 2, sums_2;
    return *rows = 1, sums_1;
}

/* All rows of y for the columns of a panel, at most PANEL. */
static void pass(const float *x, long distance, const float *panel, long terms, float *y, long stride, long rows, long columns,
                 const float *bias, int add) {
    float edge[12][PANEL] = {}; /* full rows, where y has fewer columns */
    size_t size = 4 * columns;
    int count;
    for (long row = 0; row < rows; row += count) {
        Sums run = most_sums(rows - row, &count);
        float *to = y + row * stride;
        if (bias)
            for (int r = 0; r < count; r++) memcpy(to + r * stride, bias, size);
        if (columns == PANEL) {
            run(x + row * distance, distance, panel, terms, to, stride, add || bias);
            continue;
        }
        for (int r = 0; r < count; r++) memcpy(edge[r], to + r * stride, size);
        run(x + row * distance, distance, panel, terms, edge[0], PANEL, add || bias);
        for (int r = 0; r < count; r++) memcpy(to + r * stride, edge[r], size);
    }
}

/* y = x · weight + bias. weight: a row for each column of y if `by_column`, else a row for each term. The rows of y are `stride`
   numbers apart. */
void matmul_f(const float *x, const float *weight, const float *bias, float *y, long stride, long rows, long columns,
              long terms, int by_column, int threads) {
    if (!rows || !columns) return;
    long panels = (columns + PANEL - 1) / PANEL, share = (panels + threads - 1) / threads; /* of a thread */
    long parts = (share + ABREAST - 1) / ABREAST, abreast = (share + parts - 1) / parts;
    SHARE_OUT(static)
    for (long begin = 0; begin < panels; begin += abreast) {
        long end = begin + abreast < panels ? begin + abreast : panels;
        for (long k = 0; k < terms || k == 0; k += BLOCK)
            for (long column = begin * PANEL; column < end * PANEL; column += PANEL) {
                float panel[BLOCK * PANEL] __attribute__((aligned(64)));
                long here = columns - column < PANEL ? columns - column : PANEL, some = terms - k < BLOCK ? terms - k : BLOCK;
                if (by_column) pack_rows(weight + column * terms + k, terms, here, some, panel);
                else pack_columns(weight + k * columns + column, columns, here, some, panel);
                const float *start = bias && k == 0 ? bias + column : 0;
                pass(x + k, terms, panel, some, y + column, stride, rows, here, start, k > 0);
            }
    }
}

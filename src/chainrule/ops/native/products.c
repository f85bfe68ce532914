/* Two matrix products that PyTorch lacks. */

#include "vectors.h"

enum { FEW = 4 }; /* rows of x and of the weight whose sums are kept in registers */

INLINE void few_sums(const float *x, const float *weight, float *y, long stride, long terms, long known, const int rows) {
    floats sums[FEW][FEW] = {};
    for (long k = 0; k < terms; k += LANES) {
        long count = terms - k < LANES ? terms - k : LANES;
        floats w[FEW];
        for (int j = 0; j < FEW; j++) w[j] = load_f(weight + j * terms + k, count);
        for (int i = 0; i < rows; i++) {
            floats v = load_f(x + i * terms + k, count);
            for (int j = 0; j < FEW; j++) sums[i][j] += v * w[j];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < FEW; j++)
            if (j >= known) y[i * stride + j] = sum(sums[i][j]);
}

/* y = x · weightᵀ for few rows of x. The weight is read once, which takes most of the time. At least FEW columns: the last
   block starts early enough to be full, and does not write columns that another block writes, maybe in another thread. */
void few_f(const float *x, const float *weight, float *y, long stride, long rows, long columns, long terms, int threads) {
    long blocks = (columns + FEW - 1) / FEW;
    SHARE_OUT(static)
    for (long block = 0; block < blocks; block++) {
        long column = block * FEW < columns - FEW ? block * FEW : columns - FEW, known = block * FEW - column;
        const float *w = weight + column * terms;
        for (long row = 0; row < rows; row += FEW) {
            const float *from = x + row * terms;
            float *to = y + row * stride + column;
            switch (rows - row) {
            case 1: few_sums(from, w, to, stride, terms, known, 1); break;
            case 2: few_sums(from, w, to, stride, terms, known, 2); break;
            case 3: few_sums(from, w, to, stride, terms, known, 3); break;
            default: few_sums(from, w, to, stride, terms, known, FEW);
            }
        }
    }
}

#ifdef __AVX512BF16__ /* without it there is no `product_b` */
enum { ROWS = 6, COLUMNS = 4 }; /* of the block of sums kept in registers; columns in vectors */

/* z = h · weightᵀ in float32, of bfloat16 factors; an even number of terms, summed in pairs from first to last. PyTorch's
   own product rounds the result to bfloat16. At least ROWS rows: the last block starts early enough to be full. */
int product_b(const bf16 *h, const bf16 *weight, float *z, long stride, long rows, long columns, long terms, int threads) {
    long pairs = terms / 2, width = 16 * COLUMNS;
    int failed = 0;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : failed)
    {
        uint32_t *panel = aligned_alloc(64, 4 * width * pairs); /* `width` columns of the weight, pair by pair */
        failed = !panel;
#pragma omp for schedule(static)
        for (long column = 0; column < columns; column += width) {
            if (!panel) continue;
            long here = columns - column < width ? columns - column : width;
            if (here < width) memset(panel, 0, 4 * width * pairs);
            for (long j = 0; j < here; j++) {
                const bf16 *from = weight + (column + j) * terms;
                for (long k = 0; k < pairs; k++) memcpy(panel + k * width + j, from + 2 * k, 4);
            }
            for (long first = 0; first < rows; first += ROWS) {
                long row = first + ROWS <= rows ? first : rows - ROWS;
                __m512 sums[ROWS][COLUMNS] = {};
                for (long k = 0; k < pairs; k++) {
                    __m512bh of_weight[COLUMNS];
                    for (int c = 0; c < COLUMNS; c++)
                        of_weight[c] = (__m512bh)_mm512_load_si512(panel + k * width + 16 * c);
                    for (int r = 0; r < ROWS; r++) {
                        int32_t pair;
                        memcpy(&pair, h + (row + r) * terms + 2 * k, 4);
                        __m512bh of_h = (__m512bh)_mm512_set1_epi32(pair);
                        for (int c = 0; c < COLUMNS; c++) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], of_h, of_weight[c]);
                    }
                }
                for (int r = 0; r < ROWS; r++)
                    for (int c = 0; c < COLUMNS; c++) {
                        long left = here - 16 * c;
                        __mmask16 some = left >= 16 ? 0xffff : left > 0 ? (1u << left) - 1 : 0;
                        _mm512_mask_storeu_ps(z + (row + r) * stride + column + 16 * c, some, sums[r][c]);
                    }
            }
        }
        free(panel);
    }
    return failed;
}
#endif

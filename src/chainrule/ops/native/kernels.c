/* Operations of a network other than matrix products, each in one pass over memory, and two products that PyTorch lacks.

   Every row, or every number, is computed independently and in one order: its bits do not depend on its neighbours or
   its thread. Vectors are padded with zeros at the end of a row, so that all numbers go through the same code.
   Contraction into fused multiply-adds is the compiler's choice, and the same for all lanes.

   Suffix f: float32. Suffix b: bfloat16 in memory, computed in float32 and rounded once, at the end. */

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#if defined __AVX512F__
#define LANES 16
#elif defined __AVX2__
#define LANES 8
#else
#define LANES 4
#endif

typedef uint16_t bf16;
typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));
typedef uint8_t bytes __attribute__((vector_size(LANES)));

#define INLINE static inline __attribute__((always_inline))
#define SHARE_OUT(schedule_) _Pragma(TEXT(omp parallel for schedule(schedule_) num_threads(threads) if (threads > 1)))
#define TEXT(...) #__VA_ARGS__

/* The number of lanes of a vector. The caller decides by it which kernels are faster than PyTorch's. */
int lanes(void) { return LANES; }

INLINE floats all(float x) { return (floats){} + x; }

/* max(bound, x) and, below, min(bound, x); NaN if x is NaN. */
INLINE floats at_least(float bound, floats x) {
#ifdef __AVX512F__
    return (floats)_mm512_max_ps((__m512)all(bound), (__m512)x);
#else
    ints below = x < all(bound);
    return (floats)((below & (ints)all(bound)) | (~below & (ints)x));
#endif
}

INLINE floats at_most(float bound, floats x) { return -at_least(-bound, -x); }

INLINE floats greater(floats a, floats b) {
#ifdef __AVX512F__
    return (floats)_mm512_max_ps((__m512)a, (__m512)b);
#else
    ints above = a > b;
    return (floats)((above & (ints)a) | (~above & (ints)b));
#endif
}

INLINE float sum(floats x) {
    float lane[LANES];
    memcpy(lane, &x, sizeof lane);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

/* Load or store the first `left` numbers at p, at most LANES. Partial vectors are rare, so they are handled outside the
   full-vector fast path. */
#define PART static __attribute__((noinline))

PART floats load_part_f(const float *p, long left) {
    floats x = {};
    memcpy(&x, p, 4 * left);
    return x;
}

PART void store_part_f(float *p, floats x, long left) { memcpy(p, &x, 4 * left); }

INLINE floats load_f(const float *p, long left) {
    if (left < LANES) return load_part_f(p, left);
    floats x;
    memcpy(&x, p, sizeof x);
    return x;
}

INLINE void store_f(float *p, floats x, long left) {
    if (left < LANES) store_part_f(p, x, left);
    else memcpy(p, &x, sizeof x);
}

INLINE floats widened(halves x) {
#ifdef __AVX512F__
    return (floats)(_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)x), 16));
#else
    return (floats)(__builtin_convertvector(x, bits) << 16);
#endif
}

/* Round to nearest, ties to even; NaN stays NaN. */
INLINE halves narrowed(floats x) {
#ifdef __AVX512BF16__
    return (halves)_mm512_cvtneps_pbh((__m512)x);
#else
    bits b = (bits)x, nan = (bits)(x != x);
    bits rounded = ((b + 0x7fff + ((b >> 16) & 1)) >> 16) | (nan & 0x7fc0);
    return __builtin_convertvector(rounded, halves);
#endif
}

PART floats load_part_b(const bf16 *p, long left) {
    halves x = {};
    memcpy(&x, p, 2 * left);
    return widened(x);
}

PART void store_part_b(bf16 *p, floats x, long left) {
    halves half = narrowed(x);
    memcpy(p, &half, 2 * left);
}

INLINE floats load_b(const bf16 *p, long left) {
    if (left < LANES) return load_part_b(p, left);
    halves x;
    memcpy(&x, p, sizeof x);
    return widened(x);
}

INLINE void store_b(bf16 *p, floats x, long left) {
    if (left < LANES) {
        store_part_b(p, x, left);
        return;
    }
    halves half = narrowed(x);
    memcpy(p, &half, sizeof half);
}

/* exp for −87.3 ≤ x ≤ 88, within 1.5 units in the last place: 2ⁿ · eʳ, with a polynomial for eʳ (Cephes). */
INLINE floats exp_f(floats x) {
    floats n = (x * 1.44269504088896341f + 12582912.f) - 12582912.f; /* rounded to an integer */
    floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
    floats p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.f;
    return p * (floats)((__builtin_convertvector(n, ints) + 127) << 23);
}

#define KERNELS(S, T)                                                                                                      \
    /* y = x / √(mean x² + eps) · (weight + offset), row by row. */                                                        \
    void rms_norm_##S(const T *x, const T *weight, T *y, long rows, long width, float eps, float offset, int threads) {    \
        SHARE_OUT(static)                                                                                                  \
        for (long row = 0; row < rows; row++) {                                                                            \
            const T *from = x + row * width;                                                                               \
            T *to = y + row * width;                                                                                       \
            floats squares = {};                                                                                             \
            for (long i = 0; i < width; i += LANES) {                                                                         \
                floats v = load_##S(from + i, width - i);                                                                    \
                squares += v * v;                                                                                          \
            }                                                                                                              \
            float scale = 1.f / sqrtf(sum(squares) / width + eps);                                                         \
            for (long i = 0; i < width; i += LANES) {                                                                         \
                floats v = load_##S(from + i, width - i) * scale;                                                            \
                store_##S(to + i, v * (load_##S(weight + i, width - i) + offset), width - i);                              \
            }                                                                                                              \
        }                                                                                                                  \
    }                                                                                                                      \
                                                                                                                           \
    /* y = x · σ(linear · x + cubic · x³) · by: SiLU, and GELU with tanh. `by` may be NULL, and y may be x. */             \
    void gate_##S(const T *x, const T *by, T *y, long count, float linear, float cubic, int threads) {                     \
        SHARE_OUT(static)                                                                                                  \
        for (long first = 0; first < count; first += 4096) {                                                               \
            long stop = first + 4096 < count ? first + 4096 : count;                                                       \
            for (long i = first; i < stop; i += LANES) {                                                                      \
                floats v = load_##S(x + i, count - i);                                                                       \
                floats w = at_least(-88.f, at_most(88.f, v)); /* so that its cube is finite */                                     \
                floats e = exp_f(at_least(-87.3f, at_most(88.f, w * (-linear - cubic * (w * w)))));                        \
                floats out = v / (1.f + e);                                                                                  \
                if (by) out *= load_##S(by + i, count - i);                                                                \
                store_##S(y + i, out, count - i);                                                                          \
            }                                                                                                              \
        }                                                                                                                  \
    }

KERNELS(f, float)
KERNELS(b, bf16)

/* The maximum m of each row, Σ e, Σ e · d and Σ e · d² for d = z − m and e = exp(d), with 0 · −inf = 0 (an impossible event).
   exp_f gives exactly 0 from −88 to −87.7, so an event that is impossible, or less probable than float32 can say, adds nothing. */
void moments(const float *z, long stride, long rows, long columns, float *top, float *total, float *dot, float *square,
             int threads) {
    SHARE_OUT(static)
    for (long row = 0; row < rows; row++) {
        const float *from = z + row * stride;
        floats most = all(-INFINITY);
        long whole = columns / LANES * LANES, i;
        for (i = 0; i < whole; i += LANES) most = greater(most, load_f(from + i, LANES));
        floats last = all(-INFINITY);
        memcpy(&last, from + whole, 4 * (columns - whole));
        most = greater(most, last);
        float lane[LANES], m = -INFINITY;
        memcpy(lane, &most, sizeof lane);
        for (i = 0; i < LANES; i++) m = lane[i] > m ? lane[i] : m;
        top[row] = m, total[row] = 0, dot[row] = 0, square[row] = 0;
        if (m == -INFINITY) { /* all events are impossible, or NaN */
            for (i = 0; i < columns; i++) total[row] += from[i] == from[i] ? 0 : NAN;
            continue;
        }
        floats totals[4] = {}, dots[4] = {}, squares[4] = {}; /* four partial sums each, for a quarter of the rounding errors */
        for (i = 0; i < columns; i += 4 * LANES)
            for (int part = 0; part < 4; part++) {
                if (i + LANES * part >= columns) break;
                floats v = i + LANES * part < whole ? load_f(from + i + LANES * part, LANES) : last;
                floats d = at_least(-88.f, v - m), e = exp_f(d), ed = e * d;
                totals[part] += e, dots[part] += ed, squares[part] += ed * d;
            }
        total[row] = sum((totals[0] + totals[1]) + (totals[2] + totals[3]));
        dot[row] = sum((dots[0] + dots[1]) + (dots[2] + dots[3]));
        square[row] = sum((squares[0] + squares[1]) + (squares[2] + squares[3]));
    }
}

INLINE bytes load_bytes(const uint8_t *p) {
    bytes x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* The values whose members have this bit; −inf for the others. */
INLINE floats in_set(floats z, bytes member, ints bit) {
#ifdef __AVX512F__
    __mmask16 in = _mm512_test_epi32_mask(_mm512_cvtepu8_epi32((__m128i)member), (__m512i)bit);
    return (floats)_mm512_mask_mov_ps((__m512)all(-INFINITY), in, (__m512)z);
#else
    ints in = (__builtin_convertvector(member, ints) & bit) != 0;
    return (floats)((in & (ints)z) | (~in & (ints)all(-INFINITY)));
#endif
}

/* The maximum m of each row over each set of columns, and Σ exp(z − m) over the set: rows × sets. Bit k of member[v] is
   set if column v is in set k. The sum of a set whose columns are all impossible is 0. */
void set_sums(const float *z, long stride, long rows, long columns, const uint8_t *member, long sets, float *top, float *total,
              int threads) {
    long whole = columns / LANES * LANES;
    bytes last_member = {};
    memcpy(&last_member, member + whole, columns - whole);
    SHARE_OUT(static)
    for (long row = 0; row < rows; row++) {
        const float *from = z + row * stride;
        floats last = all(-INFINITY);
        memcpy(&last, from + whole, 4 * (columns - whole));
        for (int set = 0; set < sets; set++) {
            ints bit = (ints){} + (1 << set);
            floats most = in_set(last, last_member, bit);
            for (long i = 0; i < whole; i += LANES)
                most = greater(most, in_set(load_f(from + i, LANES), load_bytes(member + i), bit));
            float lane[LANES], m = -INFINITY;
            memcpy(lane, &most, sizeof lane);
            for (int i = 0; i < LANES; i++) m = lane[i] > m ? lane[i] : m;
            top[row * sets + set] = m, total[row * sets + set] = 0;
            if (m == -INFINITY) continue;
            floats totals[4] = {}; /* four partial sums, for a quarter of the rounding errors */
            for (long i = 0; i < columns; i += 4 * LANES)
                for (int part = 0; part < 4; part++) {
                    long at = i + LANES * part;
                    if (at >= columns) break;
                    floats v = at < whole ? in_set(load_f(from + at, LANES), load_bytes(member + at), bit)
                                          : in_set(last, last_member, bit);
                    ints counts = v >= m - 87.f;
                    totals[part] += (floats)(counts & (ints)exp_f(at_least(-87.f, v - m)));
                }
            total[row * sets + set] = sum((totals[0] + totals[1]) + (totals[2] + totals[3]));
        }
    }
}

/* The number of values of each row that exceed than[row]. */
void count_greater(const float *z, long stride, long rows, long columns, const float *than, int64_t *count, int threads) {
    SHARE_OUT(static)
    for (long row = 0; row < rows; row++) {
        const float *from = z + row * stride;
        floats bound = all(than[row]);
        ints found = {};
        long i = 0;
        for (; i + LANES <= columns; i += LANES) found -= load_f(from + i, LANES) > bound;
        int64_t n = 0;
        for (; i < columns; i++) n += from[i] > than[row];
        int32_t lane[LANES];
        memcpy(lane, &found, sizeof lane);
        for (i = 0; i < LANES; i++) n += lane[i];
        count[row] = n;
    }
}

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

/* Attention of rows to their paths, with one query per lane: scores, softmax and values need no sum across lanes, and keys
   and values are read in place. Keys are read by depth, BLOCK at a time from depth 0, and running sums are rescaled when a
   block raises the maximum. The terms that a query sums, and their order, depend on its own path alone. */
enum {
    BLOCK = 64,                  /* keys at a time */
    VECTORS = 3,                 /* of queries */
    STEP = LANES == 16 ? 8 : 4,  /* keys, or numbers of a value, whose sums are kept in registers */
    QUERIES = VECTORS * LANES,
    WIDEST = 256                 /* numbers of a key or value */
};

/* The number of queries computed at a time: the lanes of a task. */
int queries(void) { return QUERIES; }

/* An unbranched run of rows within one block of depths. Its keys are far, in whole blocks above, or near, within the block. */
typedef struct {
    int64_t row, rows, depth; /* the first row, the number of rows, the depth of the first */
    int64_t far, fars;        /* the index in `slots` of the far keys, and their number: depths 0 … fars − 1 */
    int64_t near;             /* the index in `slots` of the near keys, of depths fars … */
} tile;

typedef struct {
    const void *query, *key, *value;
    void *out;
    float *logsumexp; /* R × H */
    const tile *tiles;
    const int64_t *task; /* tile and first lane of each task; a lane is a row and a head of the group */
    const int64_t *slots; /* positions of keys */
    int64_t tasks, query_row, query_head; /* the strides of the queries' rows and heads */
    int64_t heads, groups, width, value_width, window; /* window 0: none */
    float scaling, softcap;                            /* softcap 0: none */
    int32_t threads;
} attention;

typedef struct {
    float query[WIDEST][QUERIES], score[BLOCK][QUERIES], out[WIDEST][QUERIES];
    float key[BLOCK][WIDEST + LANES], value[BLOCK][WIDEST + LANES]; /* bfloat16 keys and values, widened */
} scratch;

/* to[i][lane] = Σ from[i][j] · with[j][lane], for STEP rows of `from` at any addresses. */
INLINE void rows_by_lanes(const float *const *from, const float (*with)[QUERIES], float (*to)[QUERIES], long terms, int vectors) {
    floats sums[STEP][VECTORS] = {};
    for (long j = 0; j < terms; j++) {
        floats lane[VECTORS];
        for (int v = 0; v < vectors; v++) memcpy(&lane[v], with[j] + v * LANES, sizeof(floats));
        for (int i = 0; i < STEP; i++)
            for (int v = 0; v < vectors; v++) sums[i][v] += from[i][j] * lane[v];
    }
    for (int i = 0; i < STEP; i++)
        for (int v = 0; v < vectors; v++) memcpy(to[i] + v * LANES, &sums[i][v], sizeof(floats));
}

#ifdef __AVX512BF16__
/* The same for pairs of bfloat16 numbers; `with` holds a pair for each lane. */
INLINE void rows_by_lanes_b(const bf16 *const *from, const uint32_t (*with)[QUERIES], float (*to)[QUERIES], long terms, int vectors) {
    __m512 sums[STEP][VECTORS] = {};
    for (long j = 0; j < terms / 2; j++) {
        __m512bh lane[VECTORS];
        for (int v = 0; v < vectors; v++) lane[v] = (__m512bh)_mm512_loadu_si512(with[j] + v * LANES);
        for (int i = 0; i < STEP; i++) {
            int32_t pair;
            memcpy(&pair, from[i] + 2 * j, 4);
            for (int v = 0; v < vectors; v++)
                sums[i][v] = _mm512_dpbf16_ps(sums[i][v], (__m512bh)_mm512_set1_epi32(pair), lane[v]);
        }
    }
    for (int i = 0; i < STEP; i++)
        for (int v = 0; v < vectors; v++) _mm512_storeu_ps(to[i] + v * LANES, sums[i][v]);
}
#endif

/* to[i][lane] = to[i][lane] · scale[lane] + Σ from[j][i] · with[j][lane], for STEP columns i. */
INLINE void columns_by_lanes(const float *const *from, const float (*with)[QUERIES], const floats *scale, float (*to)[QUERIES],
                             long terms, int vectors) {
    floats sums[STEP][VECTORS] = {};
    for (long j = 0; j < terms; j++) {
        floats lane[VECTORS];
        for (int v = 0; v < vectors; v++) memcpy(&lane[v], with[j] + v * LANES, sizeof(floats));
        for (int i = 0; i < STEP; i++)
            for (int v = 0; v < vectors; v++) sums[i][v] += from[j][i] * lane[v];
    }
    for (int i = 0; i < STEP; i++)
        for (int v = 0; v < vectors; v++) {
            floats before;
            memcpy(&before, to[i] + v * LANES, sizeof before);
            before = before * scale[v] + sums[i][v];
            memcpy(to[i] + v * LANES, &before, sizeof before);
        }
}

/* tanh, near 0 by a polynomial (Cephes): 1 − 2 / (1 + e²ˣ) loses digits there, and softcaps are much larger than scores. */
INLINE floats tanh_f(floats x) {
    floats far = 1.f - 2.f / (1.f + exp_f(at_least(-87.f, at_most(87.f, 2.f * x)))), z = x * x;
    floats p = all(-5.70498872745e-3f);
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    floats near = x + x * z * p;
    ints small = z < 0.390625f;
    return (floats)((small & (ints)near) | (~small & (ints)far));
}

/* One block of keys: scores, their weights relative to the running maximum, and the weighted values. Lane l sees the keys
   first[l] to last[l], counted from the start of the block, or all of them if `masked` is 0. */
INLINE void attend_block(const attention *a, scratch *s, const void *const *key, const float *const *value, long keys,
                         const ints *first, const ints *last, floats *top, floats *total, int vectors, int masked, int pairs) {
    for (long k = 0; k < keys; k += STEP)
#ifdef __AVX512BF16__
        if (pairs)
            rows_by_lanes_b((const bf16 *const *)key + k, (const uint32_t(*)[QUERIES])s->query, s->score + k, a->width, vectors);
        else
#endif
            rows_by_lanes((const float *const *)key + k, (const float(*)[QUERIES])s->query, s->score + k, a->width, vectors);
    (void)pairs;
    floats scale[VECTORS];
    for (int v = 0; v < vectors; v++) {
        floats most = top[v], weights = {};
        for (long k = 0; k < keys; k++) {
            floats score;
            memcpy(&score, s->score[k] + v * LANES, sizeof score);
            score *= a->scaling;
            if (a->softcap != 0) score = tanh_f(score / a->softcap) * a->softcap;
            if (masked) {
                ints seen = (first[v] <= (int32_t)k) & (last[v] >= (int32_t)k);
                score = (floats)((seen & (ints)score) | (~seen & (ints)all(-FLT_MAX)));
            }
            memcpy(s->score[k] + v * LANES, &score, sizeof score);
            most = greater(most, score);
        }
        for (long k = 0; k < keys; k++) {
            floats score;
            memcpy(&score, s->score[k] + v * LANES, sizeof score);
            floats weight = exp_f(at_least(-87.f, score - most));
            if (masked) weight = (floats)((first[v] <= (int32_t)k) & (last[v] >= (int32_t)k) & (ints)weight);
            memcpy(s->score[k] + v * LANES, &weight, sizeof weight);
            weights += weight;
        }
        scale[v] = exp_f(at_least(-87.f, top[v] - most));
        total[v] = total[v] * scale[v] + weights;
        top[v] = most;
    }
    for (long i = 0; i < a->value_width; i += STEP) {
        const float *column[BLOCK];
        for (long k = 0; k < keys; k++) column[k] = value[k] + i;
        columns_by_lanes(column, (const float(*)[QUERIES])s->score, scale, s->out + i, keys, vectors);
    }
}

static pthread_key_t scratches;
static int keyless;

__attribute__((constructor)) static void make_key(void) { keyless = pthread_key_create(&scratches, free); }

/* Memory of a thread, kept until the thread ends: mapping new pages for each call would cost more than the call. */
static scratch *own_scratch(void) {
    if (keyless) return NULL;
    scratch *mine = pthread_getspecific(scratches);
    if (mine) return mine;
    mine = aligned_alloc(64, (sizeof *mine + 63) / 64 * 64);
    if (mine && pthread_setspecific(scratches, mine)) {
        free(mine);
        return NULL;
    }
    return mine;
}

INLINE const float *widened_f(const float *from, float *into, long count) {
    (void)into, (void)count;
    return from;
}

INLINE const float *widened_b(const bf16 *from, float *into, long count) {
    for (long i = 0; i < count; i += LANES) {
        floats x = load_b(from + i, count - i);
        memcpy(into + i, &x, sizeof x);
    }
    return into;
}

INLINE float number_f(float x) { return x; }
INLINE float number_b(bf16 x) {
    uint32_t b = (uint32_t)x << 16;
    float f;
    memcpy(&f, &b, sizeof f);
    return f;
}

#ifdef __AVX512BF16__
#define PAIRS 1 /* whether there are dot products of bfloat16 pairs */
#else
#define PAIRS 0
#endif

#define ATTENTION(S, T)                                                                                                    \
    /* The queries of one task: lanes `first` to `first + count` of a tile, in one group of heads. */                      \
    static void attend_##S(const attention *a, scratch *s, const tile *t, long group, long first, long count) {            \
        long share = a->heads / a->groups, lanes = (count + LANES - 1) / LANES * LANES;                                    \
        int vectors = lanes / LANES, pairs = PAIRS && sizeof(T) == 2 && a->width % 2 == 0;                                 \
        int32_t depth[QUERIES];                                                                                            \
        for (long lane = 0; lane < lanes; lane++) {                                                                        \
            long at = first + (lane < count ? lane : count - 1);                                                           \
            const T *query = (const T *)a->query + (t->row + at / share) * a->query_row +                                  \
                             (group * share + at % share) * a->query_head;                                                 \
            depth[lane] = t->depth + at / share;                                                                           \
            if (pairs)                                                                                                     \
                for (long d = 0; d < a->width; d += 2) memcpy(&s->query[d / 2][lane], query + d, 4);                       \
            else                                                                                                           \
                for (long d = 0; d < a->width; d++) s->query[d][lane] = number_##S(query[d]);                              \
        }                                                                                                                  \
        floats top[VECTORS], total[VECTORS] = {};                                                                          \
        for (int v = 0; v < vectors; v++) top[v] = all(-FLT_MAX);                                                          \
        for (long d = 0; d < a->value_width; d++) memset(s->out[d], 0, sizeof s->out[d]);                                  \
        long keys = depth[lanes - 1] + 1, out_of_window = a->window ? depth[0] - a->window + 1 : 0;                        \
        for (long base = out_of_window > 0 ? out_of_window / BLOCK * BLOCK : 0; base < keys; base += BLOCK) {              \
            long here = keys - base < BLOCK ? keys - base : BLOCK;                                                         \
            const void *key[BLOCK];                                                                                        \
            const float *value[BLOCK];                                                                                     \
            for (long k = 0; k < here; k++) {                                                                              \
                long d = base + k, slot = d < t->fars ? a->slots[t->far + d] : a->slots[t->near + d - t->fars];           \
                long at = slot * a->groups + group;                                                                       \
                const T *from = (const T *)a->key + at * a->width;                                                         \
                key[k] = pairs ? (const void *)from : widened_##S(from, s->key[k], a->width);                              \
                value[k] = widened_##S((const T *)a->value + at * a->value_width, s->value[k], a->value_width);            \
            }                                                                                                              \
            for (long k = here; k % STEP; k++) key[k] = key[here - 1];                                                     \
            ints from[VECTORS], to[VECTORS];                                                                               \
            for (int v = 0; v < vectors; v++) {                                                                            \
                memcpy(&to[v], depth + v * LANES, sizeof to[v]);                                                           \
                to[v] -= (int32_t)base;                                                                                    \
                from[v] = a->window ? to[v] - (int32_t)(a->window - 1) : (ints){};                                         \
            }                                                                                                              \
            int masked = depth[0] < base + here - 1 || (a->window && depth[lanes - 1] - a->window + 1 > base);             \
            CHOOSE(vectors, masked)                                                                                        \
        }                                                                                                                  \
        for (long lane = 0; lane < count; lane++) {                                                                        \
            long row = t->row + (first + lane) / share, head = group * share + (first + lane) % share;                     \
            float sums = ((float *)total)[lane];                                                                           \
            T *out = (T *)a->out + (row * a->heads + head) * a->value_width;                                               \
            a->logsumexp[row * a->heads + head] = ((float *)top)[lane] + logf(sums);                                       \
            for (long d = 0; d < a->value_width; d += LANES) {                                                             \
                float some[LANES] = {};                                                                                    \
                for (long i = 0; i < LANES && d + i < a->value_width; i++) some[i] = s->out[d + i][lane] / sums;           \
                floats x;                                                                                                  \
                memcpy(&x, some, sizeof x);                                                                                \
                store_##S(out + d, x, a->value_width - d);                                                                 \
            }                                                                                                              \
        }                                                                                                                  \
    }                                                                                                                      \
                                                                                                                           \
    int attention_##S(const attention *a) {                                                                                \
        int failed = 0;                                                                                                    \
        _Pragma("omp parallel num_threads(a->threads) if (a->threads > 1) reduction(| : failed)")                          \
        {                                                                                                                  \
            scratch *s = own_scratch();                                                                                    \
            failed = !s;                                                                                                   \
            _Pragma("omp for schedule(dynamic)")                                                                           \
            for (long i = 0; i < a->tasks * a->groups; i++) {                                                              \
                const tile *t = a->tiles + a->task[2 * (i / a->groups)];                                                   \
                long first = a->task[2 * (i / a->groups) + 1], left = t->rows * (a->heads / a->groups) - first;            \
                if (s) attend_##S(a, s, t, i % a->groups, first, left < QUERIES ? left : QUERIES);                         \
            }                                                                                                              \
        }                                                                                                                  \
        return failed;                                                                                                     \
    }

/* With a constant number of vectors the compiler keeps their sums in registers. */
#define CHOOSE(vectors, masked)                                                                                            \
    switch (2 * vectors + masked) {                                                                                        \
    case 2: attend_block(a, s, key, value, here, from, to, top, total, 1, 0, pairs); break;                                       \
    case 3: attend_block(a, s, key, value, here, from, to, top, total, 1, 1, pairs); break;                                       \
    case 4: attend_block(a, s, key, value, here, from, to, top, total, 2, 0, pairs); break;                                       \
    case 5: attend_block(a, s, key, value, here, from, to, top, total, 2, 1, pairs); break;                                       \
    case 6: attend_block(a, s, key, value, here, from, to, top, total, 3, 0, pairs); break;                                       \
    default: attend_block(a, s, key, value, here, from, to, top, total, 3, 1, pairs);                                             \
    }

ATTENTION(f, float)
ATTENTION(b, bf16)

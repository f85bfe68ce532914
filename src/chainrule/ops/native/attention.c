/* Attention of rows to their paths. */

#include <pthread.h>

#include "vectors.h"

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

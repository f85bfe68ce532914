/* Attention of rows to their paths, with one query per lane: scores, softmax and values need no sum across lanes. Keys are
   read by depth, BLOCK at a time from depth 0, and running sums are rescaled when a block raises the maximum. The terms that
   a query sums, and their order, depend on its own path alone. */

#include <pthread.h>

#include "tiles.h"

enum {
    BLOCK = 64,                  /* keys at a time */
    VECTORS = 3,                 /* of the queries of a part */
    PARTS = 4,                   /* of a task: they share the packed keys and values of a block */
    STEP = LANES == 16 ? 8 : 4,  /* keys, or numbers of a value, whose sums are kept in registers */
    QUERIES = VECTORS * LANES,   /* of a part */
    WIDEST = 256,                /* numbers of a key or value */
    SUMMANDS = 3                 /* bfloat16 numbers whose sum is a weight */
};

/* The number of queries computed at a time: the lanes of a task. */
int queries(void) { return PARTS * QUERIES; }

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
    float query[WIDEST][QUERIES], out[WIDEST][QUERIES]; /* query: numbers, or pairs of bfloat16 numbers */
    floats top[VECTORS], total[VECTORS];                /* a reference near the maximum, in bits; Σ 2^(score − top) */
    int32_t depth[QUERIES];
    long first, count, vectors; /* the first lane, and the number of lanes and of vectors */
} part;

typedef struct {
    part parts[PARTS];
    float score[BLOCK][QUERIES];
    float key[BLOCK][WIDEST + LANES], value[BLOCK][WIDEST + LANES]; /* copies: widened, or near one another */
#if TILES
    bf16 tile_key[BLOCK][WIDEST];
    uint32_t column[WIDEST / 16][BLOCK / 32][16][16]; /* pairs of values of successive keys, 16 columns × 32 keys at a time */
    uint32_t weight[SUMMANDS][BLOCK / 2][QUERIES]; /* pairs of weights of successive keys, as sums of bfloat16 numbers */
#endif
} scratch;

/* One block of keys. */
typedef struct {
    long base, keys; /* depth of the first, number */
    const void *key[BLOCK];
    const float *value[BLOCK];
#if TILES
    const bf16 *tile[BLOCK / 16]; /* 16 keys each, `stride` bytes apart */
    long stride[BLOCK / 16];
#endif
} block;

/* The ways to compute scores: from float32, from widened bfloat16, from pairs of bfloat16, and in tile registers, which take
   the weighted values as well. The same for all calls with keys of one type and width. */
enum { FLOATS, WIDENED, PAIRS, IN_TILES };

/* to[i][lane] = Σ from[i][j] · with[j][lane], for STEP rows of `from` at any addresses. */
INLINE void rows_by_lanes(const float *const *from, const float (*with)[QUERIES], float (*to)[QUERIES], long terms, int vectors) {
    floats sums[STEP][VECTORS] = {};
    for (long j = 0; j < terms; j++) {
        floats lane[VECTORS];
        UNROLLED (int v = 0; v < vectors; v++) lane[v] = loaded_once(with[j] + v * LANES);
        UNROLLED (int i = 0; i < STEP; i++)
            UNROLLED (int v = 0; v < vectors; v++) sums[i][v] += from[i][j] * lane[v];
    }
    UNROLLED (int i = 0; i < STEP; i++)
        UNROLLED (int v = 0; v < vectors; v++) memcpy(to[i] + v * LANES, &sums[i][v], sizeof(floats));
}

#ifdef __AVX512BF16__
/* The same for pairs of bfloat16 numbers; `with` holds a pair for each lane. */
INLINE void rows_by_lanes_b(const bf16 *const *from, const uint32_t (*with)[QUERIES], float (*to)[QUERIES], long terms, int vectors) {
    __m512 sums[STEP][VECTORS] = {};
    for (long j = 0; j < terms / 2; j++) {
        __m512bh lane[VECTORS];
        UNROLLED (int v = 0; v < vectors; v++) lane[v] = (__m512bh)_mm512_loadu_si512(with[j] + v * LANES);
        UNROLLED (int i = 0; i < STEP; i++) {
            int32_t pair;
            memcpy(&pair, from[i] + 2 * j, 4);
            UNROLLED (int v = 0; v < vectors; v++)
                sums[i][v] = _mm512_dpbf16_ps(sums[i][v], (__m512bh)_mm512_set1_epi32(pair), lane[v]);
        }
    }
    UNROLLED (int i = 0; i < STEP; i++)
        UNROLLED (int v = 0; v < vectors; v++) _mm512_storeu_ps(to[i] + v * LANES, sums[i][v]);
}
#endif

/* to[i][lane] = to[i][lane] · scale[lane] + Σ from[j][first + i] · with[j][lane], for STEP columns i. */
INLINE void columns_by_lanes(const float *const *from, long first, const float (*with)[QUERIES], const floats *scale, float (*to)[QUERIES],
                             long terms, int vectors) {
    floats sums[STEP][VECTORS] = {};
    for (long j = 0; j < terms; j++) {
        floats lane[VECTORS];
        UNROLLED (int v = 0; v < vectors; v++) lane[v] = loaded_once(with[j] + v * LANES);
        UNROLLED (int i = 0; i < STEP; i++)
            UNROLLED (int v = 0; v < vectors; v++) sums[i][v] += from[j][first + i] * lane[v];
    }
    UNROLLED (int i = 0; i < STEP; i++)
        UNROLLED (int v = 0; v < vectors; v++) {
            floats before;
            memcpy(&before, to[i] + v * LANES, sizeof before);
            before = before * scale[v] + sums[i][v];
            memcpy(to[i] + v * LANES, &before, sizeof before);
        }
}

/* Functions of their own, so that the compiler has all registers for their sums. */
#define BY_LANES(vectors)                                                                                                  \
    PART void rows_by_lanes_##vectors(const float *const *from, const float (*with)[QUERIES], float (*to)[QUERIES],        \
                                      long terms) {                                                                        \
        rows_by_lanes(from, with, to, terms, vectors);                                                                     \
    }                                                                                                                      \
    PART void columns_by_lanes_##vectors(const float *const *from, long first, const float (*with)[QUERIES],               \
                                         const floats *scale, float (*to)[QUERIES], long terms) {                          \
        columns_by_lanes(from, first, with, scale, to, terms, vectors);                                                    \
    }
BY_LANES(1)
BY_LANES(2)
BY_LANES(3)
#define OF_VECTORS(name, ...) (vectors == 1 ? name##_1(__VA_ARGS__) : vectors == 2 ? name##_2(__VA_ARGS__) : name##_3(__VA_ARGS__))

#if TILES
/* Adds the products of tile 6 with tiles of `from`, one for each vector of lanes, to the sums in tiles 0 to 2. */
INLINE void add_products(const void *from, long stride, int vectors) {
    _tile_loadd(3, from, stride);
    _tile_dpbf16ps(0, 6, 3);
    if (vectors > 1) {
        _tile_loadd(4, (const char *)from + 64, stride);
        _tile_dpbf16ps(1, 6, 4);
    }
    if (vectors > 2) {
        _tile_loadd(5, (const char *)from + 128, stride);
        _tile_dpbf16ps(2, 6, 5);
    }
}

INLINE void store_sums(float *to, long stride, int vectors) {
    _tile_stored(0, to, stride);
    if (vectors > 1) _tile_stored(1, to + 16, stride);
    if (vectors > 2) _tile_stored(2, to + 32, stride);
}

/* score[k][lane] = Σ key[k][d] · query[d][lane]. */
INLINE void scores_by_tiles(const block *b, const part *p, float (*score)[QUERIES], long keys, long width, int vectors) {
    const long stride = sizeof *score;
    for (long k = 0; k < keys; k += 16) {
        _tile_zero(0);
        if (vectors > 1) _tile_zero(1);
        if (vectors > 2) _tile_zero(2);
        for (long d = 0; d < width; d += 32) {
            _tile_loadd(6, b->tile[k / 16] + d, b->stride[k / 16]);
            add_products(p->query[d / 2], stride, vectors);
        }
        store_sums(score[k], stride, vectors);
    }
    barrier();
}

/* out[i][lane] = out[i][lane] · scale[lane] + Σ value[k][i] · weight[k][lane]. */
INLINE void values_by_tiles(const scratch *s, part *p, const floats *scale, long keys, long width, int vectors) {
    const long stride = sizeof *p->out;
    int rescaled = 0;
    for (int v = 0; v < vectors; v++) rescaled |= _mm512_cmp_ps_mask((__m512)scale[v], _mm512_set1_ps(1.f), _CMP_NEQ_UQ);
    if (rescaled)
        for (long i = 0; i < width; i++)
            for (int v = 0; v < vectors; v++) {
                float *out = p->out[i] + 16 * v;
                _mm512_store_ps(out, _mm512_mul_ps(_mm512_load_ps(out), (__m512)scale[v]));
            }
    barrier();
    for (long i = 0; i < width; i += 16) {
        float *out = p->out[i];
        _tile_loadd(0, out, stride);
        if (vectors > 1) _tile_loadd(1, out + 16, stride);
        if (vectors > 2) _tile_loadd(2, out + 32, stride);
        for (long half = 0; 32 * half < keys; half++) {
            _tile_loadd(6, s->column[i / 16][half], 64);
            for (int j = 0; j < SUMMANDS; j++) add_products(s->weight[j][16 * half], stride, vectors);
        }
        store_sums(out, stride, vectors);
    }
    barrier();
}

/* The weights of two successive keys as pairs of bfloat16 numbers, the sums of SUMMANDS of which are exactly the weights. */
INLINE void split(floats even, floats odd, scratch *s, long pair, int v) {
    const bits upper = (bits){} + 0xffff0000u; /* 8 of the 24 binary digits */
    for (int i = 0; i < SUMMANDS; i++) {
        bits first = (bits)even & upper, second = (bits)odd & upper, both = first >> 16 | second;
        memcpy(s->weight[i][pair] + v * LANES, &both, sizeof both);
        even -= (floats)first, odd -= (floats)second;
    }
}
#endif

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

INLINE floats either(ints chosen, floats a, floats b) { return (floats)((chosen & (ints)a) | (~chosen & (ints)b)); }

INLINE floats score_of(const scratch *s, long k, int v) {
    floats x;
    memcpy(&x, s->score[k] + v * LANES, sizeof x);
    return x;
}

/* Weights in place of the scores of a block: 2^(score − top), with a new top if a score exceeds the former by LAZY bits. Sets
   scale to 2^(former top − top). Lane l sees the keys first[l] to last[l] of the block, or all of them if `masked` is 0. */
INLINE void weigh(const attention *a, scratch *s, part *p, long keys, const ints *first, const ints *last, floats *scale,
                  int vectors, int masked, int way) {
    const float LAZY = 8; /* weights are at most 2^LAZY: sums are then rarely rescaled */
    const int converted = a->softcap != 0 || !(a->scaling > 0);
    const float unit = 1.44269504088896341f * (converted ? 1 : a->scaling); /* from numbers in `score` to bits */
    floats most[VECTORS], weights[VECTORS] = {};
    UNROLLED (int v = 0; v < vectors; v++) most[v] = all(-FLT_MAX);
    for (long k = 0; k < keys; k++)
        UNROLLED (int v = 0; v < vectors; v++) {
            floats score = score_of(s, k, v);
            if (converted) {
                score *= a->scaling;
                if (a->softcap != 0) score = tanh_f(score / a->softcap) * a->softcap;
                memcpy(s->score[k] + v * LANES, &score, sizeof score);
            }
            if (masked) score = either((first[v] <= (int32_t)k) & (last[v] >= (int32_t)k), score, all(-FLT_MAX));
            most[v] = greater(most[v], score);
        }
    UNROLLED (int v = 0; v < vectors; v++) {
        floats top = p->top[v];
        most[v] *= unit;
        p->top[v] = either(most[v] > top + LAZY, most[v], top);
        scale[v] = exp2_f(top - p->top[v]);
    }
    for (long k = 0; k < keys; k += 2)
        UNROLLED (int v = 0; v < vectors; v++) {
            floats weight[2] = {};
            UNROLLED (int i = 0; i < 2; i++) {
                if (k + i >= keys) break;
                weight[i] = exp2_f(score_of(s, k + i, v) * unit - p->top[v]);
                if (masked) weight[i] = (floats)((first[v] <= (int32_t)(k + i)) & (last[v] >= (int32_t)(k + i)) & (ints)weight[i]);
                weights[v] += weight[i];
                if (way != IN_TILES) memcpy(s->score[k + i] + v * LANES, &weight[i], sizeof weight[i]);
            }
#if TILES
            if (way == IN_TILES) split(weight[0], weight[1], s, k / 2, v);
#endif
        }
#if TILES
    if (way == IN_TILES)
        for (long k = (keys + 1) / 2; k % 16; k++)
            for (int i = 0; i < SUMMANDS; i++) memset(s->weight[i][k], 0, sizeof s->weight[i][k]);
#endif
    UNROLLED (int v = 0; v < vectors; v++) p->total[v] = p->total[v] * scale[v] + weights[v];
}

/* One block of keys for one part: scores, their weights, and the weighted values. */
INLINE void attend_block(const attention *a, scratch *s, part *p, const block *b, long keys, const ints *first, const ints *last,
                         int vectors, int masked, int way) {
    floats scale[VECTORS];
#if TILES
    if (way == IN_TILES) {
        scores_by_tiles(b, p, s->score, keys, a->width, vectors);
        weigh(a, s, p, keys, first, last, scale, vectors, masked, way);
        values_by_tiles(s, p, scale, keys, a->value_width, vectors);
        return;
    }
#endif
    for (long k = 0; k < keys; k += STEP)
#ifdef __AVX512BF16__
        if (way == PAIRS)
            rows_by_lanes_b((const bf16 *const *)b->key + k, (const uint32_t(*)[QUERIES])p->query, s->score + k, a->width, vectors);
        else
#endif
            OF_VECTORS(rows_by_lanes, (const float *const *)b->key + k, (const float(*)[QUERIES])p->query, s->score + k, a->width);
    weigh(a, s, p, keys, first, last, scale, vectors, masked, way);
    for (long i = 0; i < a->value_width; i += STEP)
        OF_VECTORS(columns_by_lanes, b->value, i, (const float(*)[QUERIES])s->score, scale, p->out + i, keys);
}

/* The same with a constant number of vectors, so that their sums are kept in registers. */
#define ATTEND_BLOCK(name, way)                                                                                            \
    static void name(const attention *a, scratch *s, part *p, const block *b, long keys, const ints *first,                \
                     const ints *last, int masked) {                                                                       \
        switch (2 * p->vectors + masked) {                                                                                 \
        case 2: attend_block(a, s, p, b, keys, first, last, 1, 0, way); break;                                             \
        case 3: attend_block(a, s, p, b, keys, first, last, 1, 1, way); break;                                             \
        case 4: attend_block(a, s, p, b, keys, first, last, 2, 0, way); break;                                             \
        case 5: attend_block(a, s, p, b, keys, first, last, 2, 1, way); break;                                             \
        case 6: attend_block(a, s, p, b, keys, first, last, 3, 0, way); break;                                             \
        default: attend_block(a, s, p, b, keys, first, last, 3, 1, way);                                                   \
        }                                                                                                                  \
    }

ATTEND_BLOCK(attend_floats, FLOATS)
#ifdef __AVX512BF16__
ATTEND_BLOCK(attend_pairs, PAIRS)
#endif
#if TILES
ATTEND_BLOCK(attend_tiles, IN_TILES)
#endif

static void attend_part(const attention *a, scratch *s, part *p, const block *b, int way) {
    long highest = p->depth[0], lowest = p->depth[p->count - 1];
    if (lowest < b->base || (a->window && highest - a->window >= b->base + b->keys - 1)) return; /* sees none of them */
    long keys = lowest + 1 - b->base < b->keys ? lowest + 1 - b->base : b->keys;
    ints first[VECTORS], last[VECTORS];
    for (int v = 0; v < p->vectors; v++) {
        memcpy(&last[v], p->depth + v * LANES, sizeof last[v]);
        last[v] -= (int32_t)b->base;
        first[v] = a->window ? last[v] - (int32_t)(a->window - 1) : (ints){};
    }
    int masked = highest < b->base + keys - 1 || (a->window && lowest - a->window + 1 > b->base);
#if TILES
    if (way == IN_TILES) return attend_tiles(a, s, p, b, keys, first, last, masked);
#endif
#ifdef __AVX512BF16__
    if (way == PAIRS) return attend_pairs(a, s, p, b, keys, first, last, masked);
#endif
    (void)way;
    attend_floats(a, s, p, b, keys, first, last, masked);
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

#if TILES
/* Whether 16 keys are at equal distances, so that a tile is loaded in place. */
INLINE int is_even(const void *const *key, long distance) {
    for (int i = 1; i < 16; i++)
        if ((const char *)key[i] - (const char *)key[i - 1] != distance) return 0;
    return 1;
}

/* The keys of a block as tiles, in place or copied, and its values by columns; zeros beyond the last. */
static void pack_tiles(const attention *a, scratch *s, block *b, const void *const *value) {
    const long distance = a->groups * a->width * sizeof(bf16), width = (a->width + 31) / 32 * 32;
    for (long k = 0; k < b->keys; k += 16) {
        if (b->keys - k >= 16 && a->width == width && is_even(b->key + k, distance)) {
            b->tile[k / 16] = b->key[k], b->stride[k / 16] = distance;
            continue;
        }
        b->tile[k / 16] = s->tile_key[k], b->stride[k / 16] = sizeof *s->tile_key;
        memset(s->tile_key[k], 0, 16 * sizeof *s->tile_key);
        for (long i = k; i < k + 16 && i < b->keys; i++) memcpy(s->tile_key[i], b->key[i], a->width * sizeof(bf16));
    }
    for (long k = 0; k < b->keys; k += 32)
        for (long i = 0; i < a->value_width; i += 16) {
            __mmask16 some = a->value_width - i < 16 ? 0xff : 0xffff; /* widths are multiples of 8 */
            __m512i pair[16];
            for (int j = 0; j < 16; j++) {
                long even = k + 2 * j;
                __m256i first = {}, second = {};
                if (even < b->keys) first = _mm256_maskz_loadu_epi16(some, (const bf16 *)value[even] + i);
                if (even + 1 < b->keys) second = _mm256_maskz_loadu_epi16(some, (const bf16 *)value[even + 1] + i);
                pair[j] = _mm512_or_si512(_mm512_cvtepu16_epi32(first), _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
            }
            transpose((const floats *)pair, (float *)s->column[i / 16][k / 32], 16);
        }
    barrier();
}
#endif

/* The number or the row at this index of an array of float32, or of bfloat16. */
INLINE const void *at(const void *array, long index, int way) { return (const char *)array + index * (way == FLOATS ? 4 : 2); }

INLINE const float *copied(const void *from, float *into, long count, int way) {
    for (long i = 0; i < count; i += LANES) {
        floats x = way == FLOATS ? load_f((const float *)from + i, count - i) : load_b((const bf16 *)from + i, count - i);
        memcpy(into + i, &x, sizeof x);
    }
    return into;
}

/* Read one block of keys and values, in the form that `way` takes. Values are copied if several vectors read them. */
static void read_block(const attention *a, scratch *s, const tile *t, long group, block *b, int several, int way) {
    const void *value[BLOCK];
    for (long k = 0; k < b->keys; k++) {
        long d = b->base + k, slot = d < t->fars ? a->slots[t->far + d] : a->slots[t->near + d - t->fars];
        const void *key = at(a->key, (slot * a->groups + group) * a->width, way);
        value[k] = at(a->value, (slot * a->groups + group) * a->value_width, way);
        b->key[k] = way == WIDENED ? copied(key, s->key[k], a->width, way) : key;
        if (way == IN_TILES) continue;
        b->value[k] = way == FLOATS && !several ? value[k] : copied(value[k], s->value[k], a->value_width, way);
    }
    for (long k = b->keys; k % STEP; k++) b->key[k] = b->key[b->keys - 1];
#if TILES
    if (way == IN_TILES) pack_tiles(a, s, b, value);
#endif
}

/* Set up a part: its queries as rows of numbers, or of pairs, with a query in each lane. */
static void start(const attention *a, part *p, const tile *t, long group, int way) {
    const long share = a->heads / a->groups, words = way == FLOATS || way == WIDENED ? a->width : (a->width + 1) / 2;
    p->vectors = (p->count + LANES - 1) / LANES;
    for (long v = 0; v < p->vectors; v++) {
        const void *query[LANES];
        for (long lane = 0; lane < LANES; lane++) {
            long i = p->first + (v * LANES + lane < p->count ? v * LANES + lane : p->count - 1);
            p->depth[v * LANES + lane] = t->depth + i / share;
            query[lane] = at(a->query, (t->row + i / share) * a->query_row + (group * share + i % share) * a->query_head, way);
        }
        for (long w = 0; w < words; w += LANES) {
            floats row[LANES] = {};
            for (int lane = 0; lane < LANES; lane++) {
                if (way == FLOATS) row[lane] = load_f((const float *)query[lane] + w, a->width - w);
                else if (way == WIDENED) row[lane] = load_b((const bf16 *)query[lane] + w, a->width - w);
                else memcpy(&row[lane], (const bf16 *)query[lane] + 2 * w, words - w < LANES ? 2 * (a->width - 2 * w) : 4 * LANES);
            }
            transpose(row, p->query[w] + v * LANES, QUERIES);
        }
    }
    for (int v = 0; v < VECTORS; v++) p->top[v] = all(-FLT_MAX), p->total[v] = (floats){};
    memset(p->out, 0, (a->value_width + LANES - 1) / LANES * LANES * sizeof *p->out);
}

/* Write the results of a part. */
static void finish(const attention *a, const part *p, const tile *t, long group, int way) {
    const long share = a->heads / a->groups;
    for (long v = 0; v < p->vectors; v++) {
        float total[LANES], top[LANES], out[LANES][LANES];
        void *to[LANES];
        long lanes = p->count - v * LANES < LANES ? p->count - v * LANES : LANES;
        memcpy(total, &p->total[v], sizeof total);
        memcpy(top, &p->top[v], sizeof top);
        for (long lane = 0; lane < lanes; lane++) {
            long i = p->first + v * LANES + lane, of = (t->row + i / share) * a->heads + group * share + i % share;
            a->logsumexp[of] = top[lane] * 0.6931471805599453 + log(total[lane]); /* in double precision */
            to[lane] = (void *)at(a->out, of * a->value_width, way);
        }
        for (long d = 0; d < a->value_width; d += LANES) {
            floats column[LANES];
            for (int i = 0; i < LANES; i++) {
                memcpy(&column[i], p->out[d + i] + v * LANES, sizeof column[i]);
                column[i] /= p->total[v];
            }
            transpose(column, out[0], LANES);
            for (long lane = 0; lane < lanes; lane++) {
                if (way == FLOATS) store_f((float *)to[lane] + d, load_f(out[lane], LANES), a->value_width - d);
                else store_b((bf16 *)to[lane] + d, load_f(out[lane], LANES), a->value_width - d);
            }
        }
    }
}

/* The queries of one task: lanes `first` to `first + count` of a tile, in one group of heads. */
static void attend(const attention *a, scratch *s, const tile *t, long group, long first, long count, int way) {
    long share = a->heads / a->groups, parts = (count + QUERIES - 1) / QUERIES;
    for (long i = 0; i < parts; i++) {
        s->parts[i].first = first + i * QUERIES;
        s->parts[i].count = count - i * QUERIES < QUERIES ? count - i * QUERIES : QUERIES;
        start(a, s->parts + i, t, group, way);
    }
    long depth = t->depth + first / share, stop = t->depth + (first + count - 1) / share + 1;
    long base = a->window && depth >= a->window ? (depth - a->window + 1) / BLOCK * BLOCK : 0;
    for (; base < stop; base += BLOCK) {
        block b = {.base = base, .keys = stop - base < BLOCK ? stop - base : BLOCK};
        read_block(a, s, t, group, &b, count > LANES, way);
        for (long i = 0; i < parts; i++) attend_part(a, s, s->parts + i, &b, way);
    }
    for (long i = 0; i < parts; i++) finish(a, s->parts + i, t, group, way);
}

static int attend_all(const attention *a, int way) {
    int failed = 0;
#pragma omp parallel num_threads(a->threads) if (a->threads > 1) reduction(| : failed)
    {
        scratch *s = own_scratch();
        failed = !s;
#if TILES
        if (way == IN_TILES) set_up_tiles();
#endif
#pragma omp for schedule(dynamic)
        for (long i = 0; i < a->tasks * a->groups; i++) {
            const tile *t = a->tiles + a->task[2 * (i / a->groups)];
            long first = a->task[2 * (i / a->groups) + 1], left = t->rows * (a->heads / a->groups) - first;
            if (s) attend(a, s, t, i % a->groups, first, left < queries() ? left : queries(), way);
        }
#if TILES
        if (way == IN_TILES) _tile_release();
#endif
    }
    return failed;
}

int attention_f(const attention *a) { return attend_all(a, FLOATS); }

int attention_b(const attention *a) {
#if TILES
    if (tiles_allowed) return attend_all(a, IN_TILES);
#endif
#ifdef __AVX512BF16__
    if (a->width % 2 == 0) return attend_all(a, PAIRS);
#endif
    return attend_all(a, WIDENED);
}

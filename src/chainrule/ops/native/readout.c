/* Statistics of rows of logits. */

#include "vectors.h"

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

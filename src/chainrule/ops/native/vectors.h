/* Vectors of floats, included by every C file: loads and stores, in float32 and bfloat16, and functions of vectors.

   In all kernels every row, or every number, is computed independently and in one order: its bits do not depend on its
   neighbours or its thread. Vectors are padded with zeros at the end of a row, so that all numbers go through the same code.
   Contraction into fused multiply-adds is the compiler's choice, and the same for all lanes.

   Suffix f: float32. Suffix b: bfloat16 in memory, computed in float32 and rounded once, at the end. */

#pragma once

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX2__
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

#if defined __AVX512F__
typedef __m512 simd; /* `floats` for instructions that C has no operators for */
#define SIMD(name) _mm512_##name
#elif defined __AVX2__
typedef __m256 simd;
#define SIMD(name) _mm256_##name
#endif

#define INLINE static inline __attribute__((always_inline))
#define SHARE_OUT(schedule_) _Pragma(TEXT(omp parallel for schedule(schedule_) num_threads(threads) if (threads > 1)))
#define TEXT(...) #__VA_ARGS__
/* A loop of few, constant steps, whose arrays the compiler then keeps in registers. It does not always unroll them itself. */
#define UNROLLED _Pragma("GCC unroll 16") for

INLINE floats all(float x) { return (floats){} + x; }

/* The larger number of each lane; b where one is NaN. */
INLINE floats greater(floats a, floats b) {
#ifdef SIMD
    return (floats)SIMD(max_ps)((simd)a, (simd)b);
#else
    ints above = a > b;
    return (floats)((above & (ints)a) | (~above & (ints)b));
#endif
}

INLINE floats less(floats a, floats b) {
#ifdef SIMD
    return (floats)SIMD(min_ps)((simd)a, (simd)b);
#else
    ints below = a < b;
    return (floats)((below & (ints)a) | (~below & (ints)b));
#endif
}

/* max(bound, x) and min(bound, x); NaN if x is NaN. */
INLINE floats at_least(float bound, floats x) { return greater(all(bound), x); }
INLINE floats at_most(float bound, floats x) { return less(all(bound), x); }

INLINE float sum(floats x) {
    float lane[LANES];
    memcpy(lane, &x, sizeof lane);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

/* Load or store the first `left` numbers at p, at most LANES. Partial vectors are rare, so they are handled outside the
   full-vector fast path. */
#define PART static __attribute__((noinline, unused))

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

/* A vector that is kept in a register. The compiler would load it again for each use. */
INLINE floats loaded_once(const float *p) {
    floats x = load_f(p, LANES);
    __asm__("" : "+v"(x));
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
#if LANES == 8
    __m256i each = (__m256i)rounded;
    return (halves)_mm_packus_epi32(_mm256_castsi256_si128(each), _mm256_extracti128_si256(each, 1));
#else
    return __builtin_convertvector(rounded, halves);
#endif
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

/* 2ˣ for x ≤ 127, within 1.5 units in the last place; 2⁻¹²⁶ below −126, so that no weight is denormal. Exact for integers. */
INLINE floats exp2_f(floats x) {
    x = at_least(-126.f, x);
    floats n = (x + 12582912.f) - 12582912.f, r = x - n; /* n: rounded to an integer */
    floats p = all(1.5353361960e-4f);
    p = p * r + 1.3398873853e-3f;
    p = p * r + 9.6184369178e-3f;
    p = p * r + 5.5503323674e-2f;
    p = p * r + 2.4022647738e-1f;
    p = p * r + 6.9314718246e-1f;
    p = p * r + 1.f;
#ifdef __AVX512F__
    return (floats)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    return p * (floats)((__builtin_convertvector(n, ints) + 127) << 23);
#endif
}

/* to[i][j] = from[j][i], LANES × LANES, by rows of `stride` numbers. */
INLINE void transpose(const floats *from, float *to, long stride) {
#ifdef SIMD
    simd a[LANES], b[LANES];
    UNROLLED (int i = 0; i < LANES; i += 2) { /* 2 × 2, in each 128 bits */
        a[i] = SIMD(unpacklo_ps)((simd)from[i], (simd)from[i + 1]);
        a[i + 1] = SIMD(unpackhi_ps)((simd)from[i], (simd)from[i + 1]);
    }
    UNROLLED (int i = 0; i < LANES; i += 4) { /* 4 × 4: 128 bits c of b[4 r + i] are column 4 c + i of the rows 4 r to 4 r + 3 */
        b[i] = SIMD(shuffle_ps)(a[i], a[i + 2], 0x44);
        b[i + 1] = SIMD(shuffle_ps)(a[i], a[i + 2], 0xee);
        b[i + 2] = SIMD(shuffle_ps)(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = SIMD(shuffle_ps)(a[i + 1], a[i + 3], 0xee);
    }
#endif
#if defined __AVX512F__
    for (int i = 0; i < 4; i++) {
        for (int odd = 0; odd < 2; odd++) {
            __m512 low = odd ? _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd) : _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
            __m512 high = odd ? _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd) : _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
            _mm512_storeu_ps(to + (i + 4 * odd) * stride, _mm512_shuffle_f32x4(low, high, 0x88));
            _mm512_storeu_ps(to + (i + 4 * odd + 8) * stride, _mm512_shuffle_f32x4(low, high, 0xdd));
        }
    }
#elif defined __AVX2__
    UNROLLED (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * stride, _mm256_permute2f128_ps(b[i], b[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * stride, _mm256_permute2f128_ps(b[i], b[i + 4], 0x31));
    }
#else
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < LANES; j++) to[i * stride + j] = from[j][i];
#endif
}

/* Norms and gates: operations that take one pass over memory. */

#include "vectors.h"

/* The number of lanes of a vector. The caller decides by it which kernels are faster than PyTorch's. */
int lanes(void) { return LANES; }

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

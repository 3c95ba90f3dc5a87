/* Reals to codes and back, in plain C for every pair of types.
 *
 *     code = clip(rint(x / scale), qmin - zero_point, qmax - zero_point) + zero_point
 *     real = scale * (code - zero_point)
 *
 * Clipping comes first here: the bounds are integers, so it commutes with rounding, and what is
 * left is so small that adding and subtracting 1.5 * 2**(mantissa bits) rounds half to even
 * exactly. That needs no call of rint and vectorizes on every processor. */
#include "kernels.h"

#define ROUND_float  12582912.0f
#define ROUND_double 6755399441055744.0

/* The steps from the zero point, rounded and saturated; 0 for NaN. */
#define DEFINE_STEPS(real)                                                                         \
    QL_INLINE int32_t steps_##real(real x, real scale, real low, real high) {                      \
        real steps = x / scale;                                                                    \
        steps = steps == steps ? steps : 0;                                                        \
        steps = steps > low ? steps : low;                                                         \
        steps = steps < high ? steps : high;                                                       \
        return (int32_t)((steps + ROUND_##real) - ROUND_##real);                                   \
    }

DEFINE_STEPS(float)
DEFINE_STEPS(double)

#define DEFINE_QUANTIZE(real, code)                                                                \
    void ql_portable_quantize_##real##_##code(const void *x_, void *codes_, int64_t count,         \
                                              const void *scale_, const int32_t *zero_point,       \
                                              int step, int32_t qmin, int32_t qmax) {              \
        const real *restrict x = x_;                                                               \
        const real *restrict scale = scale_;                                                       \
        code##_t *restrict codes = codes_;                                                         \
        if (step) {                                                                                \
            for (int64_t i = 0; i < count; i++) {                                                  \
                int32_t zero = zero_point[i];                                                      \
                real low = (real)(qmin - zero), high = (real)(qmax - zero);                        \
                codes[i] = (code##_t)(steps_##real(x[i], scale[i], low, high) + zero);             \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        const int32_t zero = zero_point[0];                                                        \
        const real one = scale[0], low = (real)(qmin - zero), high = (real)(qmax - zero);          \
        for (int64_t i = 0; i < count; i++)                                                        \
            codes[i] = (code##_t)(steps_##real(x[i], one, low, high) + zero);                      \
    }

DEFINE_QUANTIZE(float, int8)
DEFINE_QUANTIZE(float, uint8)
DEFINE_QUANTIZE(float, int16)
DEFINE_QUANTIZE(float, uint16)
DEFINE_QUANTIZE(double, int8)
DEFINE_QUANTIZE(double, uint8)
DEFINE_QUANTIZE(double, int16)
DEFINE_QUANTIZE(double, uint16)

#define DEFINE_FAKE_QUANTIZE(real)                                                                 \
    void ql_portable_fake_quantize_##real(const void *x_, void *y_, int64_t count,                 \
                                          const void *scale_, const int32_t *zero_point, int step, \
                                          int32_t qmin, int32_t qmax) {                            \
        const real *restrict x = x_;                                                               \
        const real *restrict scale = scale_;                                                       \
        real *restrict y = y_;                                                                     \
        for (int64_t i = 0; i < count; i++) {                                                      \
            int32_t zero = zero_point[step ? i : 0];                                               \
            real one = scale[step ? i : 0];                                                        \
            y[i] = one * (real)steps_##real(x[i], one, (real)(qmin - zero), (real)(qmax - zero));  \
        }                                                                                          \
    }

DEFINE_FAKE_QUANTIZE(float)
DEFINE_FAKE_QUANTIZE(double)

/* The difference is taken modulo 2**32 and is exact: only int32 codes, whose zero point is 0,
 * reach the ends of the range. */
#define DEFINE_DEQUANTIZE(real, code)                                                              \
    void ql_portable_dequantize_##code##_##real(const void *codes_, void *x_, int64_t count,       \
                                                const void *scale_, const int32_t *zero_point,     \
                                                int step) {                                        \
        const code##_t *restrict codes = codes_;                                                   \
        const real *restrict scale = scale_;                                                       \
        real *restrict x = x_;                                                                     \
        if (step) {                                                                                \
            for (int64_t i = 0; i < count; i++)                                                    \
                x[i] = (real)((int32_t)codes[i] - zero_point[i]) * scale[i];                       \
            return;                                                                                \
        }                                                                                          \
        const int32_t zero = zero_point[0];                                                        \
        const real one = scale[0];                                                                 \
        for (int64_t i = 0; i < count; i++)                                                        \
            x[i] = (real)((int32_t)codes[i] - zero) * one;                                         \
    }

DEFINE_DEQUANTIZE(float, int8)
DEFINE_DEQUANTIZE(float, uint8)
DEFINE_DEQUANTIZE(float, int16)
DEFINE_DEQUANTIZE(float, uint16)
DEFINE_DEQUANTIZE(float, int32)
DEFINE_DEQUANTIZE(double, int8)
DEFINE_DEQUANTIZE(double, uint8)
DEFINE_DEQUANTIZE(double, int16)
DEFINE_DEQUANTIZE(double, uint16)
DEFINE_DEQUANTIZE(double, int32)

/* Eight independent pairs, so that the comparisons of neighbours do not wait for each other. NaN
 * compares false and is looked for beside them. */
#define DEFINE_MIN_MAX(real)                                                                       \
    static void min_max_one_##real(const real *restrict x, int64_t count, real *lo, real *hi) {    \
        real low[8], high[8];                                                                      \
        int not_a_number = *lo != *lo;                                                             \
        for (int lane = 0; lane < 8; lane++) {                                                     \
            low[lane] = *lo;                                                                       \
            high[lane] = *hi;                                                                      \
        }                                                                                          \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= count; i += 8)                                                             \
            for (int lane = 0; lane < 8; lane++) {                                                 \
                real value = x[i + lane];                                                          \
                low[lane] = value < low[lane] ? value : low[lane];                                 \
                high[lane] = value > high[lane] ? value : high[lane];                              \
                not_a_number |= value != value;                                                    \
            }                                                                                      \
        for (; i < count; i++) {                                                                   \
            low[0] = x[i] < low[0] ? x[i] : low[0];                                                \
            high[0] = x[i] > high[0] ? x[i] : high[0];                                             \
            not_a_number |= x[i] != x[i];                                                          \
        }                                                                                          \
        for (int lane = 1; lane < 8; lane++) {                                                     \
            low[0] = low[lane] < low[0] ? low[lane] : low[0];                                      \
            high[0] = high[lane] > high[0] ? high[lane] : high[0];                                 \
        }                                                                                          \
        *lo = not_a_number ? (real)NAN : low[0];                                                   \
        *hi = not_a_number ? (real)NAN : high[0];                                                  \
    }                                                                                              \
    void ql_portable_min_max_##real(const void *x_, int64_t count, void *lo_, void *hi_,           \
                                    int step) {                                                    \
        const real *restrict x = x_;                                                               \
        real *restrict lo = lo_;                                                                   \
        real *restrict hi = hi_;                                                                   \
        if (!step) {                                                                               \
            min_max_one_##real(x, count, lo, hi);                                                  \
            return;                                                                                \
        }                                                                                          \
        for (int64_t i = 0; i < count; i++) {                                                      \
            lo[i] = x[i] < lo[i] || x[i] != x[i] ? x[i] : lo[i];                                   \
            hi[i] = x[i] > hi[i] || x[i] != x[i] ? x[i] : hi[i];                                   \
        }                                                                                          \
    }

DEFINE_MIN_MAX(float)
DEFINE_MIN_MAX(double)

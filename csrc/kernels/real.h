/* Layers of float32 that stand between products, written for compilers to vectorize: each
 * instruction set compiles them between its target marks, under its own names. No intrinsics, and
 * no function of the C library: exponential, logarithm and error function are polynomials, so that
 * all sets return the same bits.
 *
 * exp(x) = 2**n * exp(r) with n = rint(x / ln 2) and r = x - n * ln 2, |r| < 0.35: ln 2 is held in
 * two parts, the polynomial in r is Cephes's, of degree 7. Error below 2 units in the last place;
 * 0 below -87.3 and infinity above 88.3, which is as near as float32 needs here.
 * log(s) = e * ln 2 + log(m) with m from sqrt(1/2) to sqrt(2): Cephes's polynomial in m - 1.
 * s**-0.25 is first guessed from the bits of s, as a power of 2 whose exponent is the line through
 * those of the powers of 2; two terms of the series of (1 - h)**-0.25, with h = 1 - s * r**4 for a
 * guess r, bring an error of 0.1 to 2e-3 and then to 1e-8.
 * 1 - erf(z) = (a1 t + ... + a5 t**5) * exp(-z * z) with t = 1 / (1 + p z), for z >= 0: Abramowitz
 * and Stegun, 7.1.26, with an error below 1.5e-7.
 *
 * Elements are worked on in stretches in an array of their own, so that y may be x. Sums have
 * QL_LANE_SUMS terms that wait for no other, and are added up by halves. */
#ifndef QL_KERNELS_REAL_H
#define QL_KERNELS_REAL_H

#include <math.h>

#include "../core.h"
#include "target.h"

enum { QL_LANE_SUMS = 16 };

QL_INLINE float ql_exponential(float x) {
    const float least = -87.3f, most = 88.3f, magic = 12582912.0f; /* 1.5 * 2**23: rounds */
    float kept = x < least ? least : x;
    kept = kept > most ? most : kept;
    const float shifted = kept * 1.44269504f + magic;
    const float whole = shifted - magic;
    float rest = kept - whole * 0.693359375f;
    rest = rest - whole * -2.12194440e-4f;
    float sum = 1.9875691500e-4f;
    sum = sum * rest + 1.3981999507e-3f;
    sum = sum * rest + 8.3334519073e-3f;
    sum = sum * rest + 4.1665795894e-2f;
    sum = sum * rest + 1.6666665459e-1f;
    sum = sum * rest + 5.0000001201e-1f;
    sum = sum * rest * rest + rest + 1.0f;
    uint32_t bits; /* n in its lowest ones */
    float power;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    memcpy(&power, &bits, sizeof power);
    const float above = x > most ? INFINITY : sum * power;
    return x < least ? 0.0f : above;
}

/* Of normal numbers above 0. */
QL_INLINE float ql_logarithm(float s) {
    const uint32_t root_half = 0x3f3504f3;
    uint32_t bits;
    memcpy(&bits, &s, sizeof bits);
    const int32_t exponent = (int32_t)(bits - root_half) >> 23;
    bits -= (uint32_t)exponent << 23;
    float m;
    memcpy(&m, &bits, sizeof m);
    m -= 1.0f;
    float sum = 7.0376836292e-2f;
    sum = sum * m - 1.1514610310e-1f;
    sum = sum * m + 1.1676998740e-1f;
    sum = sum * m - 1.2420140846e-1f;
    sum = sum * m + 1.4249322787e-1f;
    sum = sum * m - 1.6668057665e-1f;
    sum = sum * m + 2.0000714765e-1f;
    sum = sum * m - 2.4999993993e-1f;
    sum = sum * m + 3.3333331174e-1f;
    const float square = m * m;
    sum = sum * m * square - 0.5f * square;
    return (float)exponent * 0.693147181f + (m + sum);
}

/* s**-0.75 of normal numbers above 0. */
QL_INLINE float ql_minus_three_quarters(float s) {
    uint32_t bits;
    float root;
    memcpy(&bits, &s, sizeof bits);
    bits = 0x4f580000 - (bits >> 2);
    memcpy(&root, &bits, sizeof root);
    for (int step = 0; step < 2; step++) {
        const float square = root * root;
        const float rest = 1.0f - square * s * square;
        root += root * ((rest * 0.15625f + 0.25f) * rest);
    }
    return root * root * root;
}

/* 1 - erf(z) for z >= 0. */
QL_INLINE float ql_error_beyond(float z) {
    const float t = 1.0f / (1.0f + 0.3275911f * z);
    float sum = 1.061405429f;
    sum = sum * t - 1.453152027f;
    sum = sum * t + 1.421413741f;
    sum = sum * t - 0.284496736f;
    sum = sum * t + 0.254829592f;
    return sum * t * ql_exponential(-z * z);
}

QL_INLINE float ql_erf_of(float x) {
    const float y = 1.0f - ql_error_beyond(fabsf(x));
    return copysignf(y, x);
}

QL_INLINE float ql_gelu_of(float x) {
    const float beyond = 0.5f * ql_error_beyond(fabsf(x) * 0.707106781f);
    return x * (x < 0 ? beyond : 1.0f - beyond);
}

/* x * (1 + tanh(u)) / 2 = x / (1 + exp(-2 * u)) with u = sqrt(2 / pi) * (x + 0.044715 * x**3). */
QL_INLINE float ql_gelu_tanh_of(float x) {
    const float u = x * (1.0f + 0.044715f * x * x) * -1.59576912f;
    return x / (1.0f + ql_exponential(u));
}

QL_INLINE float ql_sigmoid_of(float x) {
    return 1.0f / (1.0f + ql_exponential(-x));
}

QL_INLINE float ql_sum_by_halves(float *sums) {
    for (int half = QL_LANE_SUMS / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

#define QL_DEFINE_ACTIVATION(name, function)                                                       \
    QL_INLINE void name##_stretch(const float *x, float *y, int size) {                            \
        float part[QL_PIECE];                                                                      \
        memcpy(part, x, size * sizeof *x);                                                         \
        for (int i = 0; i < size; i++)                                                             \
            part[i] = function(part[i]);                                                           \
        memcpy(y, part, size * sizeof *y);                                                         \
    }                                                                                              \
    void name(const float *x, float *y, int64_t count) {                                           \
        int64_t i = 0;                                                                             \
        for (; i + QL_PIECE <= count; i += QL_PIECE)                                               \
            name##_stretch(x + i, y + i, QL_PIECE);                                                \
        if (i < count)                                                                             \
            name##_stretch(x + i, y + i, (int)(count - i));                                        \
    }

/* Accumulates `term` of i over `count` elements into sums[QL_LANE_SUMS]. */
#define QL_ACCUMULATE(sums, count, term)                                                           \
    do {                                                                                           \
        int64_t first = 0;                                                                         \
        for (; first + QL_LANE_SUMS <= (count); first += QL_LANE_SUMS)                             \
            for (int lane = 0; lane < QL_LANE_SUMS; lane++) {                                      \
                const int64_t i = first + lane;                                                    \
                (sums)[lane] += term;                                                              \
            }                                                                                      \
        for (int64_t i = first; i < (count); i++)                                                  \
            (sums)[i - first] += term;                                                             \
    } while (0)

/* y = exp(x - max x) / sum of these. */
#define QL_DEFINE_REAL_SOFTMAX(name)                                                               \
    QL_INLINE void name##_stretch(const float *x, float *y, int size, float most, float *sums) {   \
        float part[QL_PIECE];                                                                      \
        memcpy(part, x, size * sizeof *x);                                                         \
        for (int i = 0; i < size; i++)                                                             \
            part[i] = ql_exponential(part[i] - most);                                              \
        QL_ACCUMULATE(sums, size, part[i]);                                                        \
        memcpy(y, part, size * sizeof *y);                                                         \
    }                                                                                              \
    void name(const float *x, float *y, int64_t count) {                                           \
        float most[QL_LANE_SUMS], sums[QL_LANE_SUMS] = {0}, part[QL_PIECE];                        \
        int64_t i = 0;                                                                             \
        for (int lane = 0; lane < QL_LANE_SUMS; lane++)                                            \
            most[lane] = -INFINITY;                                                                \
        for (; i + QL_LANE_SUMS <= count; i += QL_LANE_SUMS)                                       \
            for (int lane = 0; lane < QL_LANE_SUMS; lane++)                                        \
                most[lane] = x[i + lane] > most[lane] ? x[i + lane] : most[lane];                  \
        for (; i < count; i++)                                                                     \
            most[0] = x[i] > most[0] ? x[i] : most[0];                                             \
        for (int lane = 1; lane < QL_LANE_SUMS; lane++)                                            \
            most[0] = most[lane] > most[0] ? most[lane] : most[0];                                 \
        for (i = 0; i + QL_PIECE <= count; i += QL_PIECE)                                          \
            name##_stretch(x + i, y + i, QL_PIECE, most[0], sums);                                 \
        if (i < count)                                                                             \
            name##_stretch(x + i, y + i, (int)(count - i), most[0], sums);                         \
        const float factor = 1.0f / ql_sum_by_halves(sums);                                        \
        for (i = 0; i + QL_PIECE <= count; i += QL_PIECE) {                                        \
            memcpy(part, y + i, sizeof part);                                                      \
            for (int k = 0; k < QL_PIECE; k++)                                                     \
                part[k] *= factor;                                                                 \
            memcpy(y + i, part, sizeof part);                                                      \
        }                                                                                          \
        for (; i < count; i++)                                                                     \
            y[i] *= factor;                                                                        \
    }

/* y = (x - mean) / sqrt(variance + epsilon) * scale + bias. */
#define QL_DEFINE_LAYER_NORM(name)                                                                 \
    QL_INLINE void name##_stretch(const float *x, const float *scale, const float *bias, float *y, \
                                  int size, float mean, float factor) {                            \
        float part[QL_PIECE];                                                                      \
        memcpy(part, x, size * sizeof *x);                                                         \
        for (int i = 0; i < size; i++)                                                             \
            part[i] = (part[i] - mean) * factor * scale[i];                                        \
        if (bias != NULL)                                                                          \
            for (int i = 0; i < size; i++)                                                         \
                part[i] += bias[i];                                                                \
        memcpy(y, part, size * sizeof *y);                                                         \
    }                                                                                              \
    void name(const float *x, const float *scale, const float *bias, float *y, int64_t count,      \
              float epsilon) {                                                                     \
        float sums[QL_LANE_SUMS] = {0}, squares[QL_LANE_SUMS] = {0};                               \
        QL_ACCUMULATE(sums, count, x[i]);                                                          \
        const float mean = ql_sum_by_halves(sums) / (float)count;                                  \
        QL_ACCUMULATE(squares, count, (x[i] - mean) * (x[i] - mean));                              \
        const float variance = ql_sum_by_halves(squares) / (float)count;                           \
        const float factor = 1.0f / sqrtf(variance + epsilon);                                     \
        int64_t i = 0;                                                                             \
        for (; i + QL_PIECE <= count; i += QL_PIECE)                                               \
            name##_stretch(x + i, scale + i, bias != NULL ? bias + i : NULL, y + i, QL_PIECE,      \
                           mean, factor);                                                          \
        if (i < count)                                                                             \
            name##_stretch(x + i, scale + i, bias != NULL ? bias + i : NULL, y + i,                \
                           (int)(count - i), mean, factor);                                        \
    }

/* x *= (offset + factor * sum of the squares of a window)**-power; `squares` begins with the
 * window's part before the first element, which is 0 like that behind the last. */
#define QL_DEFINE_LOCAL_NORM(name)                                                                 \
    void name(float *restrict x, int64_t count, int64_t window, float factor, float offset,        \
              float power, float *restrict squares) {                                              \
        const int64_t before = (window - 1) / 2;                                                   \
        for (int64_t i = 0; i < count; i++)                                                        \
            squares[before + i] = x[i] * x[i];                                                     \
        for (int64_t first = 0; first < count; first += QL_PIECE) {                                \
            const float *from = squares + first;                                                   \
            float sums[QL_PIECE], *to = x + first;                                                 \
            for (int i = 0; i < QL_PIECE; i++)                                                     \
                sums[i] = from[i];                                                                 \
            for (int64_t k = 1; k < window; k++)                                                   \
                for (int i = 0; i < QL_PIECE; i++)                                                 \
                    sums[i] += from[i + k];                                                        \
            if (power == 0.75f)                                                                    \
                for (int i = 0; i < QL_PIECE; i++)                                                 \
                    to[i] *= ql_minus_three_quarters(sums[i] * factor + offset);                   \
            else                                                                                   \
                for (int i = 0; i < QL_PIECE; i++)                                                 \
                    to[i] *= ql_exponential(ql_logarithm(sums[i] * factor + offset) * -power);     \
        }                                                                                          \
    }

#define QL_DEFINE_REAL(set)                                                                        \
    QL_DEFINE_ACTIVATION(ql_##set##_erf, ql_erf_of)                                                \
    QL_DEFINE_ACTIVATION(ql_##set##_gelu, ql_gelu_of)                                              \
    QL_DEFINE_ACTIVATION(ql_##set##_gelu_tanh, ql_gelu_tanh_of)                                    \
    QL_DEFINE_ACTIVATION(ql_##set##_sigmoid, ql_sigmoid_of)                                        \
    QL_DEFINE_REAL_SOFTMAX(ql_##set##_real_softmax)                                                \
    QL_DEFINE_LAYER_NORM(ql_##set##_layer_norm)                                                    \
    QL_DEFINE_LOCAL_NORM(ql_##set##_local_norm)

#define QL_DECLARE_REAL(set)                                                                       \
    ql_activation_run ql_##set##_erf, ql_##set##_gelu, ql_##set##_gelu_tanh, ql_##set##_sigmoid,   \
        ql_##set##_real_softmax;                                                                   \
    ql_layer_norm_row ql_##set##_layer_norm;                                                       \
    ql_local_norm_row ql_##set##_local_norm

#define QL_REGISTER_REAL(kernels, set)                                                             \
    do {                                                                                           \
        (kernels)->activation[QL_ERF] = ql_##set##_erf;                                            \
        (kernels)->activation[QL_GELU] = ql_##set##_gelu;                                          \
        (kernels)->activation[QL_GELU_TANH] = ql_##set##_gelu_tanh;                                \
        (kernels)->activation[QL_SIGMOID] = ql_##set##_sigmoid;                                    \
        (kernels)->real_softmax = ql_##set##_real_softmax;                                         \
        (kernels)->layer_norm = ql_##set##_layer_norm;                                             \
        (kernels)->local_norm = ql_##set##_local_norm;                                             \
    } while (0)

#endif

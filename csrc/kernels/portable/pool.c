/* The largest and the sum of several bytes, and averages, in plain C. */
#include "kernels.h"

#define ROUND 12582912.0f

#define DEFINE_MAX(code)                                                                           \
    void ql_portable_max_##code(const uint8_t *x_, int64_t taps, int64_t tap_stride, uint8_t *y_,  \
                                int64_t count) {                                                   \
        const code##_t *x = (const code##_t *)x_;                                                  \
        code##_t *y = (code##_t *)y_;                                                              \
        for (int64_t i = 0; i < count; i++) {                                                      \
            code##_t largest = x[i];                                                               \
            for (int64_t t = 1; t < taps; t++)                                                     \
                largest = x[t * tap_stride + i] > largest ? x[t * tap_stride + i] : largest;       \
            y[i] = largest;                                                                        \
        }                                                                                          \
    }

DEFINE_MAX(uint8)
DEFINE_MAX(int8)

void ql_portable_sum(const uint8_t *restrict x, int64_t taps, int64_t tap_stride, uint8_t flip,
                     int32_t *restrict sums, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        sums[i] = x[i] ^ flip;
    for (int64_t t = 1; t < taps; t++)
        for (int64_t i = 0; i < count; i++)
            sums[i] += x[t * tap_stride + i] ^ flip;
}

int64_t ql_portable_total(const uint8_t *x, int64_t count, uint8_t flip) {
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += x[i] ^ flip;
    return sum;
}

/* Clipped before it is rounded, as in affine.c. */
void ql_portable_average(const int32_t *restrict sums, int64_t taps, int64_t tap_stride,
                         const ql_average *average, uint8_t *restrict y, int64_t count) {
    const ql_average m = *average;
    const float low = (float)-m.y_zero, high = (float)(255 - m.y_zero);
    for (int64_t i = 0; i < count; i++) {
        int32_t sum = -m.offset;
        for (int64_t t = 0; t < taps; t++)
            sum += sums[t * tap_stride + i];
        float steps = (float)sum * m.factor;
        steps = steps > low ? steps : low;
        steps = steps < high ? steps : high;
        y[i] = (uint8_t)((int32_t)((steps + ROUND) - ROUND) + m.y_zero) ^ m.y_flip;
    }
}

/* Depthwise convolution of neighbouring output pixels in plain C: see csrc/depthwise.c. */
#include "kernels.h"

void ql_portable_depthwise(int32_t *sums, int64_t count, int64_t pixels, int64_t taps,
                           const uint8_t *const *x, int64_t x_step, uint8_t flip,
                           int32_t zero_point, const int16_t *const *w) {
    memset(sums, 0, (size_t)(pixels * count) * sizeof *sums);
    for (int64_t pixel = 0; pixel < pixels; pixel++, sums += count)
        for (int64_t tap = 0; tap < taps; tap++) {
            const uint8_t *restrict codes = x[tap] + pixel * x_step;
            const int16_t *restrict weights = w[tap];
            int32_t *restrict sum = sums;
            for (int64_t c = 0; c < count; c++)
                sum[c] += ((int32_t)(codes[c] ^ flip) - zero_point) * weights[c];
        }
}

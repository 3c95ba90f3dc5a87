/* Depthwise convolution of one output pixel in plain C: see csrc/conv.c. */
#include "kernels.h"

void ql_portable_depthwise(int32_t *restrict sums, int64_t count, int64_t taps,
                           const uint8_t *const *x, uint8_t flip, int32_t zero_point,
                           const int16_t *const *w) {
    memset(sums, 0, (size_t)count * sizeof *sums);
    for (int64_t tap = 0; tap < taps; tap++) {
        const uint8_t *restrict codes = x[tap];
        const int16_t *restrict weights = w[tap];
        for (int64_t c = 0; c < count; c++)
            sums[c] += ((int32_t)(codes[c] ^ flip) - zero_point) * weights[c];
    }
}

/* Planes interleaved four by four, or pixel by pixel, in plain C: see csrc/planes.c. */
#include "kernels.h"

void ql_portable_interleave_planes(const uint8_t *x, int64_t plane, int64_t channels, int64_t step,
                                   int64_t count, uint8_t flip, uint8_t *to, int64_t group_step) {
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < count; i++)
            to[c / 4 * group_step + 4 * i + c % 4] = x[c * plane + i * step] ^ flip;
}

void ql_portable_collect_pixels(const uint8_t *x, int64_t plane, int64_t channels, int64_t count,
                                uint8_t flip, const int32_t *places, uint8_t *to, int64_t to_step) {
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < count; i++)
            to[c / QL_PART_BYTES * to_step + places[i] + c % QL_PART_BYTES] =
                x[c * plane + i] ^ flip;
}

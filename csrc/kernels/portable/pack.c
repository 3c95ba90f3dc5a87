/* Packing of a right operand in plain C, in groups of two rows: see csrc/pack.c. */
#include "kernels.h"

void ql_portable_pack_groups(const uint8_t *rows, int64_t stride, int64_t groups, int64_t strips,
                             uint8_t flip, int8_t *to, int64_t strip_stride, int32_t *sums) {
    for (int64_t group = 0; group < groups; group++, rows += 2 * stride)
        for (int64_t s = 0; s < strips; s++) {
            const uint8_t *restrict row = rows + s * QL_STRIP;
            int8_t *restrict packed = to + s * strip_stride + group * 2 * QL_STRIP;
            int32_t *restrict sum = sums + s * QL_STRIP;
            for (int j = 0; j < QL_STRIP; j++) {
                packed[2 * j] = (int8_t)(row[j] ^ flip);
                packed[2 * j + 1] = (int8_t)(row[j + stride] ^ flip);
                sum[j] += packed[2 * j] + packed[2 * j + 1];
            }
        }
}

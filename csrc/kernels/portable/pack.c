/* Packing of a right operand in plain C, row by row: see csrc/pack.c. */
#include "kernels.h"

void ql_portable_pack_groups(const uint8_t *rows, int64_t stride, int64_t groups, int64_t strips,
                             uint8_t flip, int8_t *to, int64_t strip_stride, int32_t *sums) {
    for (int64_t k = 0; k < groups; k++, rows += stride, to += QL_STRIP)
        for (int64_t s = 0; s < strips; s++) {
            const uint8_t *restrict row = rows + s * QL_STRIP;
            int8_t *restrict packed = to + s * strip_stride;
            int32_t *restrict sum = sums + s * QL_STRIP;
            for (int j = 0; j < QL_STRIP; j++) {
                packed[j] = (int8_t)(row[j] ^ flip);
                sum[j] += packed[j];
            }
        }
}

void ql_portable_pack_columns(const uint8_t *columns, int64_t stride, int64_t groups, uint8_t flip,
                              int8_t *to, int32_t *sums) {
    for (int64_t k = 0; k < groups; k++, to += QL_STRIP)
        for (int j = 0; j < QL_STRIP; j++) {
            to[j] = (int8_t)(columns[j * stride + k] ^ flip);
            sums[j] += to[j];
        }
}

/* Rows as they lie times a few columns, in plain C: see csrc/narrow.c.
 *
 *     sums[j][i] = start[j] + sum over k of (a[i][k] ^ flip) * b[j][k]
 *
 * Sums along contiguous bytes are what compilers vectorize. */
#include "kernels.h"

QL_INLINE uint32_t products(const uint8_t *restrict row, const int8_t *restrict column, int64_t k,
                            uint8_t flip) {
    uint32_t sum = 0;
    for (int64_t at = 0; at < k; at++)
        sum += (uint32_t)((int16_t)(row[at] ^ flip) * (int16_t)column[at]);
    return sum;
}

void ql_portable_narrow(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k, uint8_t flip,
                        const int8_t *b, int64_t b_stride, int64_t columns, const int32_t *start,
                        int32_t *sums, int64_t sums_stride) {
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++) {
            const uint8_t *row = a + i * a_stride;
            const int8_t *column = b + j * b_stride;
            const uint32_t sum =
                flip ? products(row, column, k, 0x80) : products(row, column, k, 0);
            sums[j * sums_stride + i] = (int32_t)((uint32_t)start[j] + sum);
        }
}

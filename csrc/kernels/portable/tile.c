/* A tile of a product in plain C: up to 4 rows by one strip of 16 columns.
 *
 *     c[i][j] = init[j] + sum over k of a[i][k] * b[k][j]
 *
 * The left operand is loaded as int16 (numbers 0 to 255), the right one packed as int8, [k][16],
 * and widened to int16 once for all rows: products of two int16 with sums in 32 bits are what
 * compilers vectorize everywhere. (Pairs, which pmaddwd would multiply and add, take GCC twice as
 * long.) Sums are unsigned, because they are meant modulo 2**32. */
#include "../tile.h"

#include "kernels.h"

QL_INLINE void tile(int rows, int64_t groups, const char *a, int64_t a_stride, const int8_t *b,
                    const int32_t *init, int32_t *c) {
    uint32_t sums[4][QL_STRIP];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < QL_STRIP; j++)
            sums[i][j] = (uint32_t)init[j];
    for (int64_t k = 0; k < groups; k++, a += 2, b += QL_STRIP) {
        int16_t wide[QL_STRIP];
        for (int j = 0; j < QL_STRIP; j++)
            wide[j] = b[j];
        for (int i = 0; i < rows; i++) {
            const int16_t element = *(const int16_t *)(a + i * a_stride);
            for (int j = 0; j < QL_STRIP; j++)
                sums[i][j] += (uint32_t)(element * wide[j]);
        }
    }
    for (int i = 0; i < rows; i++)
        memcpy(c + i * QL_TILE_COLUMNS, sums[i], sizeof sums[i]);
}

QL_DEFINE_TILE(portable, 1)
QL_DEFINE_TILE(portable, 2)
QL_DEFINE_TILE(portable, 3)
QL_DEFINE_TILE(portable, 4)

void ql_portable_load(void *row_, const uint8_t *restrict bytes, int64_t count, uint8_t flip) {
    int16_t *restrict row = row_;
    for (int64_t k = 0; k < count; k++)
        row[k] = (int16_t)(bytes[k] ^ flip);
}

int64_t ql_portable_sum_row(const void *row_, int64_t count) {
    const int16_t *row = row_;
    int64_t sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += row[k];
    return sum;
}

void ql_portable_correct(int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                         const int32_t *row_sum, const int32_t *b_zero_point,
                         const int32_t *a_zero_point, const int32_t *column_term) {
    for (int64_t i = 0; i < rows; i++) {
        const uint32_t row = (uint32_t)row_sum[i], za = (uint32_t)a_zero_point[i];
        int32_t *restrict sum = sums + i * sums_stride;
        for (int64_t j = 0; j < columns; j++)
            sum[j] = (int32_t)((uint32_t)sum[j] - row * (uint32_t)b_zero_point[j] -
                               za * (uint32_t)column_term[j]);
    }
}

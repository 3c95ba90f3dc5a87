/* Rows as they lie times a few columns, for NEON with dot products: see csrc/narrow.c.
 *
 *     sums[j][i] = start[j] + sum over k of (a[i][k] ^ flip) * b[j][k]
 *
 * sdot adds 16 products of signed bytes to 4 partial sums; those of four rows are added across. The
 * end of a row, up to 15 bytes, is copied and multiplied as a vector, whose other bytes meet zeros:
 * columns have them up to a multiple of QL_ALIGNMENT. Registers: 16 sums of four rows by four
 * columns, the columns, a row. Cost for 16 bytes of a row: a load and an eor, and for each column
 * an sdot and a quarter of a load. */
#include "../target.h"

#if QL_BUILDS_NEONDOT

#include "kernels.h"

QL_TARGET_BEGIN_NEONDOT

QL_INLINE int8x16_t load_flipped(const uint8_t *bytes, uint8x16_t flip_u8x16) {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(bytes), flip_u8x16));
}

/* The end of a row. */
QL_INLINE int8x16_t load_end(const uint8_t *bytes, int64_t count, uint8x16_t flip_u8x16) {
    uint8_t end[16] = {0};
    memcpy(end, bytes, (size_t)count);
    return load_flipped(end, flip_u8x16);
}

/* The products of 16 codes of each row and column. */
QL_INLINE void add_products(const int columns, const int8x16_t row_i8x16[4], const int8_t *b,
                            int64_t b_stride, int32x4_t sum_i32x4[4][4]) {
#pragma GCC unroll 4
    for (int j = 0; j < columns; j++) {
        const int8x16_t column_i8x16 = vld1q_s8(b + j * b_stride);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            sum_i32x4[j][i] = vdotq_s32(sum_i32x4[j][i], row_i8x16[i], column_i8x16);
    }
}

/* The sums of up to 4 rows and of so many columns; the last row counts for those that are missing.
 */
QL_INLINE void multiply(const int columns, const uint8_t *a, int64_t a_stride, int64_t rows,
                        int64_t k, uint8x16_t flip_u8x16, const int8_t *b, int64_t b_stride,
                        const int32_t *start, int32_t *sums, int64_t sums_stride) {
    const uint8_t *row[4];
    int32x4_t sum_i32x4[4][4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        row[i] = a + ql_min(i, rows - 1) * a_stride;
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++)
            sum_i32x4[j][i] = vdupq_n_s32(0);
    }
    int8x16_t row_i8x16[4];
    int64_t at = 0;
    for (; at + 16 <= k; at += 16) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            row_i8x16[i] = load_flipped(row[i] + at, flip_u8x16);
        add_products(columns, row_i8x16, b + at, b_stride, sum_i32x4);
    }
    if (at < k) {
        for (int i = 0; i < 4; i++)
            row_i8x16[i] = load_end(row[i] + at, k - at, flip_u8x16);
        add_products(columns, row_i8x16, b + at, b_stride, sum_i32x4);
    }
#pragma GCC unroll 4
    for (int j = 0; j < columns; j++) {
        int32_t four[4];
        const int32x4_t across_i32x4 = vpaddq_s32(vpaddq_s32(sum_i32x4[j][0], sum_i32x4[j][1]),
                                                  vpaddq_s32(sum_i32x4[j][2], sum_i32x4[j][3]));
        vst1q_s32(four, vaddq_s32(across_i32x4, vdupq_n_s32(start[j])));
        memcpy(sums + j * sums_stride, four, (size_t)ql_min(4, rows) * 4);
    }
}

void ql_neondot_narrow(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k, uint8_t flip,
                       const int8_t *b, int64_t b_stride, int64_t columns, const int32_t *start,
                       int32_t *sums, int64_t sums_stride) {
    const uint8x16_t flip_u8x16 = vdupq_n_u8(flip);
    for (int64_t i = 0; i < rows; i += 4, a += 4 * a_stride)
        for (int64_t j = 0, step; j < columns; j += step) {
            const int8_t *from = b + j * b_stride;
            int32_t *to = sums + j * sums_stride + i;
            if (columns - j >= 4) {
                step = 4;
                multiply(4, a, a_stride, rows - i, k, flip_u8x16, from, b_stride, start + j, to,
                         sums_stride);
            } else if (columns - j >= 2) {
                step = 2;
                multiply(2, a, a_stride, rows - i, k, flip_u8x16, from, b_stride, start + j, to,
                         sums_stride);
            } else {
                step = 1;
                multiply(1, a, a_stride, rows - i, k, flip_u8x16, from, b_stride, start + j, to,
                         sums_stride);
            }
        }
}

QL_TARGET_END

#endif

/* Rows as they lie times one column after the other, for NEON with dot products: see csrc/narrow.c.
 *
 *     sums[j][i] = start[j] + sum over k of (a[i][k] ^ flip) * b[j][k]
 *
 * sdot adds 16 products of signed bytes to 4 partial sums; those of four rows are added across. The
 * end of a row, up to 15 bytes, is copied and multiplied as a vector, whose other bytes meet zeros:
 * columns have them up to a multiple of QL_ALIGNMENT. Registers: 4 sums, the column, a row. Cost
 * for 16 bytes of a row: a load, an eor and an sdot. */
#include "../target.h"

#if QL_BUILDS_NEONDOT

#include "kernels.h"

QL_TARGET_BEGIN_NEONDOT

QL_INLINE int8x16_t load_flipped(const uint8_t *bytes, uint8x16_t flip_u8x16) {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(bytes), flip_u8x16));
}

/* The sums of up to 4 rows; the last one counts for those that are missing. */
QL_INLINE int32x4_t four_rows(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k,
                              uint8x16_t flip_u8x16, const int8_t *column) {
    const uint8_t *row[4];
    int32x4_t sum_i32x4[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        row[i] = a + ql_min(i, rows - 1) * a_stride;
        sum_i32x4[i] = vdupq_n_s32(0);
    }
    int64_t at = 0;
    for (; at + 16 <= k; at += 16) {
        const int8x16_t column_i8x16 = vld1q_s8(column + at);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            sum_i32x4[i] =
                vdotq_s32(sum_i32x4[i], load_flipped(row[i] + at, flip_u8x16), column_i8x16);
    }
    for (int i = 0; i < 4 && at < k; i++) {
        uint8_t end[16] = {0};
        memcpy(end, row[i] + at, (size_t)(k - at));
        sum_i32x4[i] =
            vdotq_s32(sum_i32x4[i], load_flipped(end, flip_u8x16), vld1q_s8(column + at));
    }
    return vpaddq_s32(vpaddq_s32(sum_i32x4[0], sum_i32x4[1]),
                      vpaddq_s32(sum_i32x4[2], sum_i32x4[3]));
}

void ql_neondot_narrow(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k, uint8_t flip,
                       const int8_t *b, int64_t b_stride, int64_t columns, const int32_t *start,
                       int32_t *sums, int64_t sums_stride) {
    const uint8x16_t flip_u8x16 = vdupq_n_u8(flip);
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i += 4) {
            int32_t four[4];
            const int32x4_t sum_i32x4 = four_rows(a + i * a_stride, a_stride, ql_min(4, rows - i),
                                                  k, flip_u8x16, b + j * b_stride);
            vst1q_s32(four, vaddq_s32(sum_i32x4, vdupq_n_s32(start[j])));
            memcpy(sums + j * sums_stride + i, four, (size_t)ql_min(4, rows - i) * 4);
        }
}

QL_TARGET_END

#endif

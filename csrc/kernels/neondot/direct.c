/* Up to four rows times a right operand as it lies, for NEON with dot products: see csrc/direct.c.
 *
 * Two levels of zip interleave four rows of 16 bytes into the groups of a strip, of which sdot
 * forms exact sums; sums of columns are those of a row of ones. Registers: four sums for each row
 * and for the columns, the group, a group of a row. Cost for a group of 64 bytes: 16 operations to
 * build it, and 4 sdot for each row and for the sums of columns. */
#include "../target.h"

#if QL_BUILDS_NEONDOT

#include "kernels.h"

QL_TARGET_BEGIN_NEONDOT

enum { DOT = 4 };

QL_INLINE void load_sums(const int32_t *sums, int32x4_t sum_i32x4[4]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        sum_i32x4[v] = vld1q_s32(sums + 4 * v);
}

QL_INLINE void store_sums(int32_t *sums, const int32x4_t sum_i32x4[4]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        vst1q_s32(sums + 4 * v, sum_i32x4[v]);
}

QL_INLINE void load_group(const uint8_t *b, int64_t stride, uint8x16_t flip_u8x16,
                          int8x16_t group_i8x16[4]) {
    uint8x16_t row_u8x16[4];
#pragma GCC unroll 4
    for (int row = 0; row < 4; row++)
        row_u8x16[row] = veorq_u8(vld1q_u8(b + row * stride), flip_u8x16);
    const uint16x8_t low_12 = vreinterpretq_u16_u8(vzip1q_u8(row_u8x16[0], row_u8x16[1]));
    const uint16x8_t high_12 = vreinterpretq_u16_u8(vzip2q_u8(row_u8x16[0], row_u8x16[1]));
    const uint16x8_t low_34 = vreinterpretq_u16_u8(vzip1q_u8(row_u8x16[2], row_u8x16[3]));
    const uint16x8_t high_34 = vreinterpretq_u16_u8(vzip2q_u8(row_u8x16[2], row_u8x16[3]));
    group_i8x16[0] = vreinterpretq_s8_u16(vzip1q_u16(low_12, low_34));
    group_i8x16[1] = vreinterpretq_s8_u16(vzip2q_u16(low_12, low_34));
    group_i8x16[2] = vreinterpretq_s8_u16(vzip1q_u16(high_12, high_34));
    group_i8x16[3] = vreinterpretq_s8_u16(vzip2q_u16(high_12, high_34));
}

QL_INLINE int8x16_t group_of_row(const uint8_t *group) {
    int32_t bits;
    memcpy(&bits, group, sizeof bits);
    return vreinterpretq_s8_s32(vdupq_n_s32(bits));
}

QL_INLINE void add_group(int32x4_t sum_i32x4[4], int8x16_t a_i8x16,
                         const int8x16_t group_i8x16[4]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        sum_i32x4[v] = vdotq_s32(sum_i32x4[v], group_i8x16[v], a_i8x16);
}

/* One whole strip. */
QL_INLINE void strip(const int rows, const uint8_t *a, int64_t a_stride, int64_t groups,
                     const uint8_t *b, int64_t b_stride, uint8x16_t flip_u8x16, int32_t *sums,
                     int64_t sums_stride, int32_t *column_sums) {
    int32x4_t sum_i32x4[4][4], column_i32x4[4];
    load_sums(column_sums, column_i32x4);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
        load_sums(sums + i * sums_stride, sum_i32x4[i]);
    for (int64_t group = 0; group < groups; group++, b += DOT * b_stride) {
        int8x16_t group_i8x16[4];
        load_group(b, b_stride, flip_u8x16, group_i8x16);
        add_group(column_i32x4, vdupq_n_s8(1), group_i8x16);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
            add_group(sum_i32x4[i], group_of_row(a + i * a_stride + DOT * group), group_i8x16);
    }
    store_sums(column_sums, column_i32x4);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
        store_sums(sums + i * sums_stride, sum_i32x4[i]);
}

/* All strips of a known number of rows. A last one that is not whole is copied, with any bytes for
 * the columns that it has not got. */
QL_INLINE void strips(const int rows, const uint8_t *a, int64_t a_stride, int64_t groups,
                      const uint8_t *b, int64_t b_stride, int64_t columns, uint8_t flip,
                      int32_t *sums, int64_t sums_stride, int32_t *column_sums) {
    const uint8x16_t flip_u8x16 = vdupq_n_u8(flip);
    const int64_t whole = columns & -QL_STRIP;
    for (int64_t j = 0; j < whole; j += QL_STRIP)
        strip(rows, a, a_stride, groups, b + j, b_stride, flip_u8x16, sums + j, sums_stride,
              column_sums + j);
    for (int64_t group = 0; group < groups && whole < columns; group++) {
        uint8_t last[DOT * QL_STRIP] = {0};
        for (int64_t k = 0; k < DOT; k++)
            memcpy(last + k * QL_STRIP, b + (DOT * group + k) * b_stride + whole,
                   (size_t)(columns - whole));
        strip(rows, a + DOT * group, a_stride, 1, last, QL_STRIP, flip_u8x16, sums + whole,
              sums_stride, column_sums + whole);
    }
}

void ql_neondot_direct(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t groups,
                       const uint8_t *b, int64_t b_stride, int64_t columns, uint8_t b_flip,
                       int32_t *sums, int64_t sums_stride, int32_t *column_sums) {
    if (rows == 1)
        strips(1, a, a_stride, groups, b, b_stride, columns, b_flip, sums, sums_stride,
               column_sums);
    else if (rows == 2)
        strips(2, a, a_stride, groups, b, b_stride, columns, b_flip, sums, sums_stride,
               column_sums);
    else if (rows == 3)
        strips(3, a, a_stride, groups, b, b_stride, columns, b_flip, sums, sums_stride,
               column_sums);
    else
        strips(4, a, a_stride, groups, b, b_stride, columns, b_flip, sums, sums_stride,
               column_sums);
}

QL_TARGET_END

#endif

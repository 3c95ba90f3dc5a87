/* A tile of a product for NEON with products of int8 matrices: up to 6 rows by one strip of 16
 * columns.
 *
 *     c[i][j] = init[j] + sum over groups g of sum over d = 0..7 of a[8g+d] * b[8g+d][j]
 *
 * smmla multiplies two rows of eight signed bytes by two columns of eight and adds the four exact
 * sums to 2 x 2 int32. The right operand is packed [group][16][8], so one register is two columns;
 * two rows of the left one, loaded as numbers -128 to 127, make another. Where rows are odd in
 * number the last one is its own partner.
 *
 * Registers: 24 sums (3 pairs of rows x 8 pairs of columns), 3 for a, and b as it comes. Cost per
 * group: 24 smmla for 768 multiply-adds, with 14 loads beside them. For one row half of the
 * products are thrown away, but sdot would take as many instructions. */
#include "../target.h"
#include "../tile.h"

#if QL_BUILDS_NEONI8MM

#include "kernels.h"

QL_TARGET_BEGIN_NEONI8MM

QL_INLINE int8x16_t load_pair(const char *first, const char *second) {
    return vcombine_s8(vld1_s8((const int8_t *)first), vld1_s8((const int8_t *)second));
}

QL_INLINE void tile(const int rows, int64_t groups, const char *a, int64_t a_stride,
                    const int8_t *b, const int32_t *init, int32_t *c) {
    const int pairs = (rows + 1) / 2;
    int32x4_t sum_i32x2x2[3][8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        const int32x2_t init_i32x2 = vld1_s32(init + 2 * j);
#pragma GCC unroll 3
        for (int pair = 0; pair < pairs; pair++)
            sum_i32x2x2[pair][j] = vcombine_s32(init_i32x2, init_i32x2);
    }
    for (int64_t group = 0; group < groups; group++) {
        int8x16_t a_i8x8x2[3];
#pragma GCC unroll 3
        for (int pair = 0; pair < pairs; pair++) {
            const int first = 2 * pair, second = first + 1 < rows ? first + 1 : first;
            QL_LOADS_IN_ORDER;
            a_i8x8x2[pair] = load_pair(a + first * a_stride, a + second * a_stride);
        }
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            const int8x16_t b_i8x8x2 = vld1q_s8(b + 16 * j);
#pragma GCC unroll 3
            for (int pair = 0; pair < pairs; pair++)
                sum_i32x2x2[pair][j] = vmmlaq_s32(sum_i32x2x2[pair][j], a_i8x8x2[pair], b_i8x8x2);
            if (j % 2)
                QL_LOADS_IN_ORDER;
        }
        a += 8;
        b += 8 * QL_STRIP;
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const int64x2_t left = vreinterpretq_s64_s32(sum_i32x2x2[i / 2][2 * j]);
            const int64x2_t right = vreinterpretq_s64_s32(sum_i32x2x2[i / 2][2 * j + 1]);
            const int64x2_t row = i % 2 ? vzip2q_s64(left, right) : vzip1q_s64(left, right);
            vst1q_s32(c + i * QL_TILE_COLUMNS + 4 * j, vreinterpretq_s32_s64(row));
        }
}

QL_DEFINE_TILE(neoni8mm, 1)
QL_DEFINE_TILE(neoni8mm, 2)
QL_DEFINE_TILE(neoni8mm, 3)
QL_DEFINE_TILE(neoni8mm, 4)
QL_DEFINE_TILE(neoni8mm, 5)
QL_DEFINE_TILE(neoni8mm, 6)

QL_TARGET_END

#endif

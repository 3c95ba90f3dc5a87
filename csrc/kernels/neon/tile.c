/* A tile of a product for NEON without dot products, exact: up to 6 rows by one strip of 16
 * columns.
 *
 *     c[i][j] = init[j] + sum over k of a[i][k] * b[k][j]
 *
 * smull would multiply bytes, but two products of -128 by -128 do not fit the 16 bits of a sum, and
 * numbers 0 to 255 no signed byte. So both sides are 16 bits wide, and smlal adds exact products
 * to 32-bit sums. The left operand is widened once, when it is loaded; the right one, packed int8
 * [k][16], by sxtl here. K comes in twos, so that one load brings two elements of a row.
 *
 * Registers: 24 sums (6 rows x 4 x 4 columns), 4 for b, 1 for the elements of a. Cost for two k: 48
 * smlal for 192 multiply-adds, with 4 sxtl, and 8 loads beside them. */
#include "../target.h"
#include "../tile.h"

#if QL_BUILDS_NEON

#include "kernels.h"

/* Two elements in the first two lanes: a load, without a detour through a general register. */
QL_INLINE int16x4_t load_pair(const char *pair) {
    uint32_t bits;
    memcpy(&bits, pair, sizeof bits);
    return vcreate_s16(bits);
}

QL_INLINE void tile(const int rows, int64_t groups, const char *a, int64_t a_stride,
                    const int8_t *b, const int32_t *init, int32_t *c) {
    int32x4_t sum_i32x4[6][4];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum_i32x4[i][j] = vld1q_s32(init + 4 * j);
    for (int64_t group = 0; group < groups; group += 2) {
        const int8x16_t first_i8x16 = vld1q_s8(b), second_i8x16 = vld1q_s8(b + QL_STRIP);
        const int16x8_t first_i16x8[2] = {vmovl_s8(vget_low_s8(first_i8x16)),
                                          vmovl_high_s8(first_i8x16)};
        const int16x8_t second_i16x8[2] = {vmovl_s8(vget_low_s8(second_i8x16)),
                                           vmovl_high_s8(second_i8x16)};
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            QL_LOADS_IN_ORDER;
            const int16x4_t a_i16x2 = load_pair(a + i * a_stride);
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                int32x4_t *sum = &sum_i32x4[i][2 * half];
                sum[0] = vmlal_lane_s16(sum[0], vget_low_s16(first_i16x8[half]), a_i16x2, 0);
                sum[1] = vmlal_high_lane_s16(sum[1], first_i16x8[half], a_i16x2, 0);
                sum[0] = vmlal_lane_s16(sum[0], vget_low_s16(second_i16x8[half]), a_i16x2, 1);
                sum[1] = vmlal_high_lane_s16(sum[1], second_i16x8[half], a_i16x2, 1);
            }
        }
        a += 4;
        b += 2 * QL_STRIP;
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            vst1q_s32(c + i * QL_TILE_COLUMNS + 4 * j, sum_i32x4[i][j]);
}

QL_DEFINE_TILE(neon, 1)
QL_DEFINE_TILE(neon, 2)
QL_DEFINE_TILE(neon, 3)
QL_DEFINE_TILE(neon, 4)
QL_DEFINE_TILE(neon, 5)
QL_DEFINE_TILE(neon, 6)

void ql_neon_load(void *row_, const uint8_t *bytes, int64_t count, uint8_t flip) {
    int16_t *row = row_;
    const uint8x16_t flip_u8x16 = vdupq_n_u8(flip);
    int64_t k = 0;
    for (; k + 16 <= count; k += 16) {
        const uint8x16_t bytes_u8x16 = veorq_u8(vld1q_u8(bytes + k), flip_u8x16);
        vst1q_s16(row + k, vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes_u8x16))));
        vst1q_s16(row + k + 8, vreinterpretq_s16_u16(vmovl_high_u8(bytes_u8x16)));
    }
    for (; k < count; k++)
        row[k] = (int16_t)(bytes[k] ^ flip);
}

#endif

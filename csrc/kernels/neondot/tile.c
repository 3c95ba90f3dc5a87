/* A tile of a product for NEON with dot products: up to 6 rows by one strip of 16 columns.
 *
 *     c[i][j] = init[j] + sum over groups g of sum over d = 0..3 of a[4g+d] * b[4g+d][j]
 *
 * sdot multiplies four signed bytes by four signed ones and adds the exact sum to 32 bits. So the
 * left operand is loaded as numbers -128 to 127. The right one is packed [group][16][4]: four
 * registers are one group of the strip, and sdot takes the four bytes of a row from one lane.
 *
 * Registers: 24 sums (6 rows x 4 x 4 columns), 4 for b, 1 for the group of a. Cost per group: 24
 * sdot for 384 multiply-adds, with 10 loads beside them. */
#include "../target.h"
#include "../tile.h"

#if QL_BUILDS_NEONDOT

#include "kernels.h"

QL_TARGET_BEGIN_NEONDOT

/* A group in the first lane: a load, without a detour through a general register. */
QL_INLINE int8x8_t load_group(const char *group) {
    uint32_t bits;
    memcpy(&bits, group, sizeof bits);
    return vcreate_s8(bits);
}

QL_INLINE void tile(const int rows, int64_t groups, const char *a, int64_t a_stride,
                    const int8_t *b, const int32_t *init, int32_t *c) {
    int32x4_t sum_i32x4[6][4];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum_i32x4[i][j] = vld1q_s32(init + 4 * j);
    for (int64_t group = 0; group < groups; group++) {
        int8x16_t b_i8x16[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            b_i8x16[j] = vld1q_s8(b + 16 * j);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            const int8x8_t a_i8x4 = load_group(a + i * a_stride);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sum_i32x4[i][j] = vdotq_lane_s32(sum_i32x4[i][j], b_i8x16[j], a_i8x4, 0);
        }
        a += 4;
        b += 4 * QL_STRIP;
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            vst1q_s32(c + i * QL_TILE_COLUMNS + 4 * j, sum_i32x4[i][j]);
}

QL_DEFINE_TILE(neondot, 1)
QL_DEFINE_TILE(neondot, 2)
QL_DEFINE_TILE(neondot, 3)
QL_DEFINE_TILE(neondot, 4)
QL_DEFINE_TILE(neondot, 5)
QL_DEFINE_TILE(neondot, 6)

void ql_neondot_load(void *row_, const uint8_t *bytes, int64_t count, uint8_t flip) {
    uint8_t *row = row_;
    const uint8x16_t flip_u8x16 = vdupq_n_u8(flip);
    int64_t k = 0;
    for (; k + 16 <= count; k += 16)
        vst1q_u8(row + k, veorq_u8(vld1q_u8(bytes + k), flip_u8x16));
    for (; k < count; k++)
        row[k] = bytes[k] ^ flip;
}

/* saddlv adds 16 bytes to 16 bits. */
int64_t ql_neondot_sum_row(const void *row_, int64_t count) {
    const int8_t *row = row_;
    int64_t sum = 0, k = 0;
    for (; k + 16 <= count; k += 16)
        sum += vaddlvq_s8(vld1q_s8(row + k));
    for (; k < count; k++)
        sum += row[k];
    return sum;
}

QL_TARGET_END

#endif

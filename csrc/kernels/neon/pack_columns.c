/* Packing of a right operand whose columns are contiguous, for NEON: see csrc/pack.c.
 *
 * 16 bytes of 16 columns are groups of dot bytes, [column][group], and become [group][column]. uzp,
 * which takes the even and the odd groups of two registers apart, moves the last bit of the group's
 * number to the front; log2(16 / dot) times, that is a transposition. Column sums are added in
 * pairs, from 16 bytes to one number of 16 bits. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "kernels.h"

QL_INLINE int8x16_t even_groups(const int dot, int8x16_t first_i8x16, int8x16_t second_i8x16) {
    if (dot == 1)
        return vuzp1q_s8(first_i8x16, second_i8x16);
    if (dot == 4)
        return vreinterpretq_s8_s32(
            vuzp1q_s32(vreinterpretq_s32_s8(first_i8x16), vreinterpretq_s32_s8(second_i8x16)));
    return vreinterpretq_s8_s64(
        vuzp1q_s64(vreinterpretq_s64_s8(first_i8x16), vreinterpretq_s64_s8(second_i8x16)));
}

QL_INLINE int8x16_t odd_groups(const int dot, int8x16_t first_i8x16, int8x16_t second_i8x16) {
    if (dot == 1)
        return vuzp2q_s8(first_i8x16, second_i8x16);
    if (dot == 4)
        return vreinterpretq_s8_s32(
            vuzp2q_s32(vreinterpretq_s32_s8(first_i8x16), vreinterpretq_s32_s8(second_i8x16)));
    return vreinterpretq_s8_s64(
        vuzp2q_s64(vreinterpretq_s64_s8(first_i8x16), vreinterpretq_s64_s8(second_i8x16)));
}

QL_INLINE void transpose(const int dot, int8x16_t block_i8x16[16]) {
#pragma GCC unroll 4
    for (int groups = 16 / dot; groups > 1; groups /= 2) {
        int8x16_t to_i8x16[16];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            to_i8x16[i] = even_groups(dot, block_i8x16[2 * i], block_i8x16[2 * i + 1]);
            to_i8x16[i + 8] = odd_groups(dot, block_i8x16[2 * i], block_i8x16[2 * i + 1]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            block_i8x16[i] = to_i8x16[i];
    }
}

/* The sums of eight columns. */
QL_INLINE int16x8_t sum_columns(const int8x16_t columns_i8x16[8]) {
    int16x8_t sum_i16x8[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        sum_i16x8[j] = vpaddlq_s8(columns_i8x16[j]);
#pragma GCC unroll 3
    for (int count = 4; count > 0; count /= 2)
#pragma GCC unroll 4
        for (int j = 0; j < count; j++)
            sum_i16x8[j] = vpaddq_s16(sum_i16x8[2 * j], sum_i16x8[2 * j + 1]);
    return sum_i16x8[0];
}

QL_INLINE void add_columns(const int8x16_t columns_i8x16[8], int32_t *sums) {
    const int16x8_t sum_i16x8 = sum_columns(columns_i8x16);
    vst1q_s32(sums, vaddw_s16(vld1q_s32(sums), vget_low_s16(sum_i16x8)));
    vst1q_s32(sums + 4, vaddw_high_s16(vld1q_s32(sums + 4), sum_i16x8));
}

/* The groups that are too few for a block. */
QL_INLINE void pack_rest(const int dot, const uint8_t *columns, int64_t stride, int64_t groups,
                         uint8_t flip, int8_t *to, int32_t *sums) {
    for (int64_t group = 0; group < groups; group++)
        for (int j = 0; j < QL_STRIP; j++)
            for (int d = 0; d < dot; d++, to++) {
                *to = (int8_t)(columns[j * stride + group * dot + d] ^ flip);
                sums[j] += *to;
            }
}

QL_INLINE void pack(const int dot, const uint8_t *columns, int64_t stride, int64_t groups,
                    uint8_t flip, int8_t *to, int32_t *sums) {
    const uint8x16_t flip_u8x16 = vdupq_n_u8(flip);
    for (; groups >= 16 / dot; groups -= 16 / dot, columns += 16, to += 16 * QL_STRIP) {
        int8x16_t block_i8x16[16];
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++)
            block_i8x16[j] =
                vreinterpretq_s8_u8(veorq_u8(vld1q_u8(columns + j * stride), flip_u8x16));
        add_columns(block_i8x16, sums);
        add_columns(block_i8x16 + 8, sums + 8);
        transpose(dot, block_i8x16);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            vst1q_s8(to + 16 * i, block_i8x16[i]);
    }
    pack_rest(dot, columns, stride, groups, flip, to, sums);
}

#define DEFINE_PACK(dot)                                                                           \
    void ql_neon_pack_columns_##dot(const uint8_t *columns, int64_t stride, int64_t groups,        \
                                    uint8_t flip, int8_t *to, int32_t *sums) {                     \
        pack(dot, columns, stride, groups, flip, to, sums);                                        \
    }

DEFINE_PACK(1)
DEFINE_PACK(4)
DEFINE_PACK(8)

#endif

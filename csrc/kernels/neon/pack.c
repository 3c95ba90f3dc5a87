/* Packing of a right operand for NEON, in groups of one, four or eight rows: see csrc/pack.c.
 *
 * Interleaving the rows of a group, the first half with the second, is one step of a perfect
 * shuffle; log2(rows) steps bring the codes of each column together. Column sums take the rows as
 * they come, eight codes of a column in 16 bits. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "kernels.h"

/* Adds the rows of a group to the sums of its 16 columns. */
QL_INLINE void add_rows(const int dot, const int8x16_t rows_i8x16[8], int32x4_t sum_i32x4[4]) {
    int16x8_t low_i16x8 = vmovl_s8(vget_low_s8(rows_i8x16[0]));
    int16x8_t high_i16x8 = vmovl_high_s8(rows_i8x16[0]);
#pragma GCC unroll 8
    for (int row = 1; row < dot; row++) {
        low_i16x8 = vaddw_s8(low_i16x8, vget_low_s8(rows_i8x16[row]));
        high_i16x8 = vaddw_high_s8(high_i16x8, rows_i8x16[row]);
    }
    sum_i32x4[0] = vaddw_s16(sum_i32x4[0], vget_low_s16(low_i16x8));
    sum_i32x4[1] = vaddw_high_s16(sum_i32x4[1], low_i16x8);
    sum_i32x4[2] = vaddw_s16(sum_i32x4[2], vget_low_s16(high_i16x8));
    sum_i32x4[3] = vaddw_high_s16(sum_i32x4[3], high_i16x8);
}

QL_INLINE void interleave(const int dot, int8x16_t rows_i8x16[8]) {
#pragma GCC unroll 3
    for (int step = 1; step < dot; step *= 2) {
        int8x16_t to_i8x16[8];
#pragma GCC unroll 4
        for (int i = 0; i < dot / 2; i++) {
            to_i8x16[2 * i] = vzip1q_s8(rows_i8x16[i], rows_i8x16[i + dot / 2]);
            to_i8x16[2 * i + 1] = vzip2q_s8(rows_i8x16[i], rows_i8x16[i + dot / 2]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < dot; i++)
            rows_i8x16[i] = to_i8x16[i];
    }
}

QL_INLINE void pack(const int dot, const uint8_t *rows, int64_t stride, int64_t groups,
                    const int strips, uint8_t flip, int8_t *to, int64_t strip_stride,
                    int32_t *sums) {
    const uint8x16_t flip_u8x16 = vdupq_n_u8(flip);
    int32x4_t sum_i32x4[QL_PACK_STRIPS][4];
#pragma GCC unroll 4
    for (int s = 0; s < strips; s++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum_i32x4[s][j] = vld1q_s32(sums + s * QL_STRIP + 4 * j);
    for (int64_t group = 0; group < groups; group++, rows += dot * stride, to += dot * QL_STRIP)
#pragma GCC unroll 4
        for (int s = 0; s < strips; s++) {
            int8x16_t rows_i8x16[8];
            QL_LOADS_IN_ORDER;
#pragma GCC unroll 8
            for (int row = 0; row < dot; row++)
                rows_i8x16[row] = vreinterpretq_s8_u8(
                    veorq_u8(vld1q_u8(rows + row * stride + s * QL_STRIP), flip_u8x16));
            add_rows(dot, rows_i8x16, sum_i32x4[s]);
            interleave(dot, rows_i8x16);
#pragma GCC unroll 8
            for (int row = 0; row < dot; row++)
                vst1q_s8(to + s * strip_stride + row * QL_STRIP, rows_i8x16[row]);
        }
#pragma GCC unroll 4
    for (int s = 0; s < strips; s++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            vst1q_s32(sums + s * QL_STRIP + 4 * j, sum_i32x4[s][j]);
}

#define DEFINE_PACK(dot)                                                                           \
    void ql_neon_pack_##dot(const uint8_t *rows, int64_t stride, int64_t groups, int64_t strips,   \
                            uint8_t flip, int8_t *to, int64_t strip_stride, int32_t *sums) {       \
        if (strips == QL_PACK_STRIPS) {                                                            \
            pack(dot, rows, stride, groups, QL_PACK_STRIPS, flip, to, strip_stride, sums);         \
            return;                                                                                \
        }                                                                                          \
        for (int64_t s = 0; s < strips; s++)                                                       \
            pack(dot, rows + s * QL_STRIP, stride, groups, 1, flip, to + s * strip_stride,         \
                 strip_stride, sums + s * QL_STRIP);                                               \
    }

DEFINE_PACK(1)
DEFINE_PACK(4)
DEFINE_PACK(8)

#endif

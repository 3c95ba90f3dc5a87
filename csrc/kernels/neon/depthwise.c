/* Depthwise convolution of neighbouring output pixels for NEON: see csrc/depthwise.c.
 *
 *     sums[p][c] = sum over taps of (x[tap][p * x_step + c] - zero_point) * w[tap][c]
 *
 * usubl subtracts the zero point from eight bytes and widens the differences, -255 to 255, to 16
 * bits; smlal adds their products with the weights to 32 bits. Four pixels share the loads of the
 * weights. Cost for eight channels of a pixel and a tap: 2 smlal, 1 usubl, 1 eor. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "kernels.h"

QL_INLINE void sum_taps(const int pixels, int32_t *sums, int64_t count, int64_t taps, int64_t c,
                        const uint8_t *const *x, int64_t first, int64_t x_step, uint8_t flip,
                        int32_t zero_point, const int16_t *const *w) {
    const uint8x8_t flip_u8x8 = vdup_n_u8(flip), zero_u8x8 = vdup_n_u8((uint8_t)zero_point);
    int32x4_t low_i32x4[4], high_i32x4[4];
#pragma GCC unroll 4
    for (int p = 0; p < pixels; p++)
        low_i32x4[p] = high_i32x4[p] = vdupq_n_s32(0);
    for (int64_t tap = 0; tap < taps; tap++) {
        const int16x8_t w_i16x8 = vld1q_s16(w[tap] + c);
        const uint8_t *codes = x[tap] + first * x_step + c;
#pragma GCC unroll 4
        for (int p = 0; p < pixels; p++) {
            const uint8x8_t x_u8x8 = veor_u8(vld1_u8(codes + p * x_step), flip_u8x8);
            const int16x8_t x_i16x8 = vreinterpretq_s16_u16(vsubl_u8(x_u8x8, zero_u8x8));
            low_i32x4[p] = vmlal_s16(low_i32x4[p], vget_low_s16(x_i16x8), vget_low_s16(w_i16x8));
            high_i32x4[p] = vmlal_high_s16(high_i32x4[p], x_i16x8, w_i16x8);
        }
    }
#pragma GCC unroll 4
    for (int p = 0; p < pixels; p++) {
        vst1q_s32(sums + (first + p) * count + c, low_i32x4[p]);
        vst1q_s32(sums + (first + p) * count + c + 4, high_i32x4[p]);
    }
}

/* The channels that eight do not divide. */
static void sum_rest(int32_t *sums, int64_t count, int64_t pixels, int64_t taps, int64_t c,
                     const uint8_t *const *x, int64_t x_step, uint8_t flip, int32_t zero_point,
                     const int16_t *const *w) {
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t rest = c; rest < count; rest++) {
            int32_t sum = 0;
            for (int64_t tap = 0; tap < taps; tap++)
                sum += ((int32_t)(x[tap][p * x_step + rest] ^ flip) - zero_point) * w[tap][rest];
            sums[p * count + rest] = sum;
        }
}

void ql_neon_depthwise(int32_t *sums, int64_t count, int64_t pixels, int64_t taps,
                       const uint8_t *const *x, int64_t x_step, uint8_t flip, int32_t zero_point,
                       const int16_t *const *w) {
    int64_t c = 0;
    for (; c + 8 <= count; c += 8) {
        int64_t p = 0;
        for (; p + 4 <= pixels; p += 4)
            sum_taps(4, sums, count, taps, c, x, p, x_step, flip, zero_point, w);
        for (; p < pixels; p++)
            sum_taps(1, sums, count, taps, c, x, p, x_step, flip, zero_point, w);
    }
    sum_rest(sums, count, pixels, taps, c, x, x_step, flip, zero_point, w);
}

#endif

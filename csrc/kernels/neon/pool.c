/* The largest and the sum of several bytes, and averages, for NEON: the operations of
 * kernels/portable/pool.c, which do the edges. Sums of up to 256 bytes are kept in 16 bits. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "../portable/kernels.h"
#include "kernels.h"
#include "lanes.h"

#define DEFINE_MAX(code, type, suffix)                                                             \
    void ql_neon_max_##code(const uint8_t *x, int64_t taps, int64_t tap_stride, uint8_t *y,        \
                            int64_t count) {                                                       \
        int64_t i = 0;                                                                             \
        for (; i + 16 <= count; i += 16) {                                                         \
            type largest_x16 = vld1q_##suffix((const code##_t *)(x + i));                          \
            for (int64_t t = 1; t < taps; t++)                                                     \
                largest_x16 = vmaxq_##suffix(                                                      \
                    largest_x16, vld1q_##suffix((const code##_t *)(x + i + t * tap_stride)));      \
            vst1q_##suffix((code##_t *)(y + i), largest_x16);                                      \
        }                                                                                          \
        if (i < count)                                                                             \
            ql_portable_max_##code(x + i, taps, tap_stride, y + i, count - i);                     \
    }

DEFINE_MAX(uint8, uint8x16_t, u8)
DEFINE_MAX(int8, int8x16_t, s8)

void ql_neon_sum(const uint8_t *x, int64_t taps, int64_t tap_stride, uint8_t flip, int32_t *sums,
                 int64_t count) {
    enum { LONGEST = 256 };
    const uint8x16_t flip_u8x16 = vdupq_n_u8(flip);
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        uint32x4_t sum_u32x4[4];
        for (int part = 0; part < 4; part++)
            sum_u32x4[part] = vdupq_n_u32(0);
        for (int64_t begin = 0; begin < taps; begin += LONGEST) {
            const uint8_t *from = x + begin * tap_stride + i;
            uint16x8_t low_u16x8 = vdupq_n_u16(0), high_u16x8 = vdupq_n_u16(0);
            for (int64_t t = 0; t < ql_min(LONGEST, taps - begin); t++) {
                const uint8x16_t bytes_u8x16 =
                    veorq_u8(vld1q_u8(from + t * tap_stride), flip_u8x16);
                low_u16x8 = vaddw_u8(low_u16x8, vget_low_u8(bytes_u8x16));
                high_u16x8 = vaddw_u8(high_u16x8, vget_high_u8(bytes_u8x16));
            }
            sum_u32x4[0] = vaddw_u16(sum_u32x4[0], vget_low_u16(low_u16x8));
            sum_u32x4[1] = vaddw_u16(sum_u32x4[1], vget_high_u16(low_u16x8));
            sum_u32x4[2] = vaddw_u16(sum_u32x4[2], vget_low_u16(high_u16x8));
            sum_u32x4[3] = vaddw_u16(sum_u32x4[3], vget_high_u16(high_u16x8));
        }
        for (int part = 0; part < 4; part++)
            vst1q_s32(sums + i + 4 * part, vreinterpretq_s32_u32(sum_u32x4[part]));
    }
    if (i < count)
        ql_portable_sum(x + i, taps, tap_stride, flip, sums + i, count - i);
}

int64_t ql_neon_total(const uint8_t *x, int64_t count, uint8_t flip) {
    const uint8x16_t flip_u8x16 = vdupq_n_u8(flip);
    uint64x2_t sum_u64x2 = vdupq_n_u64(0);
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const uint16x8_t pairs_u16x8 = vpaddlq_u8(veorq_u8(vld1q_u8(x + i), flip_u8x16));
        sum_u64x2 = vpadalq_u32(sum_u64x2, vpaddlq_u16(pairs_u16x8));
    }
    return (int64_t)vaddvq_u64(sum_u64x2) + ql_portable_total(x + i, count - i, flip);
}

void ql_neon_average(const int32_t *sums, int64_t taps, int64_t tap_stride,
                     const ql_average *average, uint8_t *y, int64_t count) {
    const ql_average m = *average;
    const float32x4_t low_f32x4 = vdupq_n_f32((float)-m.y_zero);
    const float32x4_t high_f32x4 = vdupq_n_f32((float)(255 - m.y_zero));
    const int32x4_t zero_i32x4 = vdupq_n_s32(m.y_zero);
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        int32x4_t codes_i32x4[4];
        for (int part = 0; part < 4; part++) {
            int32x4_t sum_i32x4 = vdupq_n_s32(-m.offset);
            for (int64_t t = 0; t < taps; t++)
                sum_i32x4 = vaddq_s32(sum_i32x4, vld1q_s32(sums + t * tap_stride + i + 4 * part));
            float32x4_t steps_f32x4 = vmulq_n_f32(vcvtq_f32_s32(sum_i32x4), m.factor);
            steps_f32x4 = vminq_f32(vmaxq_f32(steps_f32x4, low_f32x4), high_f32x4);
            codes_i32x4[part] = vaddq_s32(vcvtnq_s32_f32(steps_f32x4), zero_i32x4);
        }
        vst1q_u8(y + i, veorq_u8(low_bytes(codes_i32x4), vdupq_n_u8(m.y_flip)));
    }
    if (i < count)
        ql_portable_average(sums + i, taps, tap_stride, average, y + i, count - i);
}

#endif

/* 8-bit codes to float32 reals for NEON; tails run in the portable kernels, whose operations these
 * repeat in the same order. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "../portable/kernels.h"
#include "kernels.h"

QL_INLINE int16x8_t widen_int8(const int8_t *codes) {
    return vmovl_s8(vld1_s8(codes));
}

QL_INLINE int16x8_t widen_uint8(const uint8_t *codes) {
    return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(codes)));
}

QL_INLINE void store_reals(float *x, int32x4_t codes_i32x4, float32x4_t scale_f32x4,
                           int32x4_t zero_i32x4) {
    const float32x4_t steps_f32x4 = vcvtq_f32_s32(vsubq_s32(codes_i32x4, zero_i32x4));
    vst1q_f32(x, vmulq_f32(steps_f32x4, scale_f32x4));
}

#define DEFINE_DEQUANTIZE(code)                                                                    \
    void ql_neon_dequantize_##code##_float(const void *codes_, void *x_, int64_t count,            \
                                           const void *scale_, const int32_t *zero_point,          \
                                           int step) {                                             \
        const code##_t *codes = codes_;                                                            \
        const float *scale = scale_;                                                               \
        float *x = x_;                                                                             \
        float32x4_t low_scale_f32x4 = vdupq_n_f32(scale[0]), high_scale_f32x4 = low_scale_f32x4;   \
        int32x4_t low_zero_i32x4 = vdupq_n_s32(zero_point[0]), high_zero_i32x4 = low_zero_i32x4;   \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= count; i += 8) {                                                           \
            if (step) {                                                                            \
                low_scale_f32x4 = vld1q_f32(scale + i);                                            \
                high_scale_f32x4 = vld1q_f32(scale + i + 4);                                       \
                low_zero_i32x4 = vld1q_s32(zero_point + i);                                        \
                high_zero_i32x4 = vld1q_s32(zero_point + i + 4);                                   \
            }                                                                                      \
            const int16x8_t codes_i16x8 = widen_##code(codes + i);                                 \
            store_reals(x + i, vmovl_s16(vget_low_s16(codes_i16x8)), low_scale_f32x4,              \
                        low_zero_i32x4);                                                           \
            store_reals(x + i + 4, vmovl_high_s16(codes_i16x8), high_scale_f32x4,                  \
                        high_zero_i32x4);                                                          \
        }                                                                                          \
        const int64_t at = step ? i : 0;                                                           \
        if (i < count)                                                                             \
            ql_portable_dequantize_##code##_float(codes + i, x + i, count - i, scale + at,         \
                                                  zero_point + at, step);                          \
    }

DEFINE_DEQUANTIZE(int8)
DEFINE_DEQUANTIZE(uint8)

#endif

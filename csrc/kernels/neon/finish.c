/* Sums to results for NEON: see kernels/portable/finish.c, of which these are the same operations
 * in the same order. fcvtns rounds half to even. Tails run in the portable kernels. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "../portable/kernels.h"
#include "kernels.h"
#include "lanes.h"

/* fmaxnm takes the bound where the steps are NaN. */
QL_INLINE int32x4_t rounded(float32x4_t steps_f32x4, float32x4_t low_f32x4, float32x4_t high_f32x4,
                            int32x4_t zero_i32x4) {
    steps_f32x4 = vminnmq_f32(vmaxnmq_f32(steps_f32x4, low_f32x4), high_f32x4);
    return vaddq_s32(vcvtnq_s32_f32(steps_f32x4), zero_i32x4);
}

QL_INLINE int32x4_t codes_of(const int32_t *sum, const float *factor, float32x4_t low_f32x4,
                             float32x4_t high_f32x4, int32x4_t zero_i32x4) {
    return rounded(vmulq_f32(vcvtq_f32_s32(vld1q_s32(sum)), vld1q_f32(factor)), low_f32x4,
                   high_f32x4, zero_i32x4);
}

void ql_neon_requantize(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                        const float *multiplier, int32_t zero_point, int32_t lower, int32_t upper,
                        uint8_t *y, int64_t y_stride) {
    const float32x4_t low_f32x4 = vdupq_n_f32((float)(lower - zero_point));
    const float32x4_t high_f32x4 = vdupq_n_f32((float)(upper - zero_point));
    const int32x4_t zero_i32x4 = vdupq_n_s32(zero_point);
    for (int64_t i = 0; i < rows; i++) {
        const int32_t *sum = sums + i * sums_stride;
        uint8_t *code = y + i * y_stride;
        int64_t j = 0;
        for (; j + 16 <= columns; j += 16) {
            int32x4_t codes_i32x4[4];
#pragma GCC unroll 4
            for (int part = 0; part < 4; part++)
                codes_i32x4[part] = codes_of(sum + j + 4 * part, multiplier + j + 4 * part,
                                             low_f32x4, high_f32x4, zero_i32x4);
            vst1q_u8(code + j, low_bytes(codes_i32x4));
        }
        if (j < columns)
            ql_portable_requantize(sum + j, 0, 1, columns - j, multiplier + j, zero_point, lower,
                                   upper, code + j, 0);
    }
}

/* Four sums to steps with those of four codes, as reals, added. */
QL_INLINE float32x4_t steps_of_sum(const int32_t *sum, const float *factor, float32x4_t codes_f32x4,
                                   const ql_residual *r) {
    const float32x4_t own_f32x4 = vmulq_f32(vcvtq_f32_s32(vld1q_s32(sum)), vld1q_f32(factor));
    const float32x4_t away_f32x4 = vsubq_f32(codes_f32x4, vdupq_n_f32(r->zero));
    return vaddq_f32(own_f32x4, vmulq_f32(away_f32x4, vdupq_n_f32(r->factor)));
}

/* 16 codes as reals. */
QL_INLINE void reals_of(uint8x16_t codes_u8x16, float32x4_t codes_f32x4[4]) {
    const uint16x8_t low_u16x8 = vmovl_u8(vget_low_u8(codes_u8x16));
    const uint16x8_t high_u16x8 = vmovl_high_u8(codes_u8x16);
    codes_f32x4[0] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(low_u16x8)));
    codes_f32x4[1] = vcvtq_f32_u32(vmovl_high_u16(low_u16x8));
    codes_f32x4[2] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(high_u16x8)));
    codes_f32x4[3] = vcvtq_f32_u32(vmovl_high_u16(high_u16x8));
}

void ql_neon_requantize_sum(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                            const float *multiplier, const ql_residual *residual,
                            int32_t zero_point, int32_t lower, int32_t upper, uint8_t *y,
                            int64_t y_stride) {
    const float32x4_t low_f32x4 = vdupq_n_f32((float)(lower - zero_point));
    const float32x4_t high_f32x4 = vdupq_n_f32((float)(upper - zero_point));
    const int32x4_t zero_i32x4 = vdupq_n_s32(zero_point);
    const uint8x16_t flip_u8x16 = vdupq_n_u8(residual->flip);
    ql_residual rest = *residual;
    for (int64_t i = 0; i < rows; i++) {
        const int32_t *sum = sums + i * sums_stride;
        const uint8_t *added = residual->codes + i * residual->stride;
        int64_t j = 0;
        for (; j + 16 <= columns; j += 16) {
            float32x4_t codes_f32x4[4];
            int32x4_t codes_i32x4[4];
            reals_of(veorq_u8(vld1q_u8(added + j), flip_u8x16), codes_f32x4);
#pragma GCC unroll 4
            for (int part = 0; part < 4; part++) {
                const int64_t at = j + 4 * part;
                const float32x4_t steps_f32x4 =
                    steps_of_sum(sum + at, multiplier + at, codes_f32x4[part], residual);
                codes_i32x4[part] = rounded(steps_f32x4, low_f32x4, high_f32x4, zero_i32x4);
            }
            vst1q_u8(y + i * y_stride + j, low_bytes(codes_i32x4));
        }
        rest.codes = added + j;
        if (j < columns)
            ql_portable_requantize_sum(sum + j, 0, 1, columns - j, multiplier + j, &rest,
                                       zero_point, lower, upper, y + i * y_stride + j, 0);
    }
}

/* Comparisons and selections, not fmaxnm: they also agree where the bound is 0 and the value -0. */
QL_INLINE float32x4_t clip(float32x4_t value_f32x4, float32x4_t lower_f32x4,
                           float32x4_t upper_f32x4) {
    value_f32x4 = vbslq_f32(vcgtq_f32(value_f32x4, lower_f32x4), value_f32x4, lower_f32x4);
    return vbslq_f32(vcltq_f32(value_f32x4, upper_f32x4), value_f32x4, upper_f32x4);
}

void ql_neon_rescale(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                     const float *multiplier, const float *row_factor, int64_t row_step,
                     const float *bias, float lower, float upper, float *y, int64_t y_stride) {
    const float32x4_t lower_f32x4 = vdupq_n_f32(lower), upper_f32x4 = vdupq_n_f32(upper);
    for (int64_t i = 0; i < rows; i++) {
        const int32_t *sum = sums + i * sums_stride;
        float *real = y + i * y_stride;
        const float32x4_t factor_f32x4 = vdupq_n_f32(row_factor[i * row_step]);
        int64_t j = 0;
        for (; j + 4 <= columns; j += 4) {
            const float32x4_t product_f32x4 = vmulq_f32(factor_f32x4, vld1q_f32(multiplier + j));
            float32x4_t value_f32x4 = vmulq_f32(vcvtq_f32_s32(vld1q_s32(sum + j)), product_f32x4);
            if (bias != NULL)
                value_f32x4 = vaddq_f32(value_f32x4, vld1q_f32(bias + j));
            vst1q_f32(real + j, clip(value_f32x4, lower_f32x4, upper_f32x4));
        }
        if (j < columns)
            ql_portable_rescale(sum + j, 0, 1, columns - j, multiplier + j,
                                row_factor + i * row_step, 0, bias == NULL ? NULL : bias + j, lower,
                                upper, real + j, 0);
    }
}

#endif

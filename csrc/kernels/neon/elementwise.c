/* Sums and products of quantized operands for NEON, 16 at a time: the operations of
 * kernels/portable/elementwise.c. Bytes are widened to words and converted. fcvtns rounds half to
 * even and saturates, as both narrowings do, so that bounds are kept in bytes only. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "../portable/kernels.h"
#include "kernels.h"

typedef struct {
    float32x4_t steps_f32x4[4];
} quarters;

QL_INLINE quarters steps_of(uint8x16_t numbers_u8x16, float zero) {
    const uint16x8_t low_u16x8 = vmovl_u8(vget_low_u8(numbers_u8x16));
    const uint16x8_t high_u16x8 = vmovl_u8(vget_high_u8(numbers_u8x16));
    const uint32x4_t numbers_u32x4[4] = {
        vmovl_u16(vget_low_u16(low_u16x8)), vmovl_u16(vget_high_u16(low_u16x8)),
        vmovl_u16(vget_low_u16(high_u16x8)), vmovl_u16(vget_high_u16(high_u16x8))};
    quarters q;
    for (int part = 0; part < 4; part++)
        q.steps_f32x4[part] = vsubq_f32(vcvtq_f32_u32(numbers_u32x4[part]), vdupq_n_f32(zero));
    return q;
}

QL_INLINE uint8x16_t codes_of(quarters q, const ql_blend *m) {
    int16x4_t rounded_i16x4[4];
    for (int part = 0; part < 4; part++)
        rounded_i16x4[part] = vqmovn_s32(vcvtnq_s32_f32(q.steps_f32x4[part]));
    const int16x8_t zero_i16x8 = vdupq_n_s16((int16_t)m->y_zero);
    const int16x8_t low_i16x8 =
        vqaddq_s16(vcombine_s16(rounded_i16x4[0], rounded_i16x4[1]), zero_i16x8);
    const int16x8_t high_i16x8 =
        vqaddq_s16(vcombine_s16(rounded_i16x4[2], rounded_i16x4[3]), zero_i16x8);
    uint8x16_t codes_u8x16 = vcombine_u8(vqmovun_s16(low_i16x8), vqmovun_s16(high_i16x8));
    codes_u8x16 = vmaxq_u8(codes_u8x16, vdupq_n_u8((uint8_t)m->lower));
    codes_u8x16 = vminq_u8(codes_u8x16, vdupq_n_u8((uint8_t)m->upper));
    return veorq_u8(codes_u8x16, vdupq_n_u8(m->y_flip));
}

QL_INLINE float32x4_t sum_of(float32x4_t a_f32x4, float32x4_t b_f32x4, const ql_blend *m) {
    return vaddq_f32(vmulq_n_f32(a_f32x4, m->a_factor), vmulq_n_f32(b_f32x4, m->b_factor));
}

QL_INLINE float32x4_t product_of(float32x4_t a_f32x4, float32x4_t b_f32x4, const ql_blend *m) {
    return vmulq_n_f32(vmulq_f32(a_f32x4, b_f32x4), m->a_factor);
}

QL_INLINE uint8x16_t load(const uint8_t *bytes, uint8_t flip) {
    return veorq_u8(vld1q_u8(bytes), vdupq_n_u8(flip));
}

#define DEFINE_BLEND(name, of)                                                                     \
    void ql_neon_##name(const uint8_t *a, const uint8_t *b, int b_step, uint8_t *y, int64_t count, \
                        const ql_blend *blend) {                                                   \
        const ql_blend m = *blend;                                                                 \
        quarters right = steps_of(vdupq_n_u8(b[0] ^ m.b_flip), m.b_zero);                          \
        int64_t i = 0;                                                                             \
        for (; i + 16 <= count; i += 16) {                                                         \
            quarters left = steps_of(load(a + i, m.a_flip), m.a_zero);                             \
            if (b_step)                                                                            \
                right = steps_of(load(b + i, m.b_flip), m.b_zero);                                 \
            for (int part = 0; part < 4; part++)                                                   \
                left.steps_f32x4[part] = of(left.steps_f32x4[part], right.steps_f32x4[part], &m);  \
            vst1q_u8(y + i, codes_of(left, &m));                                                   \
        }                                                                                          \
        if (i < count)                                                                             \
            ql_portable_##name(a + i, b + (b_step ? i : 0), b_step, y + i, count - i, blend);      \
    }

DEFINE_BLEND(add, sum_of)
DEFINE_BLEND(multiply, product_of)

#endif

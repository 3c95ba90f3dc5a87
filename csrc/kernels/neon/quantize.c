/* Float32 reals to 8-bit codes for NEON, sixteen at a time; the rest one by one.
 *
 *     steps = rint(x * reciprocal + x * rest)        x kept between low and high
 *     code  = steps + zero_point                     or x = scale * steps
 *
 * The bits are those of a division: csrc/affine.c says why. NaN passes fmax, fmin and fmla, and
 * fcvtns, which rounds half to even, makes it 0: the step of the zero point. Nothing is written
 * past the caches: NEON can only hint at that. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "kernels.h"
#include "lanes.h"

typedef struct {
    float32x4_t reciprocal_f32x4, rest_f32x4, low_f32x4, high_f32x4;
} divisor;

/* The one of four elements. */
QL_INLINE divisor divisor_at(const ql_reciprocals *r, int64_t number) {
    return (divisor){vdupq_n_f32(r->reciprocal[number]), vdupq_n_f32(r->rest[number]),
                     vdupq_n_f32(r->low[number]), vdupq_n_f32(r->high[number])};
}

/* One for each of four elements. */
QL_INLINE divisor divisors_at(const ql_reciprocals *r, int64_t number) {
    return (divisor){vld1q_f32(r->reciprocal + number), vld1q_f32(r->rest + number),
                     vld1q_f32(r->low + number), vld1q_f32(r->high + number)};
}

QL_INLINE int32x4_t steps_of(float32x4_t x_f32x4, const divisor *by) {
    x_f32x4 = vminq_f32(vmaxq_f32(x_f32x4, by->low_f32x4), by->high_f32x4);
    return vcvtnq_s32_f32(
        vfmaq_f32(vmulq_f32(x_f32x4, by->rest_f32x4), x_f32x4, by->reciprocal_f32x4));
}

/* Blocks of parameters have 16 elements or more, so that one serves for all of the sixteen. */
QL_INLINE void quantize(const float *x, uint8_t *codes, int64_t count, const ql_reciprocals *r,
                        const int shift) {
    divisor by = divisor_at(r, 0);
    int32x4_t zero_i32x4 = vdupq_n_s32(r->zero_point[0]);
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        int32x4_t codes_i32x4[4];
        if (shift != QL_SAME && shift != QL_EACH) {
            by = divisor_at(r, i >> shift);
            zero_i32x4 = vdupq_n_s32(r->zero_point[i >> shift]);
        }
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++) {
            const int64_t at = i + 4 * part;
            if (shift == QL_EACH) {
                by = divisors_at(r, at);
                zero_i32x4 = vld1q_s32(r->zero_point + at);
            }
            codes_i32x4[part] = vaddq_s32(steps_of(vld1q_f32(x + at), &by), zero_i32x4);
        }
        vst1q_u8(codes + i, low_bytes(codes_i32x4));
    }
    for (; i < count; i++) {
        by = divisor_at(r, i >> shift);
        const int32x4_t steps_i32x4 = steps_of(vdupq_n_f32(x[i]), &by);
        codes[i] = (uint8_t)(vgetq_lane_s32(steps_i32x4, 0) + r->zero_point[i >> shift]);
    }
}

/* Bytes are the same for int8 and uint8: low and high have kept the codes within their range. */
void ql_neon_quantize(const float *x, void *codes, int64_t count, const ql_reciprocals *r,
                      int shift, int stream) {
    (void)stream;
    if (shift == QL_SAME)
        quantize(x, codes, count, r, QL_SAME);
    else if (shift == QL_EACH)
        quantize(x, codes, count, r, QL_EACH);
    else
        quantize(x, codes, count, r, shift);
}

QL_INLINE void fake_quantize(const float *x, float *y, int64_t count, const ql_reciprocals *r,
                             const int shift) {
    divisor by = divisor_at(r, 0);
    float32x4_t scale_f32x4 = vdupq_n_f32(r->scale[0]);
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        if (shift == QL_EACH) {
            by = divisors_at(r, i);
            scale_f32x4 = vld1q_f32(r->scale + i);
        } else if (shift != QL_SAME) {
            by = divisor_at(r, i >> shift);
            scale_f32x4 = vdupq_n_f32(r->scale[i >> shift]);
        }
        const int32x4_t steps_i32x4 = steps_of(vld1q_f32(x + i), &by);
        vst1q_f32(y + i, vmulq_f32(scale_f32x4, vcvtq_f32_s32(steps_i32x4)));
    }
    for (; i < count; i++) {
        by = divisor_at(r, i >> shift);
        const int32x4_t steps_i32x4 = steps_of(vdupq_n_f32(x[i]), &by);
        y[i] = r->scale[i >> shift] * (float)vgetq_lane_s32(steps_i32x4, 0);
    }
}

void ql_neon_fake_quantize(const float *x, void *y, int64_t count, const ql_reciprocals *r,
                           int shift, int stream) {
    (void)stream;
    if (shift == QL_SAME)
        fake_quantize(x, y, count, r, QL_SAME);
    else if (shift == QL_EACH)
        fake_quantize(x, y, count, r, QL_EACH);
    else
        fake_quantize(x, y, count, r, shift);
}

#endif

/* Float32 reals to 8-bit codes for NEON; tails run in the portable kernels, whose operations these
 * repeat in the same order. A NaN quotient passes fmax and fmin, and fcvtns, which rounds half to
 * even, makes it 0: the step of the zero point. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "../portable/kernels.h"
#include "kernels.h"
#include "lanes.h"

/* The parameters of four elements: their scales and zero points, and how many steps the range
 * allows from these. */
typedef struct {
    float32x4_t scale_f32x4, low_f32x4, high_f32x4;
    int32x4_t zero_i32x4;
} parameters;

QL_INLINE parameters make_parameters(float32x4_t scale_f32x4, int32x4_t zero_i32x4, int32_t qmin,
                                     int32_t qmax) {
    return (parameters){scale_f32x4, vcvtq_f32_s32(vsubq_s32(vdupq_n_s32(qmin), zero_i32x4)),
                        vcvtq_f32_s32(vsubq_s32(vdupq_n_s32(qmax), zero_i32x4)), zero_i32x4};
}

QL_INLINE parameters parameters_at(const float *scale, const int32_t *zero_point, int64_t i,
                                   int32_t qmin, int32_t qmax) {
    return make_parameters(vld1q_f32(scale + i), vld1q_s32(zero_point + i), qmin, qmax);
}

QL_INLINE int32x4_t steps_of(const float *x, const parameters *p) {
    const float32x4_t steps_f32x4 = vdivq_f32(vld1q_f32(x), p->scale_f32x4);
    return vcvtnq_s32_f32(vminq_f32(vmaxq_f32(steps_f32x4, p->low_f32x4), p->high_f32x4));
}

/* Quantizes whole sixteens and returns how many elements that were. */
QL_INLINE int64_t quantize(const float *x, uint8_t *codes, int64_t count, const float *scale,
                           const int32_t *zero_point, const int step, int32_t qmin, int32_t qmax) {
    parameters p = make_parameters(vdupq_n_f32(scale[0]), vdupq_n_s32(zero_point[0]), qmin, qmax);
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        int32x4_t codes_i32x4[4];
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++) {
            const int64_t at = i + 4 * part;
            if (step)
                p = parameters_at(scale, zero_point, at, qmin, qmax);
            codes_i32x4[part] = vaddq_s32(steps_of(x + at, &p), p.zero_i32x4);
        }
        vst1q_u8(codes + i, low_bytes(codes_i32x4));
    }
    return i;
}

#define DEFINE_QUANTIZE(code)                                                                      \
    void ql_neon_quantize_float_##code(const void *x_, void *codes_, int64_t count,                \
                                       const void *scale_, const int32_t *zero_point, int step,    \
                                       int32_t qmin, int32_t qmax) {                               \
        const float *x = x_, *scale = scale_;                                                      \
        uint8_t *codes = codes_;                                                                   \
        const int64_t done = step ? quantize(x, codes, count, scale, zero_point, 1, qmin, qmax)    \
                                  : quantize(x, codes, count, scale, zero_point, 0, qmin, qmax);   \
        const int64_t at = step ? done : 0;                                                        \
        if (done < count)                                                                          \
            ql_portable_quantize_float_##code(x + done, codes + done, count - done, scale + at,    \
                                              zero_point + at, step, qmin, qmax);                  \
    }

DEFINE_QUANTIZE(int8)
DEFINE_QUANTIZE(uint8)

void ql_neon_fake_quantize_float(const void *x_, void *y_, int64_t count, const void *scale_,
                                 const int32_t *zero_point, int step, int32_t qmin, int32_t qmax) {
    const float *x = x_, *scale = scale_;
    float *y = y_;
    parameters p = make_parameters(vdupq_n_f32(scale[0]), vdupq_n_s32(zero_point[0]), qmin, qmax);
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        if (step)
            p = parameters_at(scale, zero_point, i, qmin, qmax);
        vst1q_f32(y + i, vmulq_f32(p.scale_f32x4, vcvtq_f32_s32(steps_of(x + i, &p))));
    }
    const int64_t at = step ? i : 0;
    if (i < count)
        ql_portable_fake_quantize_float(x + i, y + i, count - i, scale + at, zero_point + at, step,
                                        qmin, qmax);
}

#endif

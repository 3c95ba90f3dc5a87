/* Reals to codes and back for AVX-512, float32 with 8-bit codes: the operations of
 * kernels/portable/affine.c in the same order, edges masked. A NaN quotient is cleared to +0, the
 * step of the zero point, because vmaxps would return its other operand. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include <math.h>

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

/* Parameters of sixteen elements: scale, zero point, and how far the codes reach from it. */
typedef struct {
    __m512 scale_f32x16, low_f32x16, high_f32x16;
    __m512i zero_i32x16;
} parameters;

QL_INLINE parameters with_reach(__m512 scale_f32x16, __m512i zero_i32x16, int32_t qmin,
                                int32_t qmax) {
    const __m512i low_i32x16 = _mm512_sub_epi32(_mm512_set1_epi32(qmin), zero_i32x16);
    const __m512i high_i32x16 = _mm512_sub_epi32(_mm512_set1_epi32(qmax), zero_i32x16);
    return (parameters){scale_f32x16, _mm512_cvtepi32_ps(low_i32x16),
                        _mm512_cvtepi32_ps(high_i32x16), zero_i32x16};
}

QL_INLINE parameters same(const float *scale, const int32_t *zero_point, int32_t qmin,
                          int32_t qmax) {
    return with_reach(_mm512_set1_ps(*scale), _mm512_set1_epi32(*zero_point), qmin, qmax);
}

/* Elements beyond the mask divide by 1, so that they raise no exception flags. */
QL_INLINE parameters each(__mmask16 mask, const float *scale, const int32_t *zero_point,
                          int32_t qmin, int32_t qmax) {
    return with_reach(_mm512_mask_loadu_ps(_mm512_set1_ps(1.0f), mask, scale),
                      _mm512_maskz_loadu_epi32(mask, zero_point), qmin, qmax);
}

QL_INLINE __m512i steps_of(__m512 x_f32x16, const parameters *p) {
    __m512 steps_f32x16 = _mm512_div_ps(x_f32x16, p->scale_f32x16);
    const __mmask16 ordered = _mm512_cmp_ps_mask(steps_f32x16, steps_f32x16, _CMP_ORD_Q);
    steps_f32x16 = _mm512_maskz_max_ps(ordered, steps_f32x16, p->low_f32x16);
    return _mm512_cvtps_epi32(_mm512_min_ps(steps_f32x16, p->high_f32x16));
}

QL_INLINE void quantize(const float *x, uint8_t *codes, int64_t count, const float *scale,
                        const int32_t *zero_point, int step, int32_t qmin, int32_t qmax) {
    parameters p = same(scale, zero_point, qmin, qmax);
    for (int64_t i = 0; i < count; i += 16) {
        const __mmask16 mask = first(count - i);
        if (step)
            p = each(mask, scale + i, zero_point + i, qmin, qmax);
        const __m512i steps_i32x16 = steps_of(_mm512_maskz_loadu_ps(mask, x + i), &p);
        const __m512i codes_i32x16 = _mm512_add_epi32(steps_i32x16, p.zero_i32x16);
        _mm_mask_storeu_epi8(codes + i, mask, _mm512_cvtepi32_epi8(codes_i32x16));
    }
}

#define DEFINE_QUANTIZE(code)                                                                      \
    void ql_avx512vnni_quantize_float_##code(const void *x, void *codes, int64_t count,            \
                                             const void *scale, const int32_t *zero_point,         \
                                             int step, int32_t qmin, int32_t qmax) {               \
        if (step)                                                                                  \
            quantize(x, codes, count, scale, zero_point, 1, qmin, qmax);                           \
        else                                                                                       \
            quantize(x, codes, count, scale, zero_point, 0, qmin, qmax);                           \
    }

DEFINE_QUANTIZE(int8)
DEFINE_QUANTIZE(uint8)

void ql_avx512vnni_fake_quantize_float(const void *x_, void *y_, int64_t count, const void *scale_,
                                       const int32_t *zero_point, int step, int32_t qmin,
                                       int32_t qmax) {
    const float *x = x_, *scale = scale_;
    float *y = y_;
    parameters p = same(scale, zero_point, qmin, qmax);
    for (int64_t i = 0; i < count; i += 16) {
        const __mmask16 mask = first(count - i);
        if (step)
            p = each(mask, scale + i, zero_point + i, qmin, qmax);
        const __m512i steps_i32x16 = steps_of(_mm512_maskz_loadu_ps(mask, x + i), &p);
        _mm512_mask_storeu_ps(y + i, mask,
                              _mm512_mul_ps(p.scale_f32x16, _mm512_cvtepi32_ps(steps_i32x16)));
    }
}

#define DEFINE_DEQUANTIZE(code, widen)                                                             \
    void ql_avx512vnni_dequantize_##code##_float(const void *codes_, void *x_, int64_t count,      \
                                                 const void *scale_, const int32_t *zero_point,    \
                                                 int step) {                                       \
        const code##_t *codes = codes_;                                                            \
        const float *scale = scale_;                                                               \
        float *x = x_;                                                                             \
        __m512 scale_f32x16 = _mm512_set1_ps(*scale);                                              \
        __m512i zero_i32x16 = _mm512_set1_epi32(*zero_point);                                      \
        for (int64_t i = 0; i < count; i += 16) {                                                  \
            const __mmask16 mask = first(count - i);                                               \
            if (step) {                                                                            \
                scale_f32x16 = _mm512_maskz_loadu_ps(mask, scale + i);                             \
                zero_i32x16 = _mm512_maskz_loadu_epi32(mask, zero_point + i);                      \
            }                                                                                      \
            const __m512i codes_i32x16 = widen(_mm_maskz_loadu_epi8(mask, codes + i));             \
            const __m512 steps_f32x16 =                                                            \
                _mm512_cvtepi32_ps(_mm512_sub_epi32(codes_i32x16, zero_i32x16));                   \
            _mm512_mask_storeu_ps(x + i, mask, _mm512_mul_ps(steps_f32x16, scale_f32x16));         \
        }                                                                                          \
    }

DEFINE_DEQUANTIZE(int8, _mm512_cvtepi8_epi32)
DEFINE_DEQUANTIZE(uint8, _mm512_cvtepu8_epi32)

/* Four pairs of ends hide the latency of vminps; masked-off elements leave them as they are. */
static void min_max_one(const float *x, int64_t count, float *lo, float *hi) {
    __m512 low_f32x16[4], high_f32x16[4];
    __mmask16 unordered = 0;
    for (int part = 0; part < 4; part++) {
        low_f32x16[part] = _mm512_set1_ps(*lo);
        high_f32x16[part] = _mm512_set1_ps(*hi);
    }
    int64_t i = 0;
    for (; i + 64 <= count; i += 64)
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++) {
            const __m512 x_f32x16 = _mm512_loadu_ps(x + i + 16 * part);
            unordered |= _mm512_cmp_ps_mask(x_f32x16, x_f32x16, _CMP_UNORD_Q);
            low_f32x16[part] = _mm512_min_ps(x_f32x16, low_f32x16[part]);
            high_f32x16[part] = _mm512_max_ps(x_f32x16, high_f32x16[part]);
        }
    for (; i < count; i += 16) {
        const __mmask16 mask = first(count - i);
        const __m512 x_f32x16 = _mm512_maskz_loadu_ps(mask, x + i);
        unordered |= _mm512_cmp_ps_mask(x_f32x16, x_f32x16, _CMP_UNORD_Q);
        low_f32x16[0] = _mm512_mask_min_ps(low_f32x16[0], mask, x_f32x16, low_f32x16[0]);
        high_f32x16[0] = _mm512_mask_max_ps(high_f32x16[0], mask, x_f32x16, high_f32x16[0]);
    }
    for (int part = 1; part < 4; part++) {
        low_f32x16[0] = _mm512_min_ps(low_f32x16[part], low_f32x16[0]);
        high_f32x16[0] = _mm512_max_ps(high_f32x16[part], high_f32x16[0]);
    }
    *lo = unordered || *lo != *lo ? NAN : _mm512_reduce_min_ps(low_f32x16[0]);
    *hi = unordered || *hi != *hi ? NAN : _mm512_reduce_max_ps(high_f32x16[0]);
}

static void min_max_each(const float *x, int64_t count, float *lo, float *hi) {
    for (int64_t i = 0; i < count; i += 16) {
        const __mmask16 mask = first(count - i);
        const __m512 x_f32x16 = _mm512_maskz_loadu_ps(mask, x + i);
        const __mmask16 unordered = _mm512_cmp_ps_mask(x_f32x16, x_f32x16, _CMP_UNORD_Q);
        __m512 low_f32x16 = _mm512_maskz_loadu_ps(mask, lo + i);
        __m512 high_f32x16 = _mm512_maskz_loadu_ps(mask, hi + i);
        low_f32x16 = _mm512_min_ps(x_f32x16, low_f32x16);
        high_f32x16 = _mm512_max_ps(x_f32x16, high_f32x16);
        _mm512_mask_storeu_ps(lo + i, mask, _mm512_mask_mov_ps(low_f32x16, unordered, x_f32x16));
        _mm512_mask_storeu_ps(hi + i, mask, _mm512_mask_mov_ps(high_f32x16, unordered, x_f32x16));
    }
}

void ql_avx512vnni_min_max_float(const void *x, int64_t count, void *lo, void *hi, int step) {
    if (step)
        min_max_each(x, count, lo, hi);
    else
        min_max_one(x, count, lo, hi);
}

QL_TARGET_END

#endif

/* Reals to codes and back for AVX2, float32 with 8-bit codes; tails run in the portable kernels,
 * whose operations these repeat in the same order. A NaN quotient is cleared to +0, the step of
 * the zero point, because vmaxps would return its other operand. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

QL_INLINE __m256i steps_of(__m256 x_f32x8, __m256 scale_f32x8, __m256 low_f32x8,
                           __m256 high_f32x8) {
    __m256 steps_f32x8 = _mm256_div_ps(x_f32x8, scale_f32x8);
    steps_f32x8 = _mm256_and_ps(steps_f32x8, _mm256_cmp_ps(steps_f32x8, steps_f32x8, _CMP_ORD_Q));
    steps_f32x8 = _mm256_min_ps(_mm256_max_ps(steps_f32x8, low_f32x8), high_f32x8);
    return _mm256_cvtps_epi32(steps_f32x8);
}

/* The low bytes of 16 numbers. */
QL_INLINE __m128i low_bytes(__m256i first_i32x8, __m256i second_i32x8) {
    const __m256i low_byte_u8x32 = _mm256_set1_epi32(0xFF);
    first_i32x8 = _mm256_and_si256(first_i32x8, low_byte_u8x32);
    second_i32x8 = _mm256_and_si256(second_i32x8, low_byte_u8x32);
    const __m256i words =
        _mm256_permute4x64_epi64(_mm256_packus_epi32(first_i32x8, second_i32x8), 0xD8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

/* Quantizes whole sixteens and returns how many elements that were. */
QL_INLINE int64_t quantize(const float *x, uint8_t *codes, int64_t count, const float *scale,
                           const int32_t *zero_point, int step, int32_t qmin, int32_t qmax) {
    const __m256i qmin_i32x8 = _mm256_set1_epi32(qmin), qmax_i32x8 = _mm256_set1_epi32(qmax);
    __m256 scale_f32x8 = _mm256_set1_ps(scale[0]);
    __m256i zero_i32x8 = _mm256_set1_epi32(zero_point[0]);
    __m256 low_f32x8 = _mm256_cvtepi32_ps(_mm256_sub_epi32(qmin_i32x8, zero_i32x8));
    __m256 high_f32x8 = _mm256_cvtepi32_ps(_mm256_sub_epi32(qmax_i32x8, zero_i32x8));
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m256i codes_i32x8[2];
        for (int half = 0; half < 2; half++) {
            const int64_t at = i + 8 * half;
            if (step) {
                scale_f32x8 = _mm256_loadu_ps(scale + at);
                zero_i32x8 = _mm256_loadu_si256((const __m256i *)(zero_point + at));
                low_f32x8 = _mm256_cvtepi32_ps(_mm256_sub_epi32(qmin_i32x8, zero_i32x8));
                high_f32x8 = _mm256_cvtepi32_ps(_mm256_sub_epi32(qmax_i32x8, zero_i32x8));
            }
            codes_i32x8[half] = _mm256_add_epi32(
                steps_of(_mm256_loadu_ps(x + at), scale_f32x8, low_f32x8, high_f32x8), zero_i32x8);
        }
        _mm_storeu_si128((__m128i *)(codes + i), low_bytes(codes_i32x8[0], codes_i32x8[1]));
    }
    return i;
}

#define DEFINE_QUANTIZE(code)                                                                      \
    void ql_avx2_quantize_float_##code(const void *x_, void *codes_, int64_t count,                \
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

void ql_avx2_fake_quantize_float(const void *x_, void *y_, int64_t count, const void *scale_,
                                 const int32_t *zero_point, int step, int32_t qmin, int32_t qmax) {
    const float *x = x_, *scale = scale_;
    float *y = y_;
    const __m256i qmin_i32x8 = _mm256_set1_epi32(qmin), qmax_i32x8 = _mm256_set1_epi32(qmax);
    __m256 scale_f32x8 = _mm256_set1_ps(scale[0]);
    __m256i zero_i32x8 = _mm256_set1_epi32(zero_point[0]);
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        if (step) {
            scale_f32x8 = _mm256_loadu_ps(scale + i);
            zero_i32x8 = _mm256_loadu_si256((const __m256i *)(zero_point + i));
        }
        const __m256 low_f32x8 = _mm256_cvtepi32_ps(_mm256_sub_epi32(qmin_i32x8, zero_i32x8));
        const __m256 high_f32x8 = _mm256_cvtepi32_ps(_mm256_sub_epi32(qmax_i32x8, zero_i32x8));
        const __m256i steps_i32x8 =
            steps_of(_mm256_loadu_ps(x + i), scale_f32x8, low_f32x8, high_f32x8);
        _mm256_storeu_ps(y + i, _mm256_mul_ps(scale_f32x8, _mm256_cvtepi32_ps(steps_i32x8)));
    }
    const int64_t at = step ? i : 0;
    if (i < count)
        ql_portable_fake_quantize_float(x + i, y + i, count - i, scale + at, zero_point + at, step,
                                        qmin, qmax);
}

#define DEFINE_DEQUANTIZE(code, widen)                                                             \
    void ql_avx2_dequantize_##code##_float(const void *codes_, void *x_, int64_t count,            \
                                           const void *scale_, const int32_t *zero_point,          \
                                           int step) {                                             \
        const code##_t *codes = codes_;                                                            \
        const float *scale = scale_;                                                               \
        float *x = x_;                                                                             \
        __m256 scale_f32x8 = _mm256_set1_ps(scale[0]);                                             \
        __m256i zero_i32x8 = _mm256_set1_epi32(zero_point[0]);                                     \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= count; i += 8) {                                                           \
            if (step) {                                                                            \
                scale_f32x8 = _mm256_loadu_ps(scale + i);                                          \
                zero_i32x8 = _mm256_loadu_si256((const __m256i *)(zero_point + i));                \
            }                                                                                      \
            const __m256i codes_i32x8 = widen(_mm_loadl_epi64((const __m128i *)(codes + i)));      \
            const __m256 steps_f32x8 =                                                             \
                _mm256_cvtepi32_ps(_mm256_sub_epi32(codes_i32x8, zero_i32x8));                     \
            _mm256_storeu_ps(x + i, _mm256_mul_ps(steps_f32x8, scale_f32x8));                      \
        }                                                                                          \
        const int64_t at = step ? i : 0;                                                           \
        if (i < count)                                                                             \
            ql_portable_dequantize_##code##_float(codes + i, x + i, count - i, scale + at,         \
                                                  zero_point + at, step);                          \
    }

DEFINE_DEQUANTIZE(int8, _mm256_cvtepi8_epi32)
DEFINE_DEQUANTIZE(uint8, _mm256_cvtepu8_epi32)

/* Four pairs of ends hide the latency of vminps. With x as the first operand it returns the end
 * where x is NaN; NaNs are gathered beside. */
void ql_avx2_min_max_float(const void *x_, int64_t count, void *lo_, void *hi_, int step) {
    const float *x = x_;
    float *lo = lo_, *hi = hi_;
    if (step || count < 32) {
        ql_portable_min_max_float(x, count, lo, hi, step);
        return;
    }
    __m256 low_f32x8[4], high_f32x8[4], unordered_f32x8 = _mm256_setzero_ps();
    for (int part = 0; part < 4; part++) {
        low_f32x8[part] = _mm256_set1_ps(*lo);
        high_f32x8[part] = _mm256_set1_ps(*hi);
    }
    int64_t i = 0;
    for (; i + 32 <= count; i += 32)
        for (int part = 0; part < 4; part++) {
            const __m256 x_f32x8 = _mm256_loadu_ps(x + i + 8 * part);
            low_f32x8[part] = _mm256_min_ps(x_f32x8, low_f32x8[part]);
            high_f32x8[part] = _mm256_max_ps(x_f32x8, high_f32x8[part]);
            unordered_f32x8 =
                _mm256_or_ps(unordered_f32x8, _mm256_cmp_ps(x_f32x8, x_f32x8, _CMP_UNORD_Q));
        }
    float ends[2][32];
    for (int part = 0; part < 4; part++) {
        _mm256_storeu_ps(ends[0] + 8 * part, low_f32x8[part]);
        _mm256_storeu_ps(ends[1] + 8 * part, high_f32x8[part]);
    }
    if (_mm256_movemask_ps(unordered_f32x8))
        ends[0][0] = NAN;
    float unused = *lo;
    ql_portable_min_max_float(ends[0], 32, lo, &unused, 0);
    unused = *hi;
    ql_portable_min_max_float(ends[1], 32, &unused, hi, 0);
    if (*lo != *lo)
        *hi = NAN;
    ql_portable_min_max_float(x + i, count - i, lo, hi, 0);
}

QL_TARGET_END

#endif

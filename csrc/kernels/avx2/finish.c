/* Sums to results for AVX2: see kernels/portable/finish.c, of which these are the same operations
 * in the same order. vcvtps2dq rounds half to even. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

QL_INLINE __m256i codes_of(const int32_t *sum, const float *multiplier, __m256 low_f32x8,
                           __m256 high_f32x8, __m256i zero_i32x8) {
    __m256 steps_f32x8 = _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)sum));
    steps_f32x8 = _mm256_mul_ps(steps_f32x8, _mm256_loadu_ps(multiplier));
    steps_f32x8 = _mm256_min_ps(_mm256_max_ps(steps_f32x8, low_f32x8), high_f32x8);
    return _mm256_add_epi32(_mm256_cvtps_epi32(steps_f32x8), zero_i32x8);
}

void ql_avx2_requantize(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                        const float *multiplier, int32_t zero_point, int32_t lower, int32_t upper,
                        uint8_t *y, int64_t y_stride) {
    const __m256 low_f32x8 = _mm256_set1_ps((float)(lower - zero_point));
    const __m256 high_f32x8 = _mm256_set1_ps((float)(upper - zero_point));
    const __m256i zero_i32x8 = _mm256_set1_epi32(zero_point);
    const __m256i low_byte_u8x32 = _mm256_set1_epi32(0xFF);
    for (int64_t i = 0; i < rows; i++) {
        const int32_t *sum = sums + i * sums_stride;
        uint8_t *code = y + i * y_stride;
        int64_t j = 0;
        for (; j + 16 <= columns; j += 16) {
            __m256i first = codes_of(sum + j, multiplier + j, low_f32x8, high_f32x8, zero_i32x8);
            __m256i second =
                codes_of(sum + j + 8, multiplier + j + 8, low_f32x8, high_f32x8, zero_i32x8);
            /* The low bytes, as numbers 0 to 255, pass both saturating packs unchanged. */
            first = _mm256_and_si256(first, low_byte_u8x32);
            second = _mm256_and_si256(second, low_byte_u8x32);
            __m256i words = _mm256_packus_epi32(first, second);
            words = _mm256_permute4x64_epi64(words, 0xD8);
            const __m128i bytes =
                _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
            _mm_storeu_si128((__m128i *)(code + j), bytes);
        }
        if (j < columns)
            ql_portable_requantize(sum + j, 0, 1, columns - j, multiplier + j, zero_point, lower,
                                   upper, code + j, 0);
    }
}

void ql_avx2_rescale(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                     const float *multiplier, const float *row_factor, int64_t row_step,
                     const float *bias, float lower, float upper, float *y, int64_t y_stride) {
    const __m256 lower_f32x8 = _mm256_set1_ps(lower), upper_f32x8 = _mm256_set1_ps(upper);
    for (int64_t i = 0; i < rows; i++) {
        const int32_t *sum = sums + i * sums_stride;
        const float *factor = row_factor + i * row_step;
        const __m256 factor_f32x8 = _mm256_set1_ps(*factor);
        float *real = y + i * y_stride;
        int64_t j = 0;
        for (; j + 8 <= columns; j += 8) {
            const __m256 multiplier_f32x8 =
                _mm256_mul_ps(factor_f32x8, _mm256_loadu_ps(multiplier + j));
            __m256 value_f32x8 = _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(sum + j)));
            value_f32x8 = _mm256_mul_ps(value_f32x8, multiplier_f32x8);
            if (bias != NULL)
                value_f32x8 = _mm256_add_ps(value_f32x8, _mm256_loadu_ps(bias + j));
            value_f32x8 = _mm256_min_ps(_mm256_max_ps(value_f32x8, lower_f32x8), upper_f32x8);
            _mm256_storeu_ps(real + j, value_f32x8);
        }
        if (j < columns)
            ql_portable_rescale(sum + j, 0, 1, columns - j, multiplier + j, factor, 0,
                                bias == NULL ? NULL : bias + j, lower, upper, real + j, 0);
    }
}

QL_TARGET_END

#endif

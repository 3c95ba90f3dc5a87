/* Sums to results for AVX-512: see kernels/portable/finish.c, of which these are the same
 * operations in the same order. Edges are masked. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

void ql_avx512vnni_requantize(const int32_t *sums, int64_t sums_stride, int64_t rows,
                              int64_t columns, const float *multiplier, int32_t zero_point,
                              int32_t lower, int32_t upper, uint8_t *y, int64_t y_stride) {
    const __m512 low_f32x16 = _mm512_set1_ps((float)(lower - zero_point));
    const __m512 high_f32x16 = _mm512_set1_ps((float)(upper - zero_point));
    const __m512i zero_i32x16 = _mm512_set1_epi32(zero_point);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j += 16) {
            const __mmask16 mask = first(columns - j);
            __m512 steps_f32x16 =
                _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(mask, sums + i * sums_stride + j));
            steps_f32x16 = _mm512_mul_ps(steps_f32x16, _mm512_maskz_loadu_ps(mask, multiplier + j));
            steps_f32x16 = _mm512_min_ps(_mm512_max_ps(steps_f32x16, low_f32x16), high_f32x16);
            const __m512i codes_i32x16 =
                _mm512_add_epi32(_mm512_cvtps_epi32(steps_f32x16), zero_i32x16);
            _mm_mask_storeu_epi8(y + i * y_stride + j, mask, _mm512_cvtepi32_epi8(codes_i32x16));
        }
}

void ql_avx512vnni_rescale(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                           const float *multiplier, const float *row_factor, int64_t row_step,
                           const float *bias, float lower, float upper, float *y,
                           int64_t y_stride) {
    const __m512 lower_f32x16 = _mm512_set1_ps(lower), upper_f32x16 = _mm512_set1_ps(upper);
    for (int64_t i = 0; i < rows; i++) {
        const __m512 factor_f32x16 = _mm512_set1_ps(row_factor[i * row_step]);
        for (int64_t j = 0; j < columns; j += 16) {
            const __mmask16 mask = first(columns - j);
            const __m512 multiplier_f32x16 =
                _mm512_mul_ps(factor_f32x16, _mm512_maskz_loadu_ps(mask, multiplier + j));
            __m512 value_f32x16 =
                _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(mask, sums + i * sums_stride + j));
            value_f32x16 = _mm512_mul_ps(value_f32x16, multiplier_f32x16);
            if (bias != NULL)
                value_f32x16 = _mm512_add_ps(value_f32x16, _mm512_maskz_loadu_ps(mask, bias + j));
            value_f32x16 = _mm512_min_ps(_mm512_max_ps(value_f32x16, lower_f32x16), upper_f32x16);
            _mm512_mask_storeu_ps(y + i * y_stride + j, mask, value_f32x16);
        }
    }
}

/* Row by row: in an array that does not begin at a cache line, a vector ends in the line in which
 * the next one begins, and the two halves of that line had better be written together. */
void ql_avx512vnni_copy(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                        int32_t *y, int64_t y_stride) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j += 16) {
            const __mmask16 mask = first(columns - j);
            _mm512_mask_storeu_epi32(y + i * y_stride + j, mask,
                                     _mm512_maskz_loadu_epi32(mask, sums + i * sums_stride + j));
        }
}

QL_TARGET_END

#endif

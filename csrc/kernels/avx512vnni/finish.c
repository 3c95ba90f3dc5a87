/* Sums to results for AVX-512: see kernels/portable/finish.c, of which these are the same
 * operations in the same order. Edges are masked. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"
#include "requantize.h"
#include "rescale.h"

/* 4, 2 or 1 vectors of columns, of 1, 2 or 4 rows at a time: 64 sums. A last row counts for those
 * that are missing. */
QL_INLINE void requantize_columns(const int vectors, const int32_t *sums, int64_t sums_stride,
                                  int64_t rows, int64_t columns, const float *multiplier,
                                  const uint8_t *added, int64_t added_stride, const requantizer *r,
                                  uint8_t *y, int64_t y_stride) {
    const __mmask64 bytes = first_bytes(columns);
    __m512 multiplier_f32x16[4];
    __mmask16 mask[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        mask[v] = first(columns - 16 * v);
        multiplier_f32x16[v] = _mm512_maskz_loadu_ps(mask[v], multiplier + 16 * v);
    }
    for (int64_t i = 0; i < rows; i += 4 / vectors) {
        int64_t row[4];
        __m512i steps_i32x16[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            const int v = k % vectors;
            row[k] = ql_min(i + k / vectors, rows - 1);
            const uint8_t *codes = added == NULL ? NULL : added + row[k] * added_stride + 16 * v;
            const __m512i sums_i32x16 =
                _mm512_maskz_loadu_epi32(mask[v], sums + row[k] * sums_stride + 16 * v);
            steps_i32x16[k] = steps_of(sums_i32x16, codes, mask[v], multiplier_f32x16[v], r);
        }
        const __m512i codes = codes_of(steps_i32x16, r);
        if (vectors == 4) {
            _mm512_mask_storeu_epi8(y + row[0] * y_stride, bytes, codes);
        } else if (vectors == 2) {
            _mm256_mask_storeu_epi8(y + row[0] * y_stride, (__mmask32)bytes,
                                    _mm512_castsi512_si256(codes));
            _mm256_mask_storeu_epi8(y + row[2] * y_stride, (__mmask32)bytes,
                                    _mm512_extracti64x4_epi64(codes, 1));
        } else {
            _mm_mask_storeu_epi8(y + row[0] * y_stride, mask[0], _mm512_castsi512_si128(codes));
            _mm_mask_storeu_epi8(y + row[1] * y_stride, mask[0],
                                 _mm512_extracti32x4_epi32(codes, 1));
            _mm_mask_storeu_epi8(y + row[2] * y_stride, mask[0],
                                 _mm512_extracti32x4_epi32(codes, 2));
            _mm_mask_storeu_epi8(y + row[3] * y_stride, mask[0],
                                 _mm512_extracti32x4_epi32(codes, 3));
        }
    }
}

QL_INLINE void requantize(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                          const float *multiplier, const uint8_t *added, int64_t added_stride,
                          const requantizer *r, uint8_t *y, int64_t y_stride) {
    for (int64_t j = 0; j < columns; j += 64) {
        const int64_t left = ql_min(64, columns - j);
        const uint8_t *codes = added == NULL ? NULL : added + j;
        if (left > 32)
            requantize_columns(4, sums + j, sums_stride, rows, left, multiplier + j, codes,
                               added_stride, r, y + j, y_stride);
        else if (left > 16)
            requantize_columns(2, sums + j, sums_stride, rows, left, multiplier + j, codes,
                               added_stride, r, y + j, y_stride);
        else
            requantize_columns(1, sums + j, sums_stride, rows, left, multiplier + j, codes,
                               added_stride, r, y + j, y_stride);
    }
}

void ql_avx512vnni_requantize(const int32_t *sums, int64_t sums_stride, int64_t rows,
                              int64_t columns, const float *multiplier, int32_t zero_point,
                              int32_t lower, int32_t upper, uint8_t *y, int64_t y_stride) {
    const requantizer r = requantizer_of(zero_point, lower, upper, NULL);
    requantize(sums, sums_stride, rows, columns, multiplier, NULL, 0, &r, y, y_stride);
}

void ql_avx512vnni_requantize_sum(const int32_t *sums, int64_t sums_stride, int64_t rows,
                                  int64_t columns, const float *multiplier,
                                  const ql_residual *residual, int32_t zero_point, int32_t lower,
                                  int32_t upper, uint8_t *y, int64_t y_stride) {
    const requantizer r = requantizer_of(zero_point, lower, upper, residual);
    requantize(sums, sums_stride, rows, columns, multiplier, residual->codes, residual->stride, &r,
               y, y_stride);
}

void ql_avx512vnni_rescale(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                           const float *multiplier, const float *row_factor, int64_t row_step,
                           const float *bias, float lower, float upper, float *y,
                           int64_t y_stride) {
    for (int64_t j = 0; j < columns; j += 32) {
        const rescaler r =
            rescaler_of(multiplier + j, bias == NULL ? NULL : bias + j, lower, upper, columns - j);
        for (int64_t i = 0; i < rows; i++) {
            const int32_t *row = sums + i * sums_stride + j;
            const __m512i sums_i32x16[2] = {_mm512_maskz_loadu_epi32(r.mask[0], row),
                                            _mm512_maskz_loadu_epi32(r.mask[1], row + 16)};
            rescale_row(&r, sums_i32x16, row_factor[i * row_step], 0, y + i * y_stride + j);
        }
    }
}

/* Row by row: in an array that does not begin at a cache line, a vector ends in the line in which
 * the next one begins, and the two halves of that line had better be written together. */
void ql_avx512vnni_copy(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                        int32_t *y, int64_t y_stride) {
    for (int64_t j = 0; j < columns; j += 32) {
        const __mmask16 low = first(columns - j), high = first(columns - j - 16);
        for (int64_t i = 0; i < rows; i++) {
            const int32_t *from = sums + i * sums_stride + j;
            int32_t *to = y + i * y_stride + j;
            _mm512_mask_storeu_epi32(to, low, _mm512_maskz_loadu_epi32(low, from));
            _mm512_mask_storeu_epi32(to + 16, high, _mm512_maskz_loadu_epi32(high, from + 16));
        }
    }
}

QL_TARGET_END

#endif

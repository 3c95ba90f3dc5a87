/* Sums to results for AVX-512: see kernels/portable/finish.c, of which these are the same
 * operations in the same order. Edges are masked. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

/* What turns sums into codes. */
typedef struct {
    __m512 high_f32x16;
    __m512i zero_i16x32, lower_i8x64, upper_i8x64;
    int is_signed;
} requantizer;

QL_INLINE requantizer requantizer_of(int32_t zero_point, int32_t lower, int32_t upper) {
    return (requantizer){
        .high_f32x16 = _mm512_set1_ps(65536.0f),
        .zero_i16x32 = _mm512_set1_epi16((short)zero_point),
        .lower_i8x64 = _mm512_set1_epi8((char)lower),
        .upper_i8x64 = _mm512_set1_epi8((char)upper),
        .is_signed = lower < 0,
    };
}

/* Sums to steps. Beyond the least int32, vcvtps2dq gives the least int32; the largest steps are cut
 * before, still out of reach of every zero point. */
QL_INLINE __m512i steps_of(const int32_t *sums, __mmask16 mask, __m512 multiplier_f32x16,
                           const requantizer *r) {
    const __m512 sums_f32x16 = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(mask, sums));
    const __m512 steps_f32x16 = _mm512_mul_ps(sums_f32x16, multiplier_f32x16);
    return _mm512_cvtps_epi32(_mm512_min_ps(steps_f32x16, r->high_f32x16));
}

/* Four vectors of steps to 64 codes, in order. Packs saturate, and interleave the lanes of their
 * operands: a permutation at the end puts them in order. */
QL_INLINE __m512i codes_of(__m512i a, __m512i b, __m512i c, __m512i d, const requantizer *r) {
    const __m512i order_i32x16 =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i ab_i16x32 = _mm512_adds_epi16(_mm512_packs_epi32(a, b), r->zero_i16x32);
    const __m512i cd_i16x32 = _mm512_adds_epi16(_mm512_packs_epi32(c, d), r->zero_i16x32);
    __m512i codes;
    if (r->is_signed) {
        codes = _mm512_packs_epi16(ab_i16x32, cd_i16x32);
        codes = _mm512_min_epi8(_mm512_max_epi8(codes, r->lower_i8x64), r->upper_i8x64);
    } else {
        codes = _mm512_packus_epi16(ab_i16x32, cd_i16x32);
        codes = _mm512_min_epu8(_mm512_max_epu8(codes, r->lower_i8x64), r->upper_i8x64);
    }
    return _mm512_permutexvar_epi32(order_i32x16, codes);
}

/* Up to 64 columns of one row after the other. */
QL_INLINE void requantize_64(const int32_t *sums, int64_t sums_stride, int64_t rows,
                             int64_t columns, const float *multiplier, const requantizer *r,
                             uint8_t *y, int64_t y_stride) {
    __m512 multiplier_f32x16[4];
    __mmask16 mask[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        mask[v] = first(columns - 16 * v);
        multiplier_f32x16[v] = _mm512_maskz_loadu_ps(mask[v], multiplier + 16 * v);
    }
    for (int64_t i = 0; i < rows; i++, sums += sums_stride, y += y_stride) {
        __m512i steps_i32x16[4];
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            steps_i32x16[v] = steps_of(sums + 16 * v, mask[v], multiplier_f32x16[v], r);
        _mm512_mask_storeu_epi8(
            y, first_bytes(columns),
            codes_of(steps_i32x16[0], steps_i32x16[1], steps_i32x16[2], steps_i32x16[3], r));
    }
}

/* Up to 32 columns of two rows after the other; a last row alone counts twice. */
QL_INLINE void requantize_32(const int32_t *sums, int64_t sums_stride, int64_t rows,
                             int64_t columns, const float *multiplier, const requantizer *r,
                             uint8_t *y, int64_t y_stride) {
    const __mmask16 low = first(columns), high = first(columns - 16);
    const __mmask32 bytes = (__mmask32)first_bytes(columns);
    const __m512 low_f32x16 = _mm512_maskz_loadu_ps(low, multiplier);
    const __m512 high_f32x16 = _mm512_maskz_loadu_ps(high, multiplier + 16);
    for (int64_t i = 0; i < rows; i += 2) {
        const int64_t next = i + 1 < rows ? i + 1 : i;
        const int32_t *one = sums + i * sums_stride, *two = sums + next * sums_stride;
        const __m512i codes = codes_of(
            steps_of(one, low, low_f32x16, r), steps_of(one + 16, high, high_f32x16, r),
            steps_of(two, low, low_f32x16, r), steps_of(two + 16, high, high_f32x16, r), r);
        _mm256_mask_storeu_epi8(y + i * y_stride, bytes, _mm512_castsi512_si256(codes));
        _mm256_mask_storeu_epi8(y + next * y_stride, bytes, _mm512_extracti64x4_epi64(codes, 1));
    }
}

/* Up to 16 columns of four rows after the other; a last row counts for those that are missing. */
QL_INLINE void requantize_16(const int32_t *sums, int64_t sums_stride, int64_t rows,
                             int64_t columns, const float *multiplier, const requantizer *r,
                             uint8_t *y, int64_t y_stride) {
    const __mmask16 mask = first(columns);
    const __m512 multiplier_f32x16 = _mm512_maskz_loadu_ps(mask, multiplier);
    for (int64_t i = 0; i < rows; i += 4) {
        int64_t row[4];
        __m512i steps_i32x16[4];
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            row[v] = ql_min(i + v, rows - 1);
            steps_i32x16[v] = steps_of(sums + row[v] * sums_stride, mask, multiplier_f32x16, r);
        }
        const __m512i codes =
            codes_of(steps_i32x16[0], steps_i32x16[1], steps_i32x16[2], steps_i32x16[3], r);
        _mm_mask_storeu_epi8(y + row[0] * y_stride, mask, _mm512_castsi512_si128(codes));
        _mm_mask_storeu_epi8(y + row[1] * y_stride, mask, _mm512_extracti32x4_epi32(codes, 1));
        _mm_mask_storeu_epi8(y + row[2] * y_stride, mask, _mm512_extracti32x4_epi32(codes, 2));
        _mm_mask_storeu_epi8(y + row[3] * y_stride, mask, _mm512_extracti32x4_epi32(codes, 3));
    }
}

void ql_avx512vnni_requantize(const int32_t *sums, int64_t sums_stride, int64_t rows,
                              int64_t columns, const float *multiplier, int32_t zero_point,
                              int32_t lower, int32_t upper, uint8_t *y, int64_t y_stride) {
    const requantizer r = requantizer_of(zero_point, lower, upper);
    for (int64_t j = 0; j < columns; j += 64) {
        const int64_t left = ql_min(64, columns - j);
        if (left > 32)
            requantize_64(sums + j, sums_stride, rows, left, multiplier + j, &r, y + j, y_stride);
        else if (left > 16)
            requantize_32(sums + j, sums_stride, rows, left, multiplier + j, &r, y + j, y_stride);
        else
            requantize_16(sums + j, sums_stride, rows, left, multiplier + j, &r, y + j, y_stride);
    }
}

/* Two vectors of columns at a time, as wide as a tile: what belongs to columns stays in registers
 * for all its rows. */
typedef struct {
    __mmask16 mask[2];
    __m512 multiplier_f32x16[2];
} columns_pair;

QL_INLINE columns_pair pair_of(const float *multiplier, int64_t columns) {
    columns_pair pair = {.mask = {first(columns), first(columns - 16)}};
    pair.multiplier_f32x16[0] = _mm512_maskz_loadu_ps(pair.mask[0], multiplier);
    pair.multiplier_f32x16[1] = _mm512_maskz_loadu_ps(pair.mask[1], multiplier + 16);
    return pair;
}

QL_INLINE __m512 reals(__mmask16 mask, const int32_t *sums) {
    return _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(mask, sums));
}

void ql_avx512vnni_rescale(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                           const float *multiplier, const float *row_factor, int64_t row_step,
                           const float *bias, float lower, float upper, float *y,
                           int64_t y_stride) {
    const __m512 lower_f32x16 = _mm512_set1_ps(lower), upper_f32x16 = _mm512_set1_ps(upper);
    for (int64_t j = 0; j < columns; j += 32) {
        const columns_pair pair = pair_of(multiplier + j, columns - j);
        /* -0 is what changes nothing when it is added, not even the sign of a zero. */
        __m512 bias_f32x16[2] = {_mm512_set1_ps(-0.0f), _mm512_set1_ps(-0.0f)};
        for (int half = 0; half < 2 && bias != NULL; half++)
            bias_f32x16[half] = _mm512_maskz_loadu_ps(pair.mask[half], bias + j + 16 * half);
        for (int64_t i = 0; i < rows; i++) {
            const __m512 factor_f32x16 = _mm512_set1_ps(row_factor[i * row_step]);
            for (int half = 0; half < 2; half++) {
                const int64_t at = j + 16 * half;
                __m512 value_f32x16 = reals(pair.mask[half], sums + i * sums_stride + at);
                value_f32x16 = _mm512_mul_ps(
                    value_f32x16, _mm512_mul_ps(factor_f32x16, pair.multiplier_f32x16[half]));
                value_f32x16 = _mm512_add_ps(value_f32x16, bias_f32x16[half]);
                value_f32x16 =
                    _mm512_min_ps(_mm512_max_ps(value_f32x16, lower_f32x16), upper_f32x16);
                _mm512_mask_storeu_ps(y + i * y_stride + at, pair.mask[half], value_f32x16);
            }
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

/* Sums to results for AVX2: see kernels/portable/finish.c, of which these are the same operations
 * in the same order. vcvtps2dq rounds half to even. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

#include "edges.h"

/* What turns sums into codes, and codes to be added into steps. */
typedef struct {
    __m256 high_f32x8, residual_zero_f32x8, residual_factor_f32x8;
    __m256i zero_i16x16, lower_i8x32, upper_i8x32;
    __m128i residual_flip_u8x16;
    int is_signed;
} requantizer;

QL_INLINE requantizer requantizer_of(int32_t zero_point, int32_t lower, int32_t upper,
                                     const ql_residual *residual) {
    requantizer r = {
        .high_f32x8 = _mm256_set1_ps(65536.0f),
        .zero_i16x16 = _mm256_set1_epi16((short)zero_point),
        .lower_i8x32 = _mm256_set1_epi8((char)lower),
        .upper_i8x32 = _mm256_set1_epi8((char)upper),
        .is_signed = lower < 0,
    };
    if (residual != NULL) {
        r.residual_zero_f32x8 = _mm256_set1_ps(residual->zero);
        r.residual_factor_f32x8 = _mm256_set1_ps(residual->factor);
        r.residual_flip_u8x16 = _mm_set1_epi8((char)residual->flip);
    }
    return r;
}

/* Eight sums to steps, those of eight codes added if there are any. Beyond the least int32, and of
 * what is no number, vcvtps2dq gives the least int32; the largest steps are cut before, still out
 * of reach of every zero point. */
QL_INLINE __m256i steps_of(const int added, __m256i sums_i32x8, __m128i codes_u8x16,
                           __m256 multiplier_f32x8, const requantizer *r) {
    __m256 steps_f32x8 = _mm256_mul_ps(_mm256_cvtepi32_ps(sums_i32x8), multiplier_f32x8);
    if (added) {
        codes_u8x16 = _mm_xor_si128(codes_u8x16, r->residual_flip_u8x16);
        const __m256 codes_f32x8 = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes_u8x16));
        const __m256 term_f32x8 = _mm256_mul_ps(_mm256_sub_ps(codes_f32x8, r->residual_zero_f32x8),
                                                r->residual_factor_f32x8);
        steps_f32x8 = _mm256_add_ps(steps_f32x8, term_f32x8);
    }
    return _mm256_cvtps_epi32(_mm256_min_ps(r->high_f32x8, steps_f32x8));
}

/* Four vectors of steps to 32 codes, in order. Packs saturate, and interleave the lanes of their
 * operands: a permutation at the end puts them in order. */
QL_INLINE __m256i codes_of(const __m256i steps_i32x8[4], const requantizer *r) {
    const __m256i order_i32x8 = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i low_i16x16 =
        _mm256_adds_epi16(_mm256_packs_epi32(steps_i32x8[0], steps_i32x8[1]), r->zero_i16x16);
    const __m256i high_i16x16 =
        _mm256_adds_epi16(_mm256_packs_epi32(steps_i32x8[2], steps_i32x8[3]), r->zero_i16x16);
    __m256i codes;
    if (r->is_signed) {
        codes = _mm256_packs_epi16(low_i16x16, high_i16x16);
        codes = _mm256_min_epi8(_mm256_max_epi8(codes, r->lower_i8x32), r->upper_i8x32);
    } else {
        codes = _mm256_packus_epi16(low_i16x16, high_i16x16);
        codes = _mm256_min_epu8(_mm256_max_epu8(codes, r->lower_i8x32), r->upper_i8x32);
    }
    return _mm256_permutevar8x32_epi32(codes, order_i32x8);
}

/* Sums and what becomes of them, row by row. */
typedef struct {
    const int32_t *sums;
    const float *multiplier;
    const uint8_t *added;
    uint8_t *y;
    int64_t sums_stride, added_stride, y_stride, rows;
} tile;

QL_INLINE tile tile_from(const tile *t, int64_t column) {
    tile part = *t;
    part.sums += column;
    part.multiplier += column;
    part.added = t->added == NULL ? NULL : t->added + column;
    part.y += column;
    return part;
}

/* 32 columns. */
QL_INLINE void requantize_32(const int added, const tile *t, const requantizer *r) {
    __m256 multiplier_f32x8[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        multiplier_f32x8[v] = _mm256_loadu_ps(t->multiplier + 8 * v);
    for (int64_t row = 0; row < t->rows; row++) {
        const __m256i *sum = (const __m256i *)(const void *)(t->sums + row * t->sums_stride);
        __m256i steps_i32x8[4];
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            const void *codes = added ? t->added + row * t->added_stride + 8 * v : NULL;
            steps_i32x8[v] =
                steps_of(added, _mm256_loadu_si256(sum + v),
                         added ? _mm_loadl_epi64((const __m128i *)codes) : _mm_setzero_si128(),
                         multiplier_f32x8[v], r);
        }
        _mm256_storeu_si256((__m256i *)(t->y + row * t->y_stride), codes_of(steps_i32x8, r));
    }
}

/* 16 codes of two rows, or fewer. */
QL_INLINE void store_rows(const int whole, __m256i codes, int64_t columns, uint8_t *first,
                          uint8_t *second) {
    if (whole) {
        _mm_storeu_si128((__m128i *)first, _mm256_castsi256_si128(codes));
        _mm_storeu_si128((__m128i *)second, _mm256_extracti128_si256(codes, 1));
        return;
    }
    uint8_t both[32];
    _mm256_storeu_si256((__m256i *)both, codes);
    copy_some(first, both, columns);
    copy_some(second, both + 16, columns);
}

/* Up to 16 columns, of two rows at a time; a last row counts for one that is missing. */
QL_INLINE void requantize_16(const int whole, const int added, const tile *t, int64_t columns,
                             const requantizer *r) {
    const __m256 multiplier_f32x8[2] = {
        _mm256_castsi256_ps(load_lanes(t->multiplier, columns)),
        _mm256_castsi256_ps(load_lanes(t->multiplier + 8, columns - 8))};
    for (int64_t row = 0; row < t->rows; row += 2) {
        const int64_t next = ql_min(row + 1, t->rows - 1);
        __m256i steps_i32x8[4];
#pragma GCC unroll 2
        for (int k = 0; k < 2; k++) {
            const int64_t from = k == 0 ? row : next;
            const int32_t *sum = t->sums + from * t->sums_stride;
            const uint8_t *codes = added ? t->added + from * t->added_stride : NULL;
            __m128i codes_u8x16 = _mm_setzero_si128();
            if (added)
                codes_u8x16 = whole ? _mm_loadu_si128((const __m128i *)(const void *)codes)
                                    : load_some(codes, columns);
#pragma GCC unroll 2
            for (int v = 0; v < 2; v++)
                steps_i32x8[2 * k + v] =
                    steps_of(added, load_lanes(sum + 8 * v, whole ? 8 : columns - 8 * v),
                             v == 0 ? codes_u8x16 : _mm_unpackhi_epi64(codes_u8x16, codes_u8x16),
                             multiplier_f32x8[v], r);
        }
        store_rows(whole, codes_of(steps_i32x8, r), columns, t->y + row * t->y_stride,
                   t->y + next * t->y_stride);
    }
}

QL_INLINE void requantize(const int added, const tile *t, int64_t columns, const requantizer *r) {
    int64_t j = 0;
    for (; j + 32 <= columns; j += 32) {
        const tile part = tile_from(t, j);
        requantize_32(added, &part, r);
    }
    for (; j < columns; j += 16) {
        const tile part = tile_from(t, j);
        if (j + 16 <= columns)
            requantize_16(1, added, &part, 16, r);
        else
            requantize_16(0, added, &part, columns - j, r);
    }
}

void ql_avx2_requantize(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                        const float *multiplier, int32_t zero_point, int32_t lower, int32_t upper,
                        uint8_t *y, int64_t y_stride) {
    const requantizer r = requantizer_of(zero_point, lower, upper, NULL);
    const tile t = {sums, multiplier, NULL, y, sums_stride, 0, y_stride, rows};
    requantize(0, &t, columns, &r);
}

void ql_avx2_requantize_sum(const int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                            const float *multiplier, const ql_residual *residual,
                            int32_t zero_point, int32_t lower, int32_t upper, uint8_t *y,
                            int64_t y_stride) {
    const requantizer r = requantizer_of(zero_point, lower, upper, residual);
    const tile t = {sums,        multiplier,       residual->codes, y,
                    sums_stride, residual->stride, y_stride,        rows};
    requantize(1, &t, columns, &r);
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

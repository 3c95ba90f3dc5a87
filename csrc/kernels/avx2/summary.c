/* What values add to a summary (../summary.h) for AVX2: vectors of values have their bins worked
 * out and their terms added while scalars count bins of before, on which nothing depends. Doubles
 * are left to the compiler. */
#include "kernels.h"

#if QL_BUILDS_AVX2

#include "../summary.h"

QL_TARGET_BEGIN_AVX2

QL_DEFINE_DOUBLE_TALLY(ql_avx2_tally_double)

QL_INLINE __m256 magnitude_of(__m256 x_f32x8) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x_f32x8);
}

static int has_between(const float *x, int64_t count, float factor, float width) {
    const __m256 factor_f32x8 = _mm256_set1_ps(factor), width_f32x8 = _mm256_set1_ps(width);
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m256 x_f32x8 = magnitude_of(_mm256_loadu_ps(x + i));
        const __m256i k_i32x8 = _mm256_cvttps_epi32(_mm256_mul_ps(x_f32x8, factor_f32x8));
        const __m256 edge_f32x8 = _mm256_mul_ps(_mm256_cvtepi32_ps(k_i32x8), width_f32x8);
        if (_mm256_movemask_ps(_mm256_cmp_ps(edge_f32x8, x_f32x8, _CMP_NEQ_UQ)))
            return 1;
    }
    for (; i < count; i++)
        if ((float)(int32_t)(fabsf(x[i]) * factor) * width != fabsf(x[i]))
            return 1;
    return 0;
}

/* Bins from the middle; zeros have one of their own. */
QL_INLINE __m256i bins_of(__m256 x_f32x8, __m256 factor_f32x8) {
    const __m256 zero_f32x8 = _mm256_setzero_ps();
    const __m256i k_i32x8 = _mm256_cvttps_epi32(_mm256_mul_ps(magnitude_of(x_f32x8), factor_f32x8));
    const __m256i is_zero = _mm256_castps_si256(_mm256_cmp_ps(x_f32x8, zero_f32x8, _CMP_EQ_OQ));
    const __m256i negative = _mm256_castps_si256(_mm256_cmp_ps(x_f32x8, zero_f32x8, _CMP_LT_OQ));
    const __m256i of_zero = _mm256_and_si256(is_zero, _mm256_set1_epi32(QL_BINS));
    return _mm256_xor_si256(_mm256_or_si256(k_i32x8, of_zero), negative);
}

/* Which values have 0 < |x| < least. */
QL_INLINE __m256 small_ones(__m256 x_f32x8, __m256 least_f32x8) {
    const __m256 below = _mm256_cmp_ps(magnitude_of(x_f32x8), least_f32x8, _CMP_LT_OQ);
    return _mm256_and_ps(below, _mm256_cmp_ps(x_f32x8, _mm256_setzero_ps(), _CMP_NEQ_OQ));
}

static __attribute__((noinline)) void keep_small(const float *x, int mask, ql_tally *to) {
    for (int i = 0; i < 8; i++)
        if (mask >> i & 1)
            ((float *)to->small)[to->smalls++] = x[i];
}

QL_INLINE void add_four(__m128 x_f32x4, __m256d magic_f64x4, __m256d *sum_f64x4,
                        __m256d *coarse_sum_f64x4, __m256d *rest_sum_f64x4) {
    const __m256d x_f64x4 = _mm256_cvtps_pd(x_f32x4);
    const __m256d coarse_f64x4 =
        _mm256_sub_pd(_mm256_fmadd_pd(x_f64x4, x_f64x4, magic_f64x4), magic_f64x4);
    const __m256d rest_f64x4 = _mm256_fmsub_pd(x_f64x4, x_f64x4, coarse_f64x4);
    *sum_f64x4 = _mm256_add_pd(*sum_f64x4, x_f64x4);
    *coarse_sum_f64x4 = _mm256_add_pd(*coarse_sum_f64x4, coarse_f64x4);
    *rest_sum_f64x4 = _mm256_add_pd(*rest_sum_f64x4, rest_f64x4);
}

void ql_avx2_tally_float(const void *x_, int64_t count, ql_tally *to) {
    const float *x = x_;
    const __m256 least_f32x8 = _mm256_set1_ps((float)to->least);
    const __m256 factor_f32x8 = _mm256_set1_ps((float)to->factor);
    const __m256d magic_f64x4 = _mm256_set1_pd(ql_magic(2 * to->bound - 42));
    __m256d sum_f64x4 = _mm256_setzero_pd(), coarse_f64x4 = sum_f64x4, rest_f64x4 = sum_f64x4;
    __m256d sum2_f64x4 = sum_f64x4, coarse2_f64x4 = sum_f64x4, rest2_f64x4 = sum_f64x4;
    _Alignas(QL_ALIGNMENT) int32_t ring[QL_RING];
    to->smalls = 0;
    to->between = to->between || has_between(x, count, (float)to->factor, (float)to->width);
    for (int64_t i = 0; i < count + QL_LAG; i += 8) {
        if (i < count) {
            float edge[8] = {0};
            const float *from = x + i;
            if (i + 8 > count)
                from = memcpy(edge, x + i, (size_t)(count - i) * sizeof *x);
            __m256 x_f32x8 = _mm256_loadu_ps(from);
            _mm256_store_si256((__m256i *)(ring + i % QL_RING), bins_of(x_f32x8, factor_f32x8));
            const __m256 small = small_ones(x_f32x8, least_f32x8);
            if (__builtin_expect(_mm256_movemask_ps(small) != 0, 0)) {
                keep_small(from, _mm256_movemask_ps(small), to);
                x_f32x8 = _mm256_andnot_ps(small, x_f32x8);
            }
            add_four(_mm256_castps256_ps128(x_f32x8), magic_f64x4, &sum_f64x4, &coarse_f64x4,
                     &rest_f64x4);
            add_four(_mm256_extractf128_ps(x_f32x8, 1), magic_f64x4, &sum2_f64x4, &coarse2_f64x4,
                     &rest2_f64x4);
        }
        ql_count_behind(to->tables, ring, i, count, 8);
    }
    _mm256_storeu_pd(to->sums[0], sum_f64x4);
    _mm256_storeu_pd(to->sums[0] + 4, sum2_f64x4);
    _mm256_storeu_pd(to->sums[1], coarse_f64x4);
    _mm256_storeu_pd(to->sums[1] + 4, coarse2_f64x4);
    _mm256_storeu_pd(to->sums[2], rest_f64x4);
    _mm256_storeu_pd(to->sums[2] + 4, rest2_f64x4);
}

QL_TARGET_END

#endif

/* What values add to a summary (../summary.h) for AVX-512: vectors of values have their bins worked
 * out and their terms added while scalars count bins of before, on which nothing depends. */
#include "kernels.h"

#if QL_BUILDS_AVX512VNNI

#include "../summary.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

enum { MAGNITUDE = 0x7FFFFFFF };

/* --- floats --------------------------------------------------------------------------------- */

QL_INLINE __m512 magnitude_of(__m512 x_f32x16) {
    const __m512i mask_i32x16 = _mm512_set1_epi32(MAGNITUDE);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x_f32x16), mask_i32x16));
}

static int has_float_between(const float *x, int64_t count, float factor, float width) {
    const __m512 factor_f32x16 = _mm512_set1_ps(factor), width_f32x16 = _mm512_set1_ps(width);
    for (int64_t i = 0; i < count; i += 16) {
        const __m512 x_f32x16 = magnitude_of(_mm512_maskz_loadu_ps(first(count - i), x + i));
        const __m512i k_i32x16 = _mm512_cvttps_epi32(_mm512_mul_ps(x_f32x16, factor_f32x16));
        const __m512 edge_f32x16 = _mm512_mul_ps(_mm512_cvtepi32_ps(k_i32x16), width_f32x16);
        if (_mm512_cmp_ps_mask(edge_f32x16, x_f32x16, _CMP_NEQ_UQ))
            return 1;
    }
    return 0;
}

/* Bins from the middle; zeros have one of their own. */
QL_INLINE __m512i bins_of_floats(__m512 x_f32x16, __m512 factor_f32x16) {
    const __m512i bits_i32x16 = _mm512_castps_si512(x_f32x16);
    const __mmask16 nonzero = _mm512_test_epi32_mask(bits_i32x16, _mm512_set1_epi32(MAGNITUDE));
    const __mmask16 negative = _mm512_cmp_ps_mask(x_f32x16, _mm512_setzero_ps(), _CMP_LT_OQ);
    const __m512i k_i32x16 = _mm512_mask_cvttps_epi32(
        _mm512_set1_epi32(QL_BINS), nonzero, _mm512_mul_ps(magnitude_of(x_f32x16), factor_f32x16));
    return _mm512_mask_xor_epi32(k_i32x16, negative, k_i32x16, _mm512_set1_epi32(-1));
}

/* Which values have 0 < |x| < least: bits of magnitudes are in their order. */
QL_INLINE __mmask16 small_floats(__m512 x_f32x16, __m512i least_less_one_u32x16) {
    const __m512i magnitude_u32x16 = _mm512_castps_si512(magnitude_of(x_f32x16));
    return _mm512_cmplt_epu32_mask(_mm512_sub_epi32(magnitude_u32x16, _mm512_set1_epi32(1)),
                                   least_less_one_u32x16);
}

QL_INLINE void add_eight(__m256 x_f32x8, __m512d magic_f64x8, __m512d *sum_f64x8,
                         __m512d *coarse_sum_f64x8, __m512d *rest_sum_f64x8) {
    const __m512d x_f64x8 = _mm512_cvtps_pd(x_f32x8);
    const __m512d coarse_f64x8 =
        _mm512_sub_pd(_mm512_fmadd_pd(x_f64x8, x_f64x8, magic_f64x8), magic_f64x8);
    const __m512d rest_f64x8 = _mm512_fmsub_pd(x_f64x8, x_f64x8, coarse_f64x8);
    *sum_f64x8 = _mm512_add_pd(*sum_f64x8, x_f64x8);
    *coarse_sum_f64x8 = _mm512_add_pd(*coarse_sum_f64x8, coarse_f64x8);
    *rest_sum_f64x8 = _mm512_add_pd(*rest_sum_f64x8, rest_f64x8);
}

void ql_avx512vnni_tally_float(const void *x_, int64_t count, ql_tally *to) {
    const float *x = x_, least = (float)to->least;
    uint32_t least_bits;
    memcpy(&least_bits, &least, sizeof least_bits);
    const __m512i least_less_one_u32x16 = _mm512_set1_epi32((int)(least_bits - 1));
    const __m512 factor_f32x16 = _mm512_set1_ps((float)to->factor);
    const __m512d magic_f64x8 = _mm512_set1_pd(ql_magic(2 * to->bound - 42));
    __m512d sum_f64x8 = _mm512_setzero_pd(), coarse_f64x8 = sum_f64x8, rest_f64x8 = sum_f64x8;
    __m512d sum2_f64x8 = sum_f64x8, coarse2_f64x8 = sum_f64x8, rest2_f64x8 = sum_f64x8;
    _Alignas(QL_ALIGNMENT) int32_t ring[QL_RING];
    to->smalls = 0;
    to->between = to->between || has_float_between(x, count, (float)to->factor, (float)to->width);
    for (int64_t i = 0; i < count + QL_LAG; i += 16) {
        if (i < count) {
            __m512 x_f32x16 = i + 16 <= count ? _mm512_loadu_ps(x + i)
                                              : _mm512_maskz_loadu_ps(first(count - i), x + i);
            _mm512_storeu_si512(ring + i % QL_RING, bins_of_floats(x_f32x16, factor_f32x16));
            _mm_prefetch((const char *)(x + i + QL_TALLY), _MM_HINT_T1); /* the next block */
            const __mmask16 small = small_floats(x_f32x16, least_less_one_u32x16);
            if (__builtin_expect(small != 0, 0)) {
                _mm512_mask_compressstoreu_ps((float *)to->small + to->smalls, small, x_f32x16);
                to->smalls += __builtin_popcount(small);
                x_f32x16 = _mm512_maskz_mov_ps((__mmask16)~small, x_f32x16);
            }
            add_eight(_mm512_castps512_ps256(x_f32x16), magic_f64x8, &sum_f64x8, &coarse_f64x8,
                      &rest_f64x8);
            add_eight(_mm512_extractf32x8_ps(x_f32x16, 1), magic_f64x8, &sum2_f64x8, &coarse2_f64x8,
                      &rest2_f64x8);
        }
        ql_count_behind(to->tables, ring, i, count, 16);
    }
    _mm512_storeu_pd(to->sums[0], _mm512_add_pd(sum_f64x8, sum2_f64x8));
    _mm512_storeu_pd(to->sums[1], _mm512_add_pd(coarse_f64x8, coarse2_f64x8));
    _mm512_storeu_pd(to->sums[2], _mm512_add_pd(rest_f64x8, rest2_f64x8));
}

/* --- doubles -------------------------------------------------------------------------------- */

static int has_double_between(const double *x, int64_t count, double factor, double width) {
    const __m512d factor_f64x8 = _mm512_set1_pd(factor), width_f64x8 = _mm512_set1_pd(width);
    for (int64_t i = 0; i < count; i += 8) {
        const __m512d x_f64x8 =
            _mm512_abs_pd(_mm512_maskz_loadu_pd((__mmask8)first(count - i), x + i));
        const __m256i k_i32x8 = _mm512_cvttpd_epi32(_mm512_mul_pd(x_f64x8, factor_f64x8));
        const __m512d edge_f64x8 = _mm512_mul_pd(_mm512_cvtepi32_pd(k_i32x8), width_f64x8);
        if (_mm512_cmp_pd_mask(edge_f64x8, x_f64x8, _CMP_NEQ_UQ))
            return 1;
    }
    return 0;
}

QL_INLINE __m256i bins_of_doubles(__m512d x_f64x8, __m512d factor_f64x8) {
    const __mmask8 nonzero = _mm512_cmp_pd_mask(x_f64x8, _mm512_setzero_pd(), _CMP_NEQ_OQ);
    const __mmask8 negative = _mm512_cmp_pd_mask(x_f64x8, _mm512_setzero_pd(), _CMP_LT_OQ);
    const __m256i k_i32x8 = _mm512_mask_cvttpd_epi32(
        _mm256_set1_epi32(QL_BINS), nonzero, _mm512_mul_pd(_mm512_abs_pd(x_f64x8), factor_f64x8));
    return _mm256_mask_xor_epi32(k_i32x8, negative, k_i32x8, _mm256_set1_epi32(-1));
}

QL_INLINE __mmask8 small_doubles(__m512d x_f64x8, __m512d least_f64x8) {
    const __mmask8 below = _mm512_cmp_pd_mask(_mm512_abs_pd(x_f64x8), least_f64x8, _CMP_LT_OQ);
    return _mm512_mask_cmp_pd_mask(below, x_f64x8, _mm512_setzero_pd(), _CMP_NEQ_OQ);
}

/* Cuts off what is a multiple of the unit of `magic`. */
QL_INLINE __m512d cut(__m512d *x_f64x8, __m512d magic_f64x8) {
    const __m512d part_f64x8 = _mm512_sub_pd(_mm512_add_pd(*x_f64x8, magic_f64x8), magic_f64x8);
    *x_f64x8 = _mm512_sub_pd(*x_f64x8, part_f64x8);
    return part_f64x8;
}

QL_INLINE void add_terms(__m512d x_f64x8, const __m512d cuts_f64x8[3], __m512d sums_f64x8[11]) {
    const __m512d a_f64x8 = cut(&x_f64x8, cuts_f64x8[0]);
    const __m512d b_f64x8 = cut(&x_f64x8, cuts_f64x8[1]);
    const __m512d c_f64x8 = cut(&x_f64x8, cuts_f64x8[2]);
    const __m512d d_f64x8 = x_f64x8;
    __m512d *const sums = sums_f64x8;
    sums[0] = _mm512_add_pd(sums[0], a_f64x8);
    sums[1] = _mm512_add_pd(sums[1], b_f64x8);
    sums[2] = _mm512_add_pd(sums[2], c_f64x8);
    sums[3] = _mm512_add_pd(sums[3], d_f64x8);
    sums[4] = _mm512_fmadd_pd(a_f64x8, a_f64x8, sums[4]);
    sums[5] = _mm512_fmadd_pd(a_f64x8, b_f64x8, sums[5]);
    sums[6] = _mm512_fmadd_pd(b_f64x8, b_f64x8, sums[6]);
    sums[6] = _mm512_fmadd_pd(_mm512_add_pd(a_f64x8, a_f64x8), c_f64x8, sums[6]);
    sums[7] = _mm512_fmadd_pd(a_f64x8, d_f64x8, sums[7]);
    sums[7] = _mm512_fmadd_pd(b_f64x8, c_f64x8, sums[7]);
    sums[8] = _mm512_fmadd_pd(c_f64x8, c_f64x8, sums[8]);
    sums[8] = _mm512_fmadd_pd(_mm512_add_pd(b_f64x8, b_f64x8), d_f64x8, sums[8]);
    sums[9] = _mm512_fmadd_pd(c_f64x8, d_f64x8, sums[9]);
    sums[10] = _mm512_fmadd_pd(d_f64x8, d_f64x8, sums[10]);
}

void ql_avx512vnni_tally_double(const void *x_, int64_t count, ql_tally *to) {
    const double *x = x_;
    const __m512d factor_f64x8 = _mm512_set1_pd(to->factor);
    const __m512d least_f64x8 = _mm512_set1_pd(to->least);
    const __m512d cuts_f64x8[3] = {_mm512_set1_pd(ql_magic(to->bound - 20)),
                                   _mm512_set1_pd(ql_magic(to->bound - 40)),
                                   _mm512_set1_pd(ql_magic(to->bound - 60))};
    __m512d sums_f64x8[11];
#pragma GCC unroll 11
    for (int term = 0; term < 11; term++)
        sums_f64x8[term] = _mm512_setzero_pd();
    _Alignas(QL_ALIGNMENT) int32_t ring[QL_RING];
    to->smalls = 0;
    to->between = to->between || has_double_between(x, count, to->factor, to->width);
    for (int64_t i = 0; i < count + QL_LAG; i += 8) {
        if (i < count) {
            __m512d x_f64x8 = i + 8 <= count
                                  ? _mm512_loadu_pd(x + i)
                                  : _mm512_maskz_loadu_pd((__mmask8)first(count - i), x + i);
            _mm256_storeu_si256((__m256i *)(ring + i % QL_RING),
                                bins_of_doubles(x_f64x8, factor_f64x8));
            _mm_prefetch((const char *)(x + i + QL_TALLY), _MM_HINT_T1);
            const __mmask8 small = small_doubles(x_f64x8, least_f64x8);
            if (__builtin_expect(small != 0, 0)) {
                _mm512_mask_compressstoreu_pd((double *)to->small + to->smalls, small, x_f64x8);
                to->smalls += __builtin_popcount(small);
                x_f64x8 = _mm512_maskz_mov_pd((__mmask8)~small, x_f64x8);
            }
            add_terms(x_f64x8, cuts_f64x8, sums_f64x8);
        }
        ql_count_behind(to->tables, ring, i, count, 8);
    }
#pragma GCC unroll 11
    for (int term = 0; term < 11; term++)
        _mm512_storeu_pd(to->sums[term], sums_f64x8[term]);
}

QL_TARGET_END

#endif

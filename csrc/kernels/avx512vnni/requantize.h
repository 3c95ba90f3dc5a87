/* Sums to codes, vector by vector: the operations of kernels/portable/finish.c in the same order.
 * To be included inside a target region, after lanes.h. */

/* What turns sums into codes, and codes to be added into steps. */
typedef struct {
    __m512 high_f32x16, residual_zero_f32x16, residual_factor_f32x16;
    __m512i zero_i16x32, lower_i8x64, upper_i8x64;
    __m128i residual_flip_u8x16;
    int is_signed;
} requantizer;

QL_INLINE requantizer requantizer_of(int32_t zero_point, int32_t lower, int32_t upper,
                                     const ql_residual *residual) {
    requantizer r = {
        .high_f32x16 = _mm512_set1_ps(65536.0f),
        .zero_i16x32 = _mm512_set1_epi16((short)zero_point),
        .lower_i8x64 = _mm512_set1_epi8((char)lower),
        .upper_i8x64 = _mm512_set1_epi8((char)upper),
        .is_signed = lower < 0,
    };
    if (residual != NULL) {
        r.residual_zero_f32x16 = _mm512_set1_ps(residual->zero);
        r.residual_factor_f32x16 = _mm512_set1_ps(residual->factor);
        r.residual_flip_u8x16 = _mm_set1_epi8((char)residual->flip);
    }
    return r;
}

/* The steps of codes to be added. */
QL_INLINE __m512 steps_of_codes(const uint8_t *codes, __mmask16 mask, const requantizer *r) {
    const __m128i codes_u8x16 =
        _mm_xor_si128(_mm_maskz_loadu_epi8(mask, codes), r->residual_flip_u8x16);
    const __m512 codes_f32x16 = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes_u8x16));
    return _mm512_mul_ps(_mm512_sub_ps(codes_f32x16, r->residual_zero_f32x16),
                         r->residual_factor_f32x16);
}

/* Sums to steps, with those of codes added if there are any. Beyond the least int32, vcvtps2dq
 * gives the least int32; the largest steps are cut before, still out of reach of every zero point.
 */
QL_INLINE __m512i steps_of(__m512i sums_i32x16, const uint8_t *added, __mmask16 mask,
                           __m512 multiplier_f32x16, const requantizer *r) {
    __m512 steps_f32x16 = _mm512_mul_ps(_mm512_cvtepi32_ps(sums_i32x16), multiplier_f32x16);
    if (added != NULL)
        steps_f32x16 = _mm512_add_ps(steps_f32x16, steps_of_codes(added, mask, r));
    return _mm512_cvtps_epi32(_mm512_min_ps(steps_f32x16, r->high_f32x16));
}

/* Four vectors of steps to 64 codes, in order. Packs saturate, and interleave the lanes of their
 * operands: a permutation at the end puts them in order. */
QL_INLINE __m512i codes_of(const __m512i steps_i32x16[4], const requantizer *r) {
    const __m512i order_i32x16 =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i low_i16x32 =
        _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[0], steps_i32x16[1]), r->zero_i16x32);
    const __m512i high_i16x32 =
        _mm512_adds_epi16(_mm512_packs_epi32(steps_i32x16[2], steps_i32x16[3]), r->zero_i16x32);
    __m512i codes;
    if (r->is_signed) {
        codes = _mm512_packs_epi16(low_i16x32, high_i16x32);
        codes = _mm512_min_epi8(_mm512_max_epi8(codes, r->lower_i8x64), r->upper_i8x64);
    } else {
        codes = _mm512_packus_epi16(low_i16x32, high_i16x32);
        codes = _mm512_min_epu8(_mm512_max_epu8(codes, r->lower_i8x64), r->upper_i8x64);
    }
    return _mm512_permutexvar_epi32(order_i32x16, codes);
}

/* Sums of depthwise convolutions as codes, and as they are. Included within the target region. */

/* The four lanes of a vector, 16 bytes each. */
QL_INLINE void store_lanes(__m512i v, int32_t *first, int32_t *second, int32_t *third,
                           int32_t *fourth) {
    _mm_storeu_si128((__m128i *)first, _mm512_castsi512_si128(v));
    _mm_storeu_si128((__m128i *)second, _mm512_extracti32x4_epi32(v, 1));
    _mm_storeu_si128((__m128i *)third, _mm512_extracti32x4_epi32(v, 2));
    _mm_storeu_si128((__m128i *)fourth, _mm512_extracti32x4_epi32(v, 3));
}

/* What is the same for all codes. */
typedef struct {
    __m512i zero_i16x32, lower_u8x64, upper_u8x64, flip_u8x64;
} stage;

QL_INLINE stage stage_of(const ql_codes *codes) {
    return (stage){.zero_i16x32 = _mm512_set1_epi16((int16_t)codes->zero_point),
                   .lower_u8x64 = _mm512_set1_epi8((char)codes->lower),
                   .upper_u8x64 = _mm512_set1_epi8((char)codes->upper),
                   .flip_u8x64 = _mm512_set1_epi8((char)codes->flip)};
}

/* Whether they are neither bounded nor flipped. */
QL_INLINE int is_plain(const ql_codes *codes) {
    return codes->lower == 0 && codes->upper == 255 && codes->flip == 0;
}

/* The codes of four vectors of sums, lane by lane. */
QL_INLINE __m512i codes_of(const int plain, const stage *s, __m512i sums_i32x16[4],
                           const __m512 multiplier_f32x16[4]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        sums_i32x16[v] = _mm512_cvtps_epi32(
            _mm512_mul_ps(_mm512_cvtepi32_ps(sums_i32x16[v]), multiplier_f32x16[v]));
    __m512i first_i16x32 = _mm512_packs_epi32(sums_i32x16[0], sums_i32x16[1]);
    __m512i second_i16x32 = _mm512_packs_epi32(sums_i32x16[2], sums_i32x16[3]);
    first_i16x32 = _mm512_adds_epi16(first_i16x32, s->zero_i16x32);
    second_i16x32 = _mm512_adds_epi16(second_i16x32, s->zero_i16x32);
    __m512i codes_u8x64 = _mm512_packus_epi16(first_i16x32, second_i16x32);
    if (!plain) {
        codes_u8x64 = _mm512_max_epu8(codes_u8x64, s->lower_u8x64);
        codes_u8x64 = _mm512_min_epu8(codes_u8x64, s->upper_u8x64);
        codes_u8x64 = _mm512_xor_si512(codes_u8x64, s->flip_u8x64);
    }
    return codes_u8x64;
}

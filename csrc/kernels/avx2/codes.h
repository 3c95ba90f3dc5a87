/* What becomes of sums of 256-bit vectors in the order of planes. Included within a target region.
 */
#include "edges.h"

/* A pixel's sums of a group in the order of channels: lanes are strips. */
QL_INLINE void store_sums(int32_t *sums, const __m256i sum_i32x8[4]) {
    __m128i *to = (__m128i *)(void *)sums;
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        _mm_storeu_si128(to + v, _mm256_castsi256_si128(sum_i32x8[v]));
        _mm_storeu_si128(to + 4 + v, _mm256_extracti128_si256(sum_i32x8[v], 1));
    }
}

/* What is the same for all codes. */
typedef struct {
    __m256i zero_i16x16, lower_u8x32, upper_u8x32, flip_u8x32;
} stage;

QL_INLINE stage stage_of(const ql_codes *codes) {
    return (stage){.zero_i16x16 = _mm256_set1_epi16((int16_t)codes->zero_point),
                   .lower_u8x32 = _mm256_set1_epi8((char)codes->lower),
                   .upper_u8x32 = _mm256_set1_epi8((char)codes->upper),
                   .flip_u8x32 = _mm256_set1_epi8((char)codes->flip)};
}

QL_INLINE __m256i steps_of(__m256i sum_i32x8, const float *multiplier) {
    return _mm256_cvtps_epi32(
        _mm256_mul_ps(_mm256_cvtepi32_ps(sum_i32x8), _mm256_loadu_ps(multiplier)));
}

/* The codes of two vectors of 16 steps each, lane by lane. */
QL_INLINE __m256i codes_of(const stage *s, __m256i first_i16x16, __m256i second_i16x16) {
    first_i16x16 = _mm256_adds_epi16(first_i16x16, s->zero_i16x16);
    second_i16x16 = _mm256_adds_epi16(second_i16x16, s->zero_i16x16);
    __m256i codes_u8x32 = _mm256_packus_epi16(first_i16x16, second_i16x16);
    codes_u8x32 = _mm256_max_epu8(codes_u8x32, s->lower_u8x32);
    codes_u8x32 = _mm256_min_epu8(codes_u8x32, s->upper_u8x32);
    return _mm256_xor_si256(codes_u8x32, s->flip_u8x32);
}

QL_INLINE void store_group(const stage *s, const __m256i sum_i32x8[4], const float *multiplier,
                           uint8_t *y) {
    const __m256i first_i16x16 = _mm256_packs_epi32(steps_of(sum_i32x8[0], multiplier),
                                                    steps_of(sum_i32x8[1], multiplier + 8));
    const __m256i second_i16x16 = _mm256_packs_epi32(steps_of(sum_i32x8[2], multiplier + 16),
                                                     steps_of(sum_i32x8[3], multiplier + 24));
    _mm256_storeu_si256((__m256i *)y, codes_of(s, first_i16x16, second_i16x16));
}

/* Up to two pixels of a strip, or of what is left of one. */
QL_INLINE void store_strip(const stage *s, const __m256i sum_i32x8[2][2], const float *multiplier,
                           int64_t pixels, int64_t channels, uint8_t *y, int64_t y_stride) {
    const __m256i by_pixel = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i first_i16x16 = _mm256_packs_epi32(steps_of(sum_i32x8[0][0], multiplier),
                                                    steps_of(sum_i32x8[0][1], multiplier + 8));
    const __m256i second_i16x16 = _mm256_packs_epi32(steps_of(sum_i32x8[1][0], multiplier),
                                                     steps_of(sum_i32x8[1][1], multiplier + 8));
    uint8_t codes[2][QL_STRIP];
    _mm256_storeu_si256((__m256i *)codes, _mm256_permutevar8x32_epi32(
                                              codes_of(s, first_i16x16, second_i16x16), by_pixel));
    for (int64_t p = 0; p < pixels; p++)
        copy_some(y + p * y_stride, codes[p], channels);
}

/* Depthwise convolution of one output pixel for AVX2: see csrc/conv.c.
 *
 * Sixteen channels at a time, with their sums in registers over all taps. Both factors fit int16;
 * with w widened by zeros, the upper half of each 32-bit lane adds nothing, so vpmaddwd forms the
 * one product that is wanted, faster than vpmulld. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

QL_INLINE __m256i products(__m128i x_u8x8, __m128i w_i16x8, __m256i zero_i32x8) {
    const __m256i x_i32x8 = _mm256_sub_epi32(_mm256_cvtepu8_epi32(x_u8x8), zero_i32x8);
    return _mm256_madd_epi16(x_i32x8, _mm256_cvtepu16_epi32(w_i16x8));
}

void ql_avx2_depthwise(int32_t *sums, int64_t count, int64_t taps, const uint8_t *const *x,
                       uint8_t flip, int32_t zero_point, const int16_t *const *w) {
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip);
    const __m256i zero_i32x8 = _mm256_set1_epi32(zero_point);
    int64_t c = 0;
    for (; c + 16 <= count; c += 16) {
        __m256i low_i32x8 = _mm256_setzero_si256(), high_i32x8 = _mm256_setzero_si256();
        for (int64_t tap = 0; tap < taps; tap++) {
            const __m128i x_u8x16 =
                _mm_xor_si128(_mm_loadu_si128((const __m128i *)(x[tap] + c)), flip_u8x16);
            const __m128i *weights = (const __m128i *)(w[tap] + c);
            low_i32x8 = _mm256_add_epi32(low_i32x8,
                                         products(x_u8x16, _mm_loadu_si128(weights), zero_i32x8));
            high_i32x8 =
                _mm256_add_epi32(high_i32x8, products(_mm_srli_si128(x_u8x16, 8),
                                                      _mm_loadu_si128(weights + 1), zero_i32x8));
        }
        _mm256_storeu_si256((__m256i *)(sums + c), low_i32x8);
        _mm256_storeu_si256((__m256i *)(sums + c + 8), high_i32x8);
    }
    for (; c < count; c++) {
        sums[c] = 0;
        for (int64_t tap = 0; tap < taps; tap++)
            sums[c] += ((int32_t)(x[tap][c] ^ flip) - zero_point) * w[tap][c];
    }
}

QL_TARGET_END

#endif

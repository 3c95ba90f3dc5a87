/* Depthwise convolution of one output pixel for AVX-512: see csrc/conv.c.
 *
 * As in kernels/avx2/depthwise.c with 32 channels at a time, so that two chains of additions run
 * side by side; edges are masked. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

QL_INLINE __m512i products(__mmask16 mask, const uint8_t *x, __m128i flip_u8x16,
                           __m512i zero_i32x16, const int16_t *w) {
    const __m128i x_u8x16 = _mm_xor_si128(_mm_maskz_loadu_epi8(mask, x), flip_u8x16);
    const __m512i x_i32x16 = _mm512_sub_epi32(_mm512_cvtepu8_epi32(x_u8x16), zero_i32x16);
    return _mm512_madd_epi16(x_i32x16, _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, w)));
}

void ql_avx512vnni_depthwise(int32_t *sums, int64_t count, int64_t taps, const uint8_t *const *x,
                             uint8_t flip, int32_t zero_point, const int16_t *const *w) {
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip);
    const __m512i zero_i32x16 = _mm512_set1_epi32(zero_point);
    for (int64_t c = 0; c < count; c += 32) {
        const __mmask16 low = first(count - c), high = first(count - c - 16);
        __m512i low_i32x16 = _mm512_setzero_si512(), high_i32x16 = _mm512_setzero_si512();
        for (int64_t tap = 0; tap < taps; tap++) {
            low_i32x16 = _mm512_add_epi32(
                low_i32x16, products(low, x[tap] + c, flip_u8x16, zero_i32x16, w[tap] + c));
            if (high)
                high_i32x16 =
                    _mm512_add_epi32(high_i32x16, products(high, x[tap] + c + 16, flip_u8x16,
                                                           zero_i32x16, w[tap] + c + 16));
        }
        _mm512_mask_storeu_epi32(sums + c, low, low_i32x16);
        if (high)
            _mm512_mask_storeu_epi32(sums + c + 16, high, high_i32x16);
    }
}

QL_TARGET_END

#endif

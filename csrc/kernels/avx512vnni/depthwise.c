/* Depthwise convolution of neighbouring output pixels for AVX-512: see csrc/depthwise.c.
 *
 *     sum over taps of (x - zx) * w  =  sum of x * w  -  zx * sum of w
 *
 * Sixteen channels at a time, with the sums of four pixels in registers over all taps, so that
 * weights are loaded and added up once for the four. Widened by zeros, x has nothing in the upper
 * half of each 32-bit lane, so vpmaddwd forms the one product that is wanted, faster than vpmulld.
 * Cost per tap and pixel: one widening load, vpmaddwd and vpaddd, and vpxor;
 * edges are masked. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

QL_INLINE void sum_taps(const int pixels, const int whole, int32_t *sums, int64_t count,
                        int64_t taps, int64_t c, const uint8_t *const *x, int64_t first_pixel,
                        int64_t x_step, uint8_t flip, int32_t zero_point, const int16_t *const *w) {
    const __mmask16 mask = first(count - c);
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip);
    __m512i weight_i32x16 = _mm512_setzero_si512(), sum_i32x16[4];
#pragma GCC unroll 4
    for (int p = 0; p < pixels; p++)
        sum_i32x16[p] = _mm512_setzero_si512();
    for (int64_t tap = 0; tap < taps; tap++) {
        const __m256i w_i16x16 = whole ? _mm256_loadu_si256((const __m256i *)(w[tap] + c))
                                       : _mm256_maskz_loadu_epi16(mask, w[tap] + c);
        const __m512i w_i32x16 = _mm512_cvtepi16_epi32(w_i16x16);
        const uint8_t *codes = x[tap] + first_pixel * x_step + c;
        weight_i32x16 = _mm512_add_epi32(weight_i32x16, w_i32x16);
#pragma GCC unroll 4
        for (int p = 0; p < pixels; p++) {
            __m128i x_u8x16 = whole ? _mm_loadu_si128((const __m128i *)(codes + p * x_step))
                                    : _mm_maskz_loadu_epi8(mask, codes + p * x_step);
            const __m512i x_i32x16 = _mm512_cvtepu8_epi32(_mm_xor_si128(x_u8x16, flip_u8x16));
            sum_i32x16[p] = _mm512_add_epi32(sum_i32x16[p], _mm512_madd_epi16(x_i32x16, w_i32x16));
        }
    }
    weight_i32x16 = _mm512_mullo_epi32(weight_i32x16, _mm512_set1_epi32(zero_point));
#pragma GCC unroll 4
    for (int p = 0; p < pixels; p++)
        _mm512_mask_storeu_epi32(sums + (first_pixel + p) * count + c, mask,
                                 _mm512_sub_epi32(sum_i32x16[p], weight_i32x16));
}

void ql_avx512vnni_depthwise(int32_t *sums, int64_t count, int64_t pixels, int64_t taps,
                             const uint8_t *const *x, int64_t x_step, uint8_t flip,
                             int32_t zero_point, const int16_t *const *w) {
    for (int64_t c = 0; c < count; c += 16) {
        int64_t p = 0;
        for (; p + 4 <= pixels && c + 16 <= count; p += 4)
            sum_taps(4, 1, sums, count, taps, c, x, p, x_step, flip, zero_point, w);
        for (; p < pixels; p++)
            sum_taps(1, 0, sums, count, taps, c, x, p, x_step, flip, zero_point, w);
    }
}

QL_TARGET_END

#endif

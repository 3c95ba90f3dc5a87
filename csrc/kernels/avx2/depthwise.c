/* Depthwise convolution of neighbouring output pixels for AVX2: see csrc/depthwise.c.
 *
 *     sum over taps of (x - zx) * w  =  sum of x * w  -  zx * sum of w
 *
 * Eight channels at a time, with the sums of four pixels in registers over all taps, so that
 * weights are loaded and added up once for the four. Widened by zeros, x has nothing in the upper
 * half of each 32-bit lane, so vpmaddwd forms the one product that is wanted, faster than vpmulld.
 * Cost per tap and pixel: one widening load, vpmaddwd and vpaddd, and vpxor. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

QL_INLINE void sum_taps(const int pixels, int32_t *sums, int64_t count, int64_t taps, int64_t c,
                        const uint8_t *const *x, int64_t first, int64_t x_step, uint8_t flip,
                        int32_t zero_point, const int16_t *const *w) {
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip);
    __m256i weight_i32x8 = _mm256_setzero_si256(), sum_i32x8[4];
#pragma GCC unroll 4
    for (int p = 0; p < pixels; p++)
        sum_i32x8[p] = _mm256_setzero_si256();
    for (int64_t tap = 0; tap < taps; tap++) {
        const __m256i w_i32x8 =
            _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(w[tap] + c)));
        const uint8_t *codes = x[tap] + first * x_step + c;
        weight_i32x8 = _mm256_add_epi32(weight_i32x8, w_i32x8);
#pragma GCC unroll 4
        for (int p = 0; p < pixels; p++) {
            const __m128i x_u8x8 = _mm_loadl_epi64((const __m128i *)(codes + p * x_step));
            const __m256i x_i32x8 = _mm256_cvtepu8_epi32(_mm_xor_si128(x_u8x8, flip_u8x16));
            sum_i32x8[p] = _mm256_add_epi32(sum_i32x8[p], _mm256_madd_epi16(x_i32x8, w_i32x8));
        }
    }
    weight_i32x8 = _mm256_mullo_epi32(weight_i32x8, _mm256_set1_epi32(zero_point));
#pragma GCC unroll 4
    for (int p = 0; p < pixels; p++)
        _mm256_storeu_si256((__m256i *)(sums + (first + p) * count + c),
                            _mm256_sub_epi32(sum_i32x8[p], weight_i32x8));
}

/* The channels that eight do not divide. */
static void sum_rest(int32_t *sums, int64_t count, int64_t pixels, int64_t taps, int64_t c,
                     const uint8_t *const *x, int64_t x_step, uint8_t flip, int32_t zero_point,
                     const int16_t *const *w) {
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t rest = c; rest < count; rest++) {
            int32_t sum = 0;
            for (int64_t tap = 0; tap < taps; tap++)
                sum += ((int32_t)(x[tap][p * x_step + rest] ^ flip) - zero_point) * w[tap][rest];
            sums[p * count + rest] = sum;
        }
}

void ql_avx2_depthwise(int32_t *sums, int64_t count, int64_t pixels, int64_t taps,
                       const uint8_t *const *x, int64_t x_step, uint8_t flip, int32_t zero_point,
                       const int16_t *const *w) {
    int64_t c = 0;
    for (; c + 8 <= count; c += 8) {
        int64_t p = 0;
        for (; p + 4 <= pixels; p += 4)
            sum_taps(4, sums, count, taps, c, x, p, x_step, flip, zero_point, w);
        for (; p < pixels; p++)
            sum_taps(1, sums, count, taps, c, x, p, x_step, flip, zero_point, w);
    }
    sum_rest(sums, count, pixels, taps, c, x, x_step, flip, zero_point, w);
}

QL_TARGET_END

#endif

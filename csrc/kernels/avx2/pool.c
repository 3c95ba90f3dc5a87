/* The largest and the sum of several bytes, and averages, for AVX2: the operations of
 * kernels/portable/pool.c, which do the edges. Sums of up to 256 bytes are kept in 16 bits. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "../portable/kernels.h"
#include "kernels.h"

QL_TARGET_BEGIN_AVX2

#define DEFINE_MAX(code, max)                                                                      \
    void ql_avx2_max_##code(const uint8_t *x, int64_t taps, int64_t tap_stride, uint8_t *y,        \
                            int64_t count) {                                                       \
        int64_t i = 0;                                                                             \
        for (; i + 32 <= count; i += 32) {                                                         \
            __m256i largest_x32 = _mm256_loadu_si256((const __m256i *)(x + i));                    \
            for (int64_t t = 1; t < taps; t++)                                                     \
                largest_x32 = max(largest_x32,                                                     \
                                  _mm256_loadu_si256((const __m256i *)(x + t * tap_stride + i)));  \
            _mm256_storeu_si256((__m256i *)(y + i), largest_x32);                                  \
        }                                                                                          \
        if (i < count)                                                                             \
            ql_portable_max_##code(x + i, taps, tap_stride, y + i, count - i);                     \
    }

DEFINE_MAX(uint8, _mm256_max_epu8)
DEFINE_MAX(int8, _mm256_max_epi8)

void ql_avx2_sum(const uint8_t *x, int64_t taps, int64_t tap_stride, uint8_t flip, int32_t *sums,
                 int64_t count) {
    enum { LONGEST = 256 };
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip);
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m256i low_i32x8 = _mm256_setzero_si256(), high_i32x8 = _mm256_setzero_si256();
        for (int64_t begin = 0; begin < taps; begin += LONGEST) {
            const uint8_t *from = x + begin * tap_stride + i;
            __m256i sum_u16x16 = _mm256_setzero_si256();
            for (int64_t t = 0; t < ql_min(LONGEST, taps - begin); t++) {
                const __m128i bytes_u8x16 =
                    _mm_loadu_si128((const __m128i *)(from + t * tap_stride));
                sum_u16x16 = _mm256_add_epi16(
                    sum_u16x16, _mm256_cvtepu8_epi16(_mm_xor_si128(bytes_u8x16, flip_u8x16)));
            }
            low_i32x8 = _mm256_add_epi32(low_i32x8,
                                         _mm256_cvtepu16_epi32(_mm256_castsi256_si128(sum_u16x16)));
            high_i32x8 = _mm256_add_epi32(
                high_i32x8, _mm256_cvtepu16_epi32(_mm256_extracti128_si256(sum_u16x16, 1)));
        }
        _mm256_storeu_si256((__m256i *)(sums + i), low_i32x8);
        _mm256_storeu_si256((__m256i *)(sums + i + 8), high_i32x8);
    }
    if (i < count)
        ql_portable_sum(x + i, taps, tap_stride, flip, sums + i, count - i);
}

int64_t ql_avx2_total(const uint8_t *x, int64_t count, uint8_t flip) {
    const __m256i flip_u8x32 = _mm256_set1_epi8((char)flip), none = _mm256_setzero_si256();
    __m256i sum_i64x4 = none;
    int64_t i = 0, lanes[4];
    for (; i + 32 <= count; i += 32) {
        const __m256i bytes_u8x32 = _mm256_loadu_si256((const __m256i *)(x + i));
        sum_i64x4 = _mm256_add_epi64(
            sum_i64x4, _mm256_sad_epu8(_mm256_xor_si256(bytes_u8x32, flip_u8x32), none));
    }
    _mm256_storeu_si256((__m256i *)lanes, sum_i64x4);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3] + ql_portable_total(x + i, count - i, flip);
}

void ql_avx2_average(const int32_t *sums, int64_t taps, int64_t tap_stride,
                     const ql_average *average, uint8_t *y, int64_t count) {
    const ql_average m = *average;
    const __m256 low_f32x8 = _mm256_set1_ps((float)-m.y_zero);
    const __m256 high_f32x8 = _mm256_set1_ps((float)(255 - m.y_zero));
    const __m256i zero_i32x8 = _mm256_set1_epi32(m.y_zero);
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i sum_i32x8 = _mm256_set1_epi32(-m.offset);
        for (int64_t t = 0; t < taps; t++)
            sum_i32x8 = _mm256_add_epi32(
                sum_i32x8, _mm256_loadu_si256((const __m256i *)(sums + t * tap_stride + i)));
        __m256 steps_f32x8 = _mm256_mul_ps(_mm256_cvtepi32_ps(sum_i32x8), _mm256_set1_ps(m.factor));
        steps_f32x8 = _mm256_min_ps(_mm256_max_ps(steps_f32x8, low_f32x8), high_f32x8);
        const __m256i codes_i32x8 = _mm256_add_epi32(_mm256_cvtps_epi32(steps_f32x8), zero_i32x8);
        const __m128i codes_i16x8 = _mm_packs_epi32(_mm256_castsi256_si128(codes_i32x8),
                                                    _mm256_extracti128_si256(codes_i32x8, 1));
        const __m128i codes_u8x16 = _mm_xor_si128(_mm_packus_epi16(codes_i16x8, codes_i16x8),
                                                  _mm_set1_epi8((char)m.y_flip));
        _mm_storel_epi64((__m128i *)(y + i), codes_u8x16);
    }
    if (i < count)
        ql_portable_average(sums + i, taps, tap_stride, average, y + i, count - i);
}

QL_TARGET_END

#endif

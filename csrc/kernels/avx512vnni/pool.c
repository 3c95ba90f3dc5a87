/* The largest and the sum of several bytes, and averages, for AVX-512: the operations of
 * kernels/portable/pool.c, edges masked. Sums of up to 256 bytes are kept in 16 bits. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

#define DEFINE_MAX(code, max)                                                                      \
    void ql_avx512vnni_max_##code(const uint8_t *x, int64_t taps, int64_t tap_stride, uint8_t *y,  \
                                  int64_t count) {                                                 \
        for (int64_t i = 0; i < count; i += 64) {                                                  \
            const __mmask64 mask = first_bytes(count - i);                                         \
            __m512i largest_x64 = _mm512_maskz_loadu_epi8(mask, x + i);                            \
            for (int64_t t = 1; t < taps; t++)                                                     \
                largest_x64 =                                                                      \
                    max(largest_x64, _mm512_maskz_loadu_epi8(mask, x + t * tap_stride + i));       \
            _mm512_mask_storeu_epi8(y + i, mask, largest_x64);                                     \
        }                                                                                          \
    }

DEFINE_MAX(uint8, _mm512_max_epu8)
DEFINE_MAX(int8, _mm512_max_epi8)

/* A whole cache line at a time: where taps are far apart, few of them stay in the first cache. */
void ql_avx512vnni_sum(const uint8_t *x, int64_t taps, int64_t tap_stride, uint8_t flip,
                       int32_t *sums, int64_t count) {
    enum { LONGEST = 256 };
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)flip), none = _mm512_setzero_si512();
    for (int64_t i = 0; i < count; i += 64) {
        const __mmask64 mask = first_bytes(count - i);
        __m512i sum_i32x16[4] = {none, none, none, none};
        for (int64_t begin = 0; begin < taps; begin += LONGEST) {
            const uint8_t *from = x + begin * tap_stride + i;
            __m512i sum_u16x32[2] = {none, none};
            for (int64_t t = 0; t < ql_min(LONGEST, taps - begin); t++) {
                const __m512i bytes_u8x64 = _mm512_xor_si512(
                    _mm512_maskz_loadu_epi8(mask, from + t * tap_stride), flip_u8x64);
                sum_u16x32[0] = _mm512_add_epi16(
                    sum_u16x32[0], _mm512_cvtepu8_epi16(_mm512_castsi512_si256(bytes_u8x64)));
                sum_u16x32[1] = _mm512_add_epi16(
                    sum_u16x32[1], _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(bytes_u8x64, 1)));
            }
            for (int half = 0; half < 2; half++) {
                const __m256i low_u16x16 = _mm512_castsi512_si256(sum_u16x32[half]);
                const __m256i high_u16x16 = _mm512_extracti64x4_epi64(sum_u16x32[half], 1);
                sum_i32x16[2 * half] =
                    _mm512_add_epi32(sum_i32x16[2 * half], _mm512_cvtepu16_epi32(low_u16x16));
                sum_i32x16[2 * half + 1] =
                    _mm512_add_epi32(sum_i32x16[2 * half + 1], _mm512_cvtepu16_epi32(high_u16x16));
            }
        }
        for (int part = 0; part < 4; part++)
            _mm512_mask_storeu_epi32(sums + i + 16 * part, (__mmask16)(mask >> (16 * part)),
                                     sum_i32x16[part]);
    }
}

int64_t ql_avx512vnni_total(const uint8_t *x, int64_t count, uint8_t flip) {
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)flip), none = _mm512_setzero_si512();
    __m512i sum_i64x8 = none;
    for (int64_t i = 0; i < count; i += 64) {
        const __mmask64 mask = first_bytes(count - i);
        const __m512i bytes_u8x64 = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, x + i),
                                                     _mm512_maskz_mov_epi8(mask, flip_u8x64));
        sum_i64x8 = _mm512_add_epi64(sum_i64x8, _mm512_sad_epu8(bytes_u8x64, none));
    }
    return _mm512_reduce_add_epi64(sum_i64x8);
}

void ql_avx512vnni_average(const int32_t *sums, int64_t taps, int64_t tap_stride,
                           const ql_average *average, uint8_t *y, int64_t count) {
    const ql_average m = *average;
    const __m512 low_f32x16 = _mm512_set1_ps((float)-m.y_zero);
    const __m512 high_f32x16 = _mm512_set1_ps((float)(255 - m.y_zero));
    for (int64_t i = 0; i < count; i += 16) {
        const __mmask16 mask = first(count - i);
        __m512i sum_i32x16 = _mm512_set1_epi32(-m.offset);
        for (int64_t t = 0; t < taps; t++)
            sum_i32x16 = _mm512_add_epi32(
                sum_i32x16, _mm512_maskz_loadu_epi32(mask, sums + t * tap_stride + i));
        __m512 steps_f32x16 =
            _mm512_mul_ps(_mm512_cvtepi32_ps(sum_i32x16), _mm512_set1_ps(m.factor));
        steps_f32x16 = _mm512_min_ps(_mm512_max_ps(steps_f32x16, low_f32x16), high_f32x16);
        const __m512i codes_i32x16 =
            _mm512_add_epi32(_mm512_cvtps_epi32(steps_f32x16), _mm512_set1_epi32(m.y_zero));
        const __m128i codes_u8x16 =
            _mm_xor_si128(_mm512_cvtepi32_epi8(codes_i32x16), _mm_set1_epi8((char)m.y_flip));
        _mm_mask_storeu_epi8(y + i, mask, codes_u8x16);
    }
}

QL_TARGET_END

#endif

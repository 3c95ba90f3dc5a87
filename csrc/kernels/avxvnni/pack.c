/* Packing of a right operand for AVX-VNNI, in groups of four rows: see csrc/pack.c.
 *
 * Four rows of 16 bytes are interleaved by two levels of vpunpck into two ymm of a strip; vpdpbusd
 * with ones adds the four codes of each column to the column sums. */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

void ql_avxvnni_pack_groups(const uint8_t *rows, int64_t stride, int64_t groups, int64_t strips,
                            uint8_t flip, int8_t *to, int64_t strip_stride, int32_t *sums) {
    const __m256i flip_u8x32 = _mm256_set1_epi8((char)flip), ones_u8x32 = _mm256_set1_epi8(1);
    __m256i sum_i32x8[QL_PACK_STRIPS][2];
    for (int64_t s = 0; s < strips; s++)
        sum_i32x8[s][0] = sum_i32x8[s][1] = _mm256_setzero_si256();
    for (int64_t group = 0; group < groups; group++, rows += 4 * stride)
        for (int64_t s = 0; s < strips; s++) {
            const uint8_t *row = rows + s * QL_STRIP;
            int8_t *packed = to + s * strip_stride + group * 4 * QL_STRIP;
            const __m128i a = _mm_loadu_si128((const __m128i *)row);
            const __m128i b = _mm_loadu_si128((const __m128i *)(row + stride));
            const __m128i c = _mm_loadu_si128((const __m128i *)(row + 2 * stride));
            const __m128i d = _mm_loadu_si128((const __m128i *)(row + 3 * stride));
            const __m128i ab_low = _mm_unpacklo_epi8(a, b), ab_high = _mm_unpackhi_epi8(a, b);
            const __m128i cd_low = _mm_unpacklo_epi8(c, d), cd_high = _mm_unpackhi_epi8(c, d);
            __m256i first_i8x32 = _mm256_set_m128i(_mm_unpackhi_epi16(ab_low, cd_low),
                                                   _mm_unpacklo_epi16(ab_low, cd_low));
            __m256i second_i8x32 = _mm256_set_m128i(_mm_unpackhi_epi16(ab_high, cd_high),
                                                    _mm_unpacklo_epi16(ab_high, cd_high));
            first_i8x32 = _mm256_xor_si256(first_i8x32, flip_u8x32);
            second_i8x32 = _mm256_xor_si256(second_i8x32, flip_u8x32);
            _mm256_storeu_si256((__m256i *)packed, first_i8x32);
            _mm256_storeu_si256((__m256i *)(packed + 32), second_i8x32);
            sum_i32x8[s][0] = _mm256_dpbusd_avx_epi32(sum_i32x8[s][0], ones_u8x32, first_i8x32);
            sum_i32x8[s][1] = _mm256_dpbusd_avx_epi32(sum_i32x8[s][1], ones_u8x32, second_i8x32);
        }
    for (int64_t s = 0; s < strips; s++) {
        _mm256_storeu_si256((__m256i *)(sums + s * QL_STRIP), sum_i32x8[s][0]);
        _mm256_storeu_si256((__m256i *)(sums + s * QL_STRIP + 8), sum_i32x8[s][1]);
    }
}

QL_TARGET_END

#endif

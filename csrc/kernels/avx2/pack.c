/* Packing of a right operand for AVX2, in groups of two rows: see csrc/pack.c.
 *
 * Two rows of 16 bytes are interleaved by vpunpck; widened to 16 bits, vpmaddwd with ones adds the
 * two products' codes of each column for the column sums. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

void ql_avx2_pack_groups(const uint8_t *rows, int64_t stride, int64_t groups, int64_t strips,
                         uint8_t flip, int8_t *to, int64_t strip_stride, int32_t *sums) {
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip);
    const __m256i ones_i16x16 = _mm256_set1_epi16(1);
    __m256i sum_i32x8[QL_PACK_STRIPS][2];
    for (int64_t s = 0; s < strips; s++)
        sum_i32x8[s][0] = sum_i32x8[s][1] = _mm256_setzero_si256();
    for (int64_t group = 0; group < groups; group++, rows += 2 * stride)
        for (int64_t s = 0; s < strips; s++) {
            const uint8_t *row = rows + s * QL_STRIP;
            int8_t *packed = to + s * strip_stride + group * 2 * QL_STRIP;
            const __m128i first = _mm_xor_si128(_mm_loadu_si128((const __m128i *)row), flip_u8x16);
            const __m128i second =
                _mm_xor_si128(_mm_loadu_si128((const __m128i *)(row + stride)), flip_u8x16);
            const __m128i low = _mm_unpacklo_epi8(first, second);
            const __m128i high = _mm_unpackhi_epi8(first, second);
            _mm_storeu_si128((__m128i *)packed, low);
            _mm_storeu_si128((__m128i *)(packed + 16), high);
            sum_i32x8[s][0] = _mm256_add_epi32(
                sum_i32x8[s][0], _mm256_madd_epi16(_mm256_cvtepi8_epi16(low), ones_i16x16));
            sum_i32x8[s][1] = _mm256_add_epi32(
                sum_i32x8[s][1], _mm256_madd_epi16(_mm256_cvtepi8_epi16(high), ones_i16x16));
        }
    for (int64_t s = 0; s < strips; s++) {
        _mm256_storeu_si256((__m256i *)(sums + s * QL_STRIP), sum_i32x8[s][0]);
        _mm256_storeu_si256((__m256i *)(sums + s * QL_STRIP + 8), sum_i32x8[s][1]);
    }
}

QL_TARGET_END

#endif

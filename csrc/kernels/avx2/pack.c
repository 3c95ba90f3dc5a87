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
        for (int half = 0; half < 2; half++)
            sum_i32x8[s][half] =
                _mm256_loadu_si256((const __m256i *)(sums + s * QL_STRIP + half * 8));
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
    for (int64_t s = 0; s < strips; s++)
        for (int half = 0; half < 2; half++)
            _mm256_storeu_si256((__m256i *)(sums + s * QL_STRIP + half * 8), sum_i32x8[s][half]);
}

/* Eight columns of eight pairs: the transpose of 8 x 8 16-bit numbers. */
QL_INLINE void transpose_pairs(const uint8_t *columns, int64_t stride, __m128i pairs_u8x16[8]) {
    __m128i a[8], b[8];
    for (int j = 0; j < 8; j++)
        a[j] = _mm_loadu_si128((const __m128i *)(columns + j * stride));
    for (int j = 0; j < 4; j++) {
        b[2 * j] = _mm_unpacklo_epi16(a[2 * j], a[2 * j + 1]);
        b[2 * j + 1] = _mm_unpackhi_epi16(a[2 * j], a[2 * j + 1]);
    }
    for (int half = 0; half < 2; half++)
        for (int j = 0; j < 2; j++) {
            a[4 * half + 2 * j] = _mm_unpacklo_epi32(b[4 * half + j], b[4 * half + 2 + j]);
            a[4 * half + 2 * j + 1] = _mm_unpackhi_epi32(b[4 * half + j], b[4 * half + 2 + j]);
        }
    for (int j = 0; j < 4; j++) {
        pairs_u8x16[2 * j] = _mm_unpacklo_epi64(a[j], a[4 + j]);
        pairs_u8x16[2 * j + 1] = _mm_unpackhi_epi64(a[j], a[4 + j]);
    }
}

/* Columns of 16 codes, eight groups, at a time; the last groups one by one. */
void ql_avx2_pack_columns(const uint8_t *columns, int64_t stride, int64_t groups, uint8_t flip,
                          int8_t *to, int32_t *sums) {
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip);
    const __m256i ones_i16x16 = _mm256_set1_epi16(1);
    __m256i sum_i32x8[2];
    for (int half = 0; half < 2; half++)
        sum_i32x8[half] = _mm256_loadu_si256((const __m256i *)(sums + 8 * half));
    int64_t group = 0;
    for (; group + 8 <= groups; group += 8, to += 16 * QL_STRIP)
        for (int half = 0; half < 2; half++) {
            __m128i pairs_u8x16[8];
            transpose_pairs(columns + 2 * group + 8 * half * stride, stride, pairs_u8x16);
            for (int g = 0; g < 8; g++) {
                const __m128i pair_i8x16 = _mm_xor_si128(pairs_u8x16[g], flip_u8x16);
                _mm_storeu_si128((__m128i *)(to + 2 * QL_STRIP * g + 16 * half), pair_i8x16);
                const __m256i pair_i16x16 = _mm256_cvtepi8_epi16(pair_i8x16);
                sum_i32x8[half] =
                    _mm256_add_epi32(sum_i32x8[half], _mm256_madd_epi16(pair_i16x16, ones_i16x16));
            }
        }
    for (int half = 0; half < 2; half++)
        _mm256_storeu_si256((__m256i *)(sums + 8 * half), sum_i32x8[half]);
    for (; group < groups; group++, to += 2 * QL_STRIP)
        for (int j = 0; j < QL_STRIP; j++)
            for (int d = 0; d < 2; d++) {
                to[2 * j + d] = (int8_t)(columns[j * stride + 2 * group + d] ^ flip);
                sums[j] += to[2 * j + d];
            }
}

QL_TARGET_END

#endif

/* A few rows times a right operand as it lies, for AVX2: see direct.h.
 *
 * Two rows of 16 bytes are interleaved and widened to 16 bits, and vpmaddwd forms exact sums of
 * pairs, as in tile.c. Cost for a group of 32 bytes: 6 operations to build it, and 4 for each row
 * and for the sums of columns. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

enum { DOT = 2, ONES = 0x00010001 };

typedef struct {
    __m256i half[2];
} pair_of_halves;

QL_INLINE pair_of_halves load_group(const uint8_t *b, int64_t stride, __m128i flip_u8x16) {
    const __m128i first = _mm_xor_si128(_mm_loadu_si128((const __m128i *)b), flip_u8x16);
    const __m128i second =
        _mm_xor_si128(_mm_loadu_si128((const __m128i *)(b + stride)), flip_u8x16);
    return (pair_of_halves){{_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(first, second)),
                             _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(first, second))}};
}

QL_INLINE __m256i add_products(__m256i sum_i32x8, __m256i a_i16x16, __m256i b_i16x16) {
    return _mm256_add_epi32(sum_i32x8, _mm256_madd_epi16(a_i16x16, b_i16x16));
}

#include "direct.h"

void ql_avx2_direct(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t groups,
                    const uint8_t *b, int64_t b_stride, int64_t columns, uint8_t b_flip,
                    int32_t *sums, int64_t sums_stride, int32_t *column_sums) {
    direct(a, a_stride, rows, groups, b, b_stride, columns, b_flip, sums, sums_stride, column_sums);
}

QL_TARGET_END

#endif

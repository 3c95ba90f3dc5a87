/* A few rows times a right operand as it lies, for AVX-VNNI: see kernels/avx2/direct.h.
 *
 * Four rows of 16 bytes are interleaved by two levels of vpunpck, as in pack.c. Cost for a group of
 * 64 bytes: 12 operations to build it, and 2 vpdpbusd for each row and for the sums of columns. */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

enum { DOT = 4, ONES = 0x01010101 };

typedef struct {
    __m256i half[2];
} pair_of_halves;

QL_INLINE __m128i load_row(const uint8_t *row, __m128i flip_u8x16) {
    return _mm_xor_si128(_mm_loadu_si128((const __m128i *)row), flip_u8x16);
}

QL_INLINE pair_of_halves load_group(const uint8_t *b, int64_t stride, __m128i flip_u8x16) {
    const __m128i first = load_row(b, flip_u8x16), second = load_row(b + stride, flip_u8x16);
    const __m128i third = load_row(b + 2 * stride, flip_u8x16);
    const __m128i fourth = load_row(b + 3 * stride, flip_u8x16);
    const __m128i low_12 = _mm_unpacklo_epi8(first, second);
    const __m128i high_12 = _mm_unpackhi_epi8(first, second);
    const __m128i low_34 = _mm_unpacklo_epi8(third, fourth);
    const __m128i high_34 = _mm_unpackhi_epi8(third, fourth);
    return (pair_of_halves){
        {_mm256_set_m128i(_mm_unpackhi_epi16(low_12, low_34), _mm_unpacklo_epi16(low_12, low_34)),
         _mm256_set_m128i(_mm_unpackhi_epi16(high_12, high_34),
                          _mm_unpacklo_epi16(high_12, high_34))}};
}

QL_INLINE __m256i add_products(__m256i sum_i32x8, __m256i a_u8x32, __m256i b_i8x32) {
    return _mm256_dpbusd_avx_epi32(sum_i32x8, a_u8x32, b_i8x32);
}

#include "../avx2/direct.h"

void ql_avxvnni_direct(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t groups,
                       const uint8_t *b, int64_t b_stride, int64_t columns, uint8_t b_flip,
                       int32_t *sums, int64_t sums_stride, int32_t *column_sums) {
    direct(a, a_stride, rows, groups, b, b_stride, columns, b_flip, sums, sums_stride, column_sums);
}

QL_TARGET_END

#endif

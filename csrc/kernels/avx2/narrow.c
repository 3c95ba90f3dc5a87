/* Rows as they lie times one or two columns, for AVX2, exact: see narrow.h.
 *
 * Bytes 0, 2, 4 ... and 1, 3, 5 ... become 16-bit numbers by a mask and by a shift, and vpmaddwd
 * forms exact 32-bit sums of pairs, as in tile.c. What belongs to the columns is made so once for
 * four rows. Registers: 8 sums (4 rows x 2 columns), 4 for the columns, 2 for a row, mask and flip.
 * Cost for 32 bytes of a row: a load, 3 operations, and 4 more for each column. */
#include "../target.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

typedef struct {
    __m256i even_i16x16, odd_i16x16;
} column_part;

QL_INLINE column_part part_of(__m256i column_i8x32) {
    return (column_part){_mm256_srai_epi16(_mm256_slli_epi16(column_i8x32, 8), 8),
                         _mm256_srai_epi16(column_i8x32, 8)};
}

QL_INLINE __m256i add_products(__m256i sum_i32x8, __m256i a_u8x32, column_part part) {
    const __m256i even_i16x16 = _mm256_and_si256(a_u8x32, _mm256_set1_epi16(0xFF));
    const __m256i odd_i16x16 = _mm256_srli_epi16(a_u8x32, 8);
    sum_i32x8 = _mm256_add_epi32(sum_i32x8, _mm256_madd_epi16(even_i16x16, part.even_i16x16));
    return _mm256_add_epi32(sum_i32x8, _mm256_madd_epi16(odd_i16x16, part.odd_i16x16));
}

#include "narrow.h"

void ql_avx2_narrow(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k, uint8_t flip,
                    const int8_t *b, int64_t b_stride, int64_t columns, const int32_t *start,
                    int32_t *sums, int64_t sums_stride) {
    narrow(a, a_stride, rows, k, flip, b, b_stride, columns, start, sums, sums_stride);
}

QL_TARGET_END

#endif

/* Rows as they lie times one or two columns, for AVX-VNNI: see kernels/avx2/narrow.h.
 *
 * vpdpbusd adds 32 products to 8 partial sums of a row and a column. Registers: 8 sums (4 rows x 2
 * columns), 2 for the columns, 1 for a row, the flip. Cost for 32 bytes of a row: a load, a vpxor
 * and a vpdpbusd for each column. */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

typedef __m256i column_part;

QL_INLINE column_part part_of(__m256i column_i8x32) {
    return column_i8x32;
}

QL_INLINE __m256i add_products(__m256i sum_i32x8, __m256i a_u8x32, column_part part_i8x32) {
    return _mm256_dpbusd_avx_epi32(sum_i32x8, a_u8x32, part_i8x32);
}

#include "../avx2/narrow.h"

void ql_avxvnni_narrow(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k, uint8_t flip,
                       const int8_t *b, int64_t b_stride, int64_t columns, const int32_t *start,
                       int32_t *sums, int64_t sums_stride) {
    narrow(a, a_stride, rows, k, flip, b, b_stride, columns, start, sums, sums_stride);
}

QL_TARGET_END

#endif

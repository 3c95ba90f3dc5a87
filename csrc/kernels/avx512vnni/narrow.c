/* Rows as they lie times one or two columns, for AVX-512 VNNI: see csrc/narrow.c.
 *
 *     sums[j][i] = start[j] + sum over k of (a[i][k] ^ flip) * b[j][k]
 *
 * Rows and columns are read along K, 64 bytes at a time, the last ones under a mask; each vpdpbusd
 * adds 64 products to 16 partial sums of a row and a column. Sixteen vectors of those are summed
 * across four rows at a time. Registers: 16 sums (8 rows x 2 columns), 2 for b, 1 for a row. Cost
 * for 64 bytes of a row: a load, a vpxord if numbers are not bytes, and a vpdpbusd for each column.
 */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "lanes.h"

enum { AHEAD = 8192 }; /* bytes to fetch ahead: several rows that end in other pages */

/* The sums across four vectors, one after the other. */
QL_INLINE __m128i sums_across(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i lanes =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i halves =
        _mm256_add_epi32(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}

/* The products of 64 bytes, or of those that a mask leaves. */
QL_INLINE void add_products(const int rows, const int columns, const int flipped,
                            const uint8_t *const *a, int64_t k, const int8_t *b, int64_t b_stride,
                            __mmask64 mask, __m512i flip_u8x64, __m512i sum_i32x16[2][8]) {
    __m512i b_i8x64[2];
#pragma GCC unroll 2
    for (int j = 0; j < columns; j++)
        b_i8x64[j] = _mm512_maskz_loadu_epi8(mask, b + j * b_stride + k);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        _mm_prefetch((const char *)(a[i] + k + AHEAD), _MM_HINT_T0);
        __m512i a_u8x64 = _mm512_maskz_loadu_epi8(mask, a[i] + k);
        if (flipped)
            a_u8x64 = _mm512_xor_si512(a_u8x64, flip_u8x64);
#pragma GCC unroll 2
        for (int j = 0; j < columns; j++)
            sum_i32x16[j][i] = _mm512_dpbusd_epi32(sum_i32x16[j][i], a_u8x64, b_i8x64[j]);
    }
}

/* The sums of 4 or 8 rows; the last row counts for those that are missing. */
QL_INLINE void rows_by_columns(const int rows, const int columns, const int flipped,
                               const uint8_t *a, int64_t a_stride, int64_t there, int64_t k,
                               __m512i flip_u8x64, const int8_t *b, int64_t b_stride,
                               const int32_t *start, int32_t *sums, int64_t sums_stride) {
    const uint8_t *row[8];
    __m512i sum_i32x16[2][8];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        row[i] = a + ql_min(i, there - 1) * a_stride;
#pragma GCC unroll 2
        for (int j = 0; j < columns; j++)
            sum_i32x16[j][i] = _mm512_setzero_si512();
    }
    int64_t at = 0;
    for (; at + 64 <= k; at += 64)
        add_products(rows, columns, flipped, row, at, b, b_stride, ~(__mmask64)0, flip_u8x64,
                     sum_i32x16);
    if (at < k)
        add_products(rows, columns, flipped, row, at, b, b_stride, first_bytes(k - at), flip_u8x64,
                     sum_i32x16);
#pragma GCC unroll 2
    for (int j = 0; j < columns; j++)
#pragma GCC unroll 2
        for (int i = 0; i < rows; i += 4) {
            const __m128i sum_i32x4 = _mm_add_epi32(
                _mm_set1_epi32(start[j]), sums_across(sum_i32x16[j][i], sum_i32x16[j][i + 1],
                                                      sum_i32x16[j][i + 2], sum_i32x16[j][i + 3]));
            _mm_mask_storeu_epi32(sums + j * sums_stride + i, (__mmask8)first(there - i),
                                  sum_i32x4);
        }
}

#define DEFINE_COLUMNS(name, columns, flipped)                                                     \
    static void name(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k,                  \
                     __m512i flip_u8x64, const int8_t *b, int64_t b_stride, const int32_t *start,  \
                     int32_t *sums, int64_t sums_stride) {                                         \
        int64_t i = 0;                                                                             \
        for (; i + 8 <= rows; i += 8)                                                              \
            rows_by_columns(8, columns, flipped, a + i * a_stride, a_stride, 8, k, flip_u8x64, b,  \
                            b_stride, start, sums + i, sums_stride);                               \
        for (; i < rows; i += 4)                                                                   \
            rows_by_columns(4, columns, flipped, a + i * a_stride, a_stride, rows - i, k,          \
                            flip_u8x64, b, b_stride, start, sums + i, sums_stride);                \
    }

DEFINE_COLUMNS(column, 1, 0)
DEFINE_COLUMNS(flipped_column, 1, 1)
DEFINE_COLUMNS(columns, 2, 0)
DEFINE_COLUMNS(flipped_columns, 2, 1)

typedef void few_columns(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k,
                         __m512i flip_u8x64, const int8_t *b, int64_t b_stride,
                         const int32_t *start, int32_t *sums, int64_t sums_stride);

void ql_avx512vnni_narrow(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t k, uint8_t flip,
                          const int8_t *b, int64_t b_stride, int64_t count, const int32_t *start,
                          int32_t *sums, int64_t sums_stride) {
    static few_columns *const kernel[2][2] = {{column, flipped_column}, {columns, flipped_columns}};
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)flip);
    for (int64_t j = 0; j < count; j += 2)
        kernel[j + 1 < count][flip != 0](a, a_stride, rows, k, flip_u8x64, b + j * b_stride,
                                         b_stride, start + j, sums + j * sums_stride, sums_stride);
}

QL_TARGET_END

#endif

/* A few rows times a right operand as it lies, row by row, for AVX-512 VNNI: see csrc/direct.c.
 *
 *     sums[i][j] += sum over k of a[i][k] * b[k][j]
 *
 * Four rows of 16 bytes become one group of a strip in a register (see group.h), which each row of
 * the left operand is multiplied by: packed weights are neither written nor read. Registers: a sum
 * for each row (up to 8), the column sums, the group, the broadcast group of a. Cost for a group:
 * 5 operations to build it and a vpdpbusd for each row. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "group.h"

QL_INLINE __m512i broadcast_group(const uint8_t *group) {
    int32_t bits;
    memcpy(&bits, group, sizeof bits);
    return _mm512_set1_epi32(bits);
}

/* One strip; `mask` says which of its columns exist. */
QL_INLINE void strip(const uint8_t *a, int64_t a_stride, const int rows, int64_t groups,
                     const uint8_t *b, int64_t b_stride, __mmask16 mask, __m512i flip_u8x64,
                     int32_t *sums, int64_t sums_stride, int32_t *column_sums) {
    const __m512i ones_u8x64 = _mm512_set1_epi8(1);
    __m512i sum_i32x16[QL_DIRECT_ROWS], column_i32x16 = _mm512_loadu_si512(column_sums);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
        sum_i32x16[i] = _mm512_loadu_si512(sums + i * sums_stride);
    for (int64_t group = 0; group < groups; group++, b += 4 * b_stride) {
        const __m512i codes_u8x64 =
            mask == 0xffff ? interleave(b, b_stride) : interleave_masked(b, b_stride, mask);
        const __m512i group_i8x64 = _mm512_xor_si512(codes_u8x64, flip_u8x64);
        column_i32x16 = _mm512_dpbusd_epi32(column_i32x16, ones_u8x64, group_i8x64);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
            sum_i32x16[i] = _mm512_dpbusd_epi32(
                sum_i32x16[i], broadcast_group(a + i * a_stride + 4 * group), group_i8x64);
    }
    _mm512_storeu_si512(column_sums, column_i32x16);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
        _mm512_storeu_si512(sums + i * sums_stride, sum_i32x16[i]);
}

/* All strips of a known number of rows. */
#define DEFINE_ROWS(rows)                                                                          \
    static void rows_##rows(const uint8_t *a, int64_t a_stride, int64_t groups, const uint8_t *b,  \
                            int64_t b_stride, int64_t columns, __m512i flip_u8x64, int32_t *sums,  \
                            int64_t sums_stride, int32_t *column_sums) {                           \
        int64_t j = 0;                                                                             \
        for (; j + QL_STRIP <= columns; j += QL_STRIP)                                             \
            strip(a, a_stride, rows, groups, b + j, b_stride, 0xffff, flip_u8x64, sums + j,        \
                  sums_stride, column_sums + j);                                                   \
        if (j < columns)                                                                           \
            strip(a, a_stride, rows, groups, b + j, b_stride,                                      \
                  (__mmask16)(0xffff >> (QL_STRIP - (columns - j))), flip_u8x64, sums + j,         \
                  sums_stride, column_sums + j);                                                   \
    }

DEFINE_ROWS(1)
DEFINE_ROWS(2)
DEFINE_ROWS(3)
DEFINE_ROWS(4)
DEFINE_ROWS(5)
DEFINE_ROWS(6)
DEFINE_ROWS(7)
DEFINE_ROWS(8)

typedef void strips_of_rows(const uint8_t *a, int64_t a_stride, int64_t groups, const uint8_t *b,
                            int64_t b_stride, int64_t columns, __m512i flip_u8x64, int32_t *sums,
                            int64_t sums_stride, int32_t *column_sums);

void ql_avx512vnni_direct(const uint8_t *a, int64_t a_stride, int64_t rows, int64_t groups,
                          const uint8_t *b, int64_t b_stride, int64_t columns, uint8_t b_flip,
                          int32_t *sums, int64_t sums_stride, int32_t *column_sums) {
    static strips_of_rows *const of_rows[QL_DIRECT_ROWS] = {rows_1, rows_2, rows_3, rows_4,
                                                            rows_5, rows_6, rows_7, rows_8};
    of_rows[rows - 1](a, a_stride, groups, b, b_stride, columns, _mm512_set1_epi8((char)b_flip),
                      sums, sums_stride, column_sums);
}

QL_TARGET_END

#endif

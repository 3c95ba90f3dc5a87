/* A tile of a product for AVX2, exact: up to 6 rows by one strip of 16 columns.
 *
 *     c[i][j] = init[j] + sum over groups of a[2g] * b[2g][j] + a[2g+1] * b[2g+1][j]
 *
 * vpmaddubsw would take bytes, but it saturates its 16-bit sums: 255 * 127 * 2 does not fit. So
 * both sides are 16 bits wide and vpmaddwd forms exact 32-bit sums of pairs. The left operand is
 * widened once, when it is loaded; the right one, packed int8 [group][16][2], by vpmovsxbw here.
 *
 * Registers: 12 sums (6 rows x 2 x 8 columns), 2 for b, 1 for the broadcast pair, 1 for products.
 * Cost per group: 12 vpmaddwd + 12 vpaddd for 192 multiply-adds. */
#include "../target.h"
#include "../tile.h"

#if QL_BUILDS_AVX2

#include "kernels.h"

QL_TARGET_BEGIN_AVX2

QL_INLINE __m256i broadcast_pair(const void *pair) {
    int32_t bits;
    memcpy(&bits, pair, sizeof bits);
    return _mm256_set1_epi32(bits);
}

QL_INLINE void tile(const int rows, int64_t groups, const char *a, int64_t a_stride,
                    const int8_t *b, const int32_t *init, int32_t *c) {
    __m256i sum_i32x8[6][2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        sum_i32x8[i][0] = _mm256_loadu_si256((const __m256i *)init);
        sum_i32x8[i][1] = _mm256_loadu_si256((const __m256i *)(init + 8));
    }
    for (int64_t group = 0; group < groups; group++) {
        __m256i b_i16x16[2];
        b_i16x16[0] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)b));
        b_i16x16[1] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + 16)));
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            const __m256i a_i16x16 = broadcast_pair(a + i * a_stride);
            sum_i32x8[i][0] =
                _mm256_add_epi32(sum_i32x8[i][0], _mm256_madd_epi16(a_i16x16, b_i16x16[0]));
            sum_i32x8[i][1] =
                _mm256_add_epi32(sum_i32x8[i][1], _mm256_madd_epi16(a_i16x16, b_i16x16[1]));
        }
        a += 4;
        b += 2 * QL_STRIP;
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        _mm256_storeu_si256((__m256i *)(c + i * QL_TILE_COLUMNS), sum_i32x8[i][0]);
        _mm256_storeu_si256((__m256i *)(c + i * QL_TILE_COLUMNS + 8), sum_i32x8[i][1]);
    }
}

QL_DEFINE_TILE(avx2, 1)
QL_DEFINE_TILE(avx2, 2)
QL_DEFINE_TILE(avx2, 3)
QL_DEFINE_TILE(avx2, 4)
QL_DEFINE_TILE(avx2, 5)
QL_DEFINE_TILE(avx2, 6)

void ql_avx2_load(void *row_, const uint8_t *bytes, int64_t count, uint8_t flip) {
    int16_t *row = row_;
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip);
    int64_t k = 0;
    for (; k + 16 <= count; k += 16) {
        __m128i bytes_u8x16 = _mm_loadu_si128((const __m128i *)(bytes + k));
        bytes_u8x16 = _mm_xor_si128(bytes_u8x16, flip_u8x16);
        _mm256_storeu_si256((__m256i *)(row + k), _mm256_cvtepu8_epi16(bytes_u8x16));
    }
    for (; k < count; k++)
        row[k] = (int16_t)(bytes[k] ^ flip);
}

/* vpmaddwd with ones: exact in 32 bits for 2**23 pairs, so the sum is carried over in between. */
int64_t ql_avx2_sum_row(const void *row_, int64_t count) {
    enum { PIECE = 1 << 20 };
    const int16_t *row = row_;
    const __m256i ones_i16x16 = _mm256_set1_epi16(1);
    int64_t sum = 0, k = 0;
    while (k + 16 <= count) {
        const int64_t end = ql_min(count - 15, k + PIECE);
        __m256i sum_i32x8 = _mm256_setzero_si256();
        for (; k < end; k += 16)
            sum_i32x8 = _mm256_add_epi32(
                sum_i32x8,
                _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *)(row + k)), ones_i16x16));
        int32_t lanes[8];
        _mm256_storeu_si256((__m256i *)lanes, sum_i32x8);
        for (int lane = 0; lane < 8; lane++)
            sum += lanes[lane];
    }
    for (; k < count; k++)
        sum += row[k];
    return sum;
}

void ql_avx2_correct(int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                     const int32_t *row_sum, const int32_t *b_zero_point,
                     const int32_t *a_zero_point, const int32_t *column_term) {
    for (int64_t j = 0; j < columns; j += 8) {
        const __m256i zb_i32x8 = _mm256_loadu_si256((const __m256i *)(b_zero_point + j));
        const __m256i term_i32x8 = _mm256_loadu_si256((const __m256i *)(column_term + j));
        for (int64_t i = 0; i < rows; i++) {
            __m256i *at = (__m256i *)(sums + i * sums_stride + j);
            const __m256i row_i32x8 = _mm256_mullo_epi32(_mm256_set1_epi32(row_sum[i]), zb_i32x8);
            const __m256i za_i32x8 =
                _mm256_mullo_epi32(_mm256_set1_epi32(a_zero_point[i]), term_i32x8);
            _mm256_storeu_si256(at, _mm256_sub_epi32(_mm256_loadu_si256(at),
                                                     _mm256_add_epi32(row_i32x8, za_i32x8)));
        }
    }
}

QL_TARGET_END

#endif

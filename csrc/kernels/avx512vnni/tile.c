/* A tile of a product for AVX-512 VNNI: up to 12 rows by two strips of 16 columns.
 *
 *     c[i][j] = init[j] + sum over groups g of sum over d = 0..3 of a[4g+d] * b[4g+d][j]
 *
 * vpdpbusd multiplies four unsigned bytes (the left operand, loaded as numbers 0 to 255) by four
 * signed ones and adds the exact sum to 32 bits, without saturation. The right operand is packed
 * [group][16][4], so one zmm register is one group of a strip.
 *
 * Registers: 24 sums (12 rows x 2 strips), 2 for b, 1 for the broadcast group of a. Cost per
 * group: 24 vpdpbusd for 1536 multiply-adds, with 12 broadcasts and 2 loads beside them. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

QL_INLINE __m512i broadcast_group(const char *group) {
    int32_t bits;
    memcpy(&bits, group, sizeof bits);
    return _mm512_set1_epi32(bits);
}

QL_INLINE void tile(const int rows, const int strips, int64_t groups, const char *a,
                    int64_t a_stride, const int8_t *b, int64_t b_stride, const int32_t *init,
                    int32_t *c) {
    __m512i sum_i32x16[12][2];
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int s = 0; s < strips; s++)
            sum_i32x16[i][s] = _mm512_loadu_si512(init + 16 * s);
    for (int64_t group = 0; group < groups; group++) {
        __m512i b_i8x64[2];
#pragma GCC unroll 2
        for (int s = 0; s < strips; s++)
            b_i8x64[s] = _mm512_loadu_si512(b + s * b_stride);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            const __m512i a_u8x64 = broadcast_group(a + i * a_stride);
#pragma GCC unroll 2
            for (int s = 0; s < strips; s++)
                sum_i32x16[i][s] = _mm512_dpbusd_epi32(sum_i32x16[i][s], a_u8x64, b_i8x64[s]);
        }
        a += 4;
        b += 4 * QL_STRIP;
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int s = 0; s < strips; s++)
            _mm512_storeu_si512(c + i * QL_TILE_COLUMNS + 16 * s, sum_i32x16[i][s]);
}

#define DEFINE_TILE(rows, strips)                                                                  \
    void ql_avx512vnni_tile_##rows##x##strips(int64_t groups, const void *a, int64_t a_stride,     \
                                              const int8_t *b, int64_t b_stride,                   \
                                              const int32_t *init, int32_t *c) {                   \
        tile(rows, strips, groups, a, a_stride, b, b_stride, init, c);                             \
    }
#define DEFINE_TILES(rows) DEFINE_TILE(rows, 1) DEFINE_TILE(rows, 2)

DEFINE_TILES(1)
DEFINE_TILES(2)
DEFINE_TILES(3)
DEFINE_TILES(4)
DEFINE_TILES(5)
DEFINE_TILES(6)
DEFINE_TILES(7)
DEFINE_TILES(8)
DEFINE_TILES(9)
DEFINE_TILES(10)
DEFINE_TILES(11)
DEFINE_TILES(12)

void ql_avx512vnni_load(void *row_, const uint8_t *bytes, int64_t count, uint8_t flip) {
    uint8_t *row = row_;
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)flip);
    int64_t k = 0;
    for (; k + 64 <= count; k += 64)
        _mm512_storeu_si512(row + k, _mm512_xor_si512(_mm512_loadu_si512(bytes + k), flip_u8x64));
    if (k < count) {
        const __mmask64 tail = ~0ULL >> (64 - (count - k));
        const __m512i bytes_u8x64 = _mm512_maskz_loadu_epi8(tail, bytes + k);
        _mm512_mask_storeu_epi8(row + k, tail, _mm512_xor_si512(bytes_u8x64, flip_u8x64));
    }
}

QL_TARGET_END

#endif

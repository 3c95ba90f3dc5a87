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

/* The same for so few rows that their sums alone would wait for one another: a product takes five
 * cycles, and two can start in each. So `phases` groups have sums of their own. */
QL_INLINE void few_rows(const int rows, const int phases, const int strips, int64_t groups,
                        const char *a, int64_t a_stride, const int8_t *b, int64_t b_stride,
                        const int32_t *init, int32_t *c) {
    __m512i sum_i32x16[3][2][4];
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int s = 0; s < strips; s++)
#pragma GCC unroll 4
            for (int phase = 0; phase < phases; phase++)
                sum_i32x16[i][s][phase] =
                    phase == 0 ? _mm512_loadu_si512(init + 16 * s) : _mm512_setzero_si512();
    for (; groups >= phases; groups -= phases, a += 4 * phases, b += 4 * QL_STRIP * phases)
#pragma GCC unroll 4
        for (int phase = 0; phase < phases; phase++)
#pragma GCC unroll 2
            for (int s = 0; s < strips; s++) {
                const __m512i b_i8x64 = _mm512_loadu_si512(b + s * b_stride + 4 * QL_STRIP * phase);
#pragma GCC unroll 3
                for (int i = 0; i < rows; i++)
                    sum_i32x16[i][s][phase] =
                        _mm512_dpbusd_epi32(sum_i32x16[i][s][phase],
                                            broadcast_group(a + i * a_stride + 4 * phase), b_i8x64);
            }
    for (; groups > 0; groups--, a += 4, b += 4 * QL_STRIP)
#pragma GCC unroll 2
        for (int s = 0; s < strips; s++)
#pragma GCC unroll 3
            for (int i = 0; i < rows; i++)
                sum_i32x16[i][s][0] =
                    _mm512_dpbusd_epi32(sum_i32x16[i][s][0], broadcast_group(a + i * a_stride),
                                        _mm512_loadu_si512(b + s * b_stride));
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int s = 0; s < strips; s++) {
            __m512i total_i32x16 = sum_i32x16[i][s][0];
#pragma GCC unroll 4
            for (int phase = 1; phase < phases; phase++)
                total_i32x16 = _mm512_add_epi32(total_i32x16, sum_i32x16[i][s][phase]);
            _mm512_storeu_si512(c + i * QL_TILE_COLUMNS + 16 * s, total_i32x16);
        }
}

#define DEFINE_FEW_ROWS(rows, phases, strips)                                                      \
    void ql_avx512vnni_tile_##rows##x##strips(int64_t groups, const void *a, int64_t a_stride,     \
                                              const int8_t *b, int64_t b_stride,                   \
                                              const int32_t *init, int32_t *c) {                   \
        few_rows(rows, phases, strips, groups, a, a_stride, b, b_stride, init, c);                 \
    }

DEFINE_FEW_ROWS(1, 4, 1)
DEFINE_FEW_ROWS(1, 4, 2)
DEFINE_FEW_ROWS(2, 4, 1)
DEFINE_FEW_ROWS(2, 2, 2)
DEFINE_FEW_ROWS(3, 4, 1)
DEFINE_FEW_ROWS(3, 2, 2)

#define DEFINE_TILE(rows, strips)                                                                  \
    void ql_avx512vnni_tile_##rows##x##strips(int64_t groups, const void *a, int64_t a_stride,     \
                                              const int8_t *b, int64_t b_stride,                   \
                                              const int32_t *init, int32_t *c) {                   \
        tile(rows, strips, groups, a, a_stride, b, b_stride, init, c);                             \
    }
#define DEFINE_TILES(rows) DEFINE_TILE(rows, 1) DEFINE_TILE(rows, 2)

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

/* vpdpbusd with ones: exact in 32 bits for 2**21 groups, so the sum is carried over in between. */
int64_t ql_avx512vnni_sum_row(const void *row_, int64_t count) {
    enum { PIECE = 1 << 24 };
    const uint8_t *row = row_;
    const __m512i ones_i8x64 = _mm512_set1_epi8(1);
    int64_t sum = 0;
    for (int64_t k = 0; k < count;) {
        const int64_t end = ql_min(count, k + PIECE);
        __m512i sum_i32x16 = _mm512_setzero_si512();
        for (; k + 64 <= end; k += 64)
            sum_i32x16 = _mm512_dpbusd_epi32(sum_i32x16, _mm512_loadu_si512(row + k), ones_i8x64);
        if (k < end) {
            const __mmask64 tail = ~0ULL >> (64 - (end - k));
            sum_i32x16 =
                _mm512_dpbusd_epi32(sum_i32x16, _mm512_maskz_loadu_epi8(tail, row + k), ones_i8x64);
            k = end;
        }
        sum += (uint32_t)_mm512_reduce_add_epi32(sum_i32x16);
    }
    return sum;
}

void ql_avx512vnni_correct(int32_t *sums, int64_t sums_stride, int64_t rows, int64_t columns,
                           const int32_t *row_sum, const int32_t *b_zero_point,
                           const int32_t *a_zero_point, const int32_t *column_term) {
    for (int64_t j = 0; j < columns; j += 16) {
        const __m512i zb_i32x16 = _mm512_loadu_si512(b_zero_point + j);
        const __m512i term_i32x16 = _mm512_loadu_si512(column_term + j);
        for (int64_t i = 0; i < rows; i++) {
            int32_t *at = sums + i * sums_stride + j;
            const __m512i row_i32x16 = _mm512_mullo_epi32(_mm512_set1_epi32(row_sum[i]), zb_i32x16);
            const __m512i za_i32x16 =
                _mm512_mullo_epi32(_mm512_set1_epi32(a_zero_point[i]), term_i32x16);
            _mm512_storeu_si512(at, _mm512_sub_epi32(_mm512_loadu_si512(at),
                                                     _mm512_add_epi32(row_i32x16, za_i32x16)));
        }
    }
}

QL_TARGET_END

#endif

/* A tile of a product for AVX-VNNI: up to 6 rows by one strip of 16 columns.
 *
 *     c[i][j] = init[j] + sum over groups g of sum over d = 0..3 of a[4g+d] * b[4g+d][j]
 *
 * vpdpbusd multiplies four unsigned bytes (the left operand, loaded as numbers 0 to 255) by four
 * signed ones and adds the exact sum to 32 bits, without saturation. The right operand is packed
 * [group][16][4], so two ymm registers are one group of a strip.
 *
 * Registers: 12 sums (6 rows x 2 x 8 columns), 2 for b, 1 for the broadcast group of a. Cost per
 * group: 12 vpdpbusd for 384 multiply-adds, with 6 broadcasts and 2 loads beside them.
 *
 * A sum waits five cycles for the one before it, and two sums can begin in a cycle. So that there
 * are enough, tiles of three rows and less sum every second or fourth group by itself. (For three
 * rows GCC keeps three sums in memory then, which still takes less time.) */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

QL_INLINE __m256i broadcast_group(const char *group) {
    int32_t bits;
    memcpy(&bits, group, sizeof bits);
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
        const __m256i first_i8x32 = _mm256_loadu_si256((const __m256i *)b);
        const __m256i second_i8x32 = _mm256_loadu_si256((const __m256i *)(b + 32));
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            const __m256i a_u8x32 = broadcast_group(a + i * a_stride);
            sum_i32x8[i][0] = _mm256_dpbusd_avx_epi32(sum_i32x8[i][0], a_u8x32, first_i8x32);
            sum_i32x8[i][1] = _mm256_dpbusd_avx_epi32(sum_i32x8[i][1], a_u8x32, second_i8x32);
        }
        a += 4;
        b += 4 * QL_STRIP;
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        _mm256_storeu_si256((__m256i *)(c + i * QL_TILE_COLUMNS), sum_i32x8[i][0]);
        _mm256_storeu_si256((__m256i *)(c + i * QL_TILE_COLUMNS + 8), sum_i32x8[i][1]);
    }
}

/* Adds the products of the groups at a and b. */
QL_INLINE void add_group(const int rows, const char *a, int64_t a_stride, const int8_t *b,
                         __m256i sum_i32x8[3][2]) {
    const __m256i first_i8x32 = _mm256_loadu_si256((const __m256i *)b);
    const __m256i second_i8x32 = _mm256_loadu_si256((const __m256i *)(b + 32));
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++) {
        const __m256i a_u8x32 = broadcast_group(a + i * a_stride);
        sum_i32x8[i][0] = _mm256_dpbusd_avx_epi32(sum_i32x8[i][0], a_u8x32, first_i8x32);
        sum_i32x8[i][1] = _mm256_dpbusd_avx_epi32(sum_i32x8[i][1], a_u8x32, second_i8x32);
    }
}

/* Few rows: `phases` neighbouring groups have sums of their own. */
QL_INLINE void few_rows(const int rows, const int phases, int64_t groups, const char *a,
                        int64_t a_stride, const int8_t *b, const int32_t *init, int32_t *c) {
    __m256i sum_i32x8[4][3][2];
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            sum_i32x8[0][i][half] = _mm256_loadu_si256((const __m256i *)(init + 8 * half));
#pragma GCC unroll 4
            for (int phase = 1; phase < phases; phase++)
                sum_i32x8[phase][i][half] = _mm256_setzero_si256();
        }
    for (; groups >= phases; groups -= phases, a += 4 * phases, b += 4 * QL_STRIP * phases)
#pragma GCC unroll 4
        for (int phase = 0; phase < phases; phase++)
            add_group(rows, a + 4 * phase, a_stride, b + 4 * QL_STRIP * phase, sum_i32x8[phase]);
    for (; groups > 0; groups--, a += 4, b += 4 * QL_STRIP)
        add_group(rows, a, a_stride, b, sum_i32x8[0]);
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
#pragma GCC unroll 4
            for (int phase = 1; phase < phases; phase++)
                sum_i32x8[0][i][half] =
                    _mm256_add_epi32(sum_i32x8[0][i][half], sum_i32x8[phase][i][half]);
            _mm256_storeu_si256((__m256i *)(c + i * QL_TILE_COLUMNS + 8 * half),
                                sum_i32x8[0][i][half]);
        }
}

#define DEFINE_TILE(rows, multiply, ...)                                                           \
    void ql_avxvnni_tile_##rows(int64_t groups, const void *a, int64_t a_stride, const int8_t *b,  \
                                int64_t b_stride, const int32_t *init, int32_t *c) {               \
        (void)b_stride;                                                                            \
        multiply(__VA_ARGS__, groups, a, a_stride, b, init, c);                                    \
    }

DEFINE_TILE(1, few_rows, 1, 4)
DEFINE_TILE(2, few_rows, 2, 2)
DEFINE_TILE(3, few_rows, 3, 2)
DEFINE_TILE(4, tile, 4)
DEFINE_TILE(5, tile, 5)
DEFINE_TILE(6, tile, 6)

void ql_avxvnni_load(void *row_, const uint8_t *bytes, int64_t count, uint8_t flip) {
    uint8_t *row = row_;
    const __m256i flip_u8x32 = _mm256_set1_epi8((char)flip);
    int64_t k = 0;
    for (; k + 32 <= count; k += 32) {
        const __m256i bytes_u8x32 = _mm256_loadu_si256((const __m256i *)(bytes + k));
        _mm256_storeu_si256((__m256i *)(row + k), _mm256_xor_si256(bytes_u8x32, flip_u8x32));
    }
    for (; k < count; k++)
        row[k] = bytes[k] ^ flip;
}

/* vpsadbw with 0 adds eight bytes to 64 bits. */
int64_t ql_avxvnni_sum_row(const void *row_, int64_t count) {
    const uint8_t *row = row_;
    __m256i sum_i64x4 = _mm256_setzero_si256();
    int64_t k = 0;
    for (; k + 32 <= count; k += 32)
        sum_i64x4 = _mm256_add_epi64(sum_i64x4,
                                     _mm256_sad_epu8(_mm256_loadu_si256((const __m256i *)(row + k)),
                                                     _mm256_setzero_si256()));
    int64_t lanes[4];
    _mm256_storeu_si256((__m256i *)lanes, sum_i64x4);
    int64_t sum = lanes[0] + lanes[1] + lanes[2] + lanes[3];
    for (; k < count; k++)
        sum += row[k];
    return sum;
}

QL_TARGET_END

#endif

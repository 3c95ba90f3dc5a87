/* Packing of a right operand for AVX-VNNI, in groups of four rows: see csrc/pack.c.
 *
 * Four rows of 16 bytes are interleaved by two levels of vpunpck into two ymm of a strip; vpdpbusd
 * with ones adds the four codes of each column to the column sums. */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

void ql_avxvnni_pack_groups(const uint8_t *rows, int64_t stride, int64_t groups, int64_t strips,
                            uint8_t flip, int8_t *to, int64_t strip_stride, int32_t *sums) {
    const __m256i flip_u8x32 = _mm256_set1_epi8((char)flip), ones_u8x32 = _mm256_set1_epi8(1);
    __m256i sum_i32x8[QL_PACK_STRIPS][2];
    for (int64_t s = 0; s < strips; s++)
        for (int half = 0; half < 2; half++)
            sum_i32x8[s][half] =
                _mm256_loadu_si256((const __m256i *)(sums + s * QL_STRIP + half * 8));
    for (int64_t group = 0; group < groups; group++, rows += 4 * stride)
        for (int64_t s = 0; s < strips; s++) {
            const uint8_t *row = rows + s * QL_STRIP;
            int8_t *packed = to + s * strip_stride + group * 4 * QL_STRIP;
            const __m128i a = _mm_loadu_si128((const __m128i *)row);
            const __m128i b = _mm_loadu_si128((const __m128i *)(row + stride));
            const __m128i c = _mm_loadu_si128((const __m128i *)(row + 2 * stride));
            const __m128i d = _mm_loadu_si128((const __m128i *)(row + 3 * stride));
            const __m128i ab_low = _mm_unpacklo_epi8(a, b), ab_high = _mm_unpackhi_epi8(a, b);
            const __m128i cd_low = _mm_unpacklo_epi8(c, d), cd_high = _mm_unpackhi_epi8(c, d);
            __m256i first_i8x32 = _mm256_set_m128i(_mm_unpackhi_epi16(ab_low, cd_low),
                                                   _mm_unpacklo_epi16(ab_low, cd_low));
            __m256i second_i8x32 = _mm256_set_m128i(_mm_unpackhi_epi16(ab_high, cd_high),
                                                    _mm_unpacklo_epi16(ab_high, cd_high));
            first_i8x32 = _mm256_xor_si256(first_i8x32, flip_u8x32);
            second_i8x32 = _mm256_xor_si256(second_i8x32, flip_u8x32);
            _mm256_storeu_si256((__m256i *)packed, first_i8x32);
            _mm256_storeu_si256((__m256i *)(packed + 32), second_i8x32);
            sum_i32x8[s][0] = _mm256_dpbusd_avx_epi32(sum_i32x8[s][0], ones_u8x32, first_i8x32);
            sum_i32x8[s][1] = _mm256_dpbusd_avx_epi32(sum_i32x8[s][1], ones_u8x32, second_i8x32);
        }
    for (int64_t s = 0; s < strips; s++) {
        _mm256_storeu_si256((__m256i *)(sums + s * QL_STRIP), sum_i32x8[s][0]);
        _mm256_storeu_si256((__m256i *)(sums + s * QL_STRIP + 8), sum_i32x8[s][1]);
    }
}

/* Four columns of four groups: the transpose of 4 x 4 32-bit numbers. */
QL_INLINE void transpose_groups(const uint8_t *columns, int64_t stride, __m128i groups_u8x16[4]) {
    __m128i column[4];
    for (int j = 0; j < 4; j++)
        column[j] = _mm_loadu_si128((const __m128i *)(columns + j * stride));
    const __m128i low_01 = _mm_unpacklo_epi32(column[0], column[1]);
    const __m128i high_01 = _mm_unpackhi_epi32(column[0], column[1]);
    const __m128i low_23 = _mm_unpacklo_epi32(column[2], column[3]);
    const __m128i high_23 = _mm_unpackhi_epi32(column[2], column[3]);
    groups_u8x16[0] = _mm_unpacklo_epi64(low_01, low_23);
    groups_u8x16[1] = _mm_unpackhi_epi64(low_01, low_23);
    groups_u8x16[2] = _mm_unpacklo_epi64(high_01, high_23);
    groups_u8x16[3] = _mm_unpackhi_epi64(high_01, high_23);
}

/* Columns of 16 codes, four groups, at a time; the last groups one by one. */
void ql_avxvnni_pack_columns(const uint8_t *columns, int64_t stride, int64_t groups, uint8_t flip,
                             int8_t *to, int32_t *sums) {
    const __m128i flip_u8x16 = _mm_set1_epi8((char)flip), ones_u8x16 = _mm_set1_epi8(1);
    __m128i sum_i32x4[4];
    for (int part = 0; part < 4; part++)
        sum_i32x4[part] = _mm_loadu_si128((const __m128i *)(sums + 4 * part));
    int64_t group = 0;
    for (; group + 4 <= groups; group += 4, to += 16 * QL_STRIP)
        for (int part = 0; part < 4; part++) {
            __m128i groups_u8x16[4];
            transpose_groups(columns + 4 * group + 4 * part * stride, stride, groups_u8x16);
            for (int g = 0; g < 4; g++) {
                const __m128i group_i8x16 = _mm_xor_si128(groups_u8x16[g], flip_u8x16);
                _mm_storeu_si128((__m128i *)(to + 4 * QL_STRIP * g + 16 * part), group_i8x16);
                sum_i32x4[part] = _mm_dpbusd_avx_epi32(sum_i32x4[part], ones_u8x16, group_i8x16);
            }
        }
    for (int part = 0; part < 4; part++)
        _mm_storeu_si128((__m128i *)(sums + 4 * part), sum_i32x4[part]);
    for (; group < groups; group++, to += 4 * QL_STRIP)
        for (int j = 0; j < QL_STRIP; j++)
            for (int d = 0; d < 4; d++) {
                to[4 * j + d] = (int8_t)(columns[j * stride + 4 * group + d] ^ flip);
                sums[j] += to[4 * j + d];
            }
}

QL_TARGET_END

#endif

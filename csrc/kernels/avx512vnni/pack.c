/* Packing of a right operand for AVX-512 VNNI, in groups of four rows: see csrc/pack.c.
 *
 * Four rows of 16 bytes are interleaved by two levels of vpunpck into one zmm of a strip; vpdpbusd
 * with ones adds the four codes of each column to the column sums. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

QL_INLINE __m512i interleave(const uint8_t *row, int64_t stride) {
    const __m128i a = _mm_loadu_si128((const __m128i *)row);
    const __m128i b = _mm_loadu_si128((const __m128i *)(row + stride));
    const __m128i c = _mm_loadu_si128((const __m128i *)(row + 2 * stride));
    const __m128i d = _mm_loadu_si128((const __m128i *)(row + 3 * stride));
    const __m128i ab_low = _mm_unpacklo_epi8(a, b), ab_high = _mm_unpackhi_epi8(a, b);
    const __m128i cd_low = _mm_unpacklo_epi8(c, d), cd_high = _mm_unpackhi_epi8(c, d);
    __m512i group = _mm512_castsi128_si512(_mm_unpacklo_epi16(ab_low, cd_low));
    group = _mm512_inserti32x4(group, _mm_unpackhi_epi16(ab_low, cd_low), 1);
    group = _mm512_inserti32x4(group, _mm_unpacklo_epi16(ab_high, cd_high), 2);
    return _mm512_inserti32x4(group, _mm_unpackhi_epi16(ab_high, cd_high), 3);
}

QL_INLINE void pack(const uint8_t *rows, int64_t stride, int64_t groups, const int strips,
                    uint8_t flip, int8_t *to, int64_t strip_stride, int32_t *sums) {
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)flip);
    const __m512i ones_u8x64 = _mm512_set1_epi8(1);
    __m512i sum_i32x16[QL_PACK_STRIPS];
    for (int s = 0; s < strips; s++)
        sum_i32x16[s] = _mm512_setzero_si512();
    for (int64_t group = 0; group < groups; group++, rows += 4 * stride, to += 4 * QL_STRIP)
#pragma GCC unroll 4
        for (int s = 0; s < strips; s++) {
            const __m512i group_i8x64 =
                _mm512_xor_si512(interleave(rows + s * QL_STRIP, stride), flip_u8x64);
            _mm512_storeu_si512(to + s * strip_stride, group_i8x64);
            sum_i32x16[s] = _mm512_dpbusd_epi32(sum_i32x16[s], ones_u8x64, group_i8x64);
        }
    for (int s = 0; s < strips; s++)
        _mm512_storeu_si512(sums + s * QL_STRIP, sum_i32x16[s]);
}

void ql_avx512vnni_pack_groups(const uint8_t *rows, int64_t stride, int64_t groups, int64_t strips,
                               uint8_t flip, int8_t *to, int64_t strip_stride, int32_t *sums) {
    if (strips == QL_PACK_STRIPS) {
        pack(rows, stride, groups, QL_PACK_STRIPS, flip, to, strip_stride, sums);
        return;
    }
    for (int64_t s = 0; s < strips; s++)
        pack(rows + s * QL_STRIP, stride, groups, 1, flip, to + s * strip_stride, strip_stride,
             sums + s * QL_STRIP);
}

QL_TARGET_END

#endif

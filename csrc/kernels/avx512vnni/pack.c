/* Packing of a right operand for AVX-512 VNNI, in groups of four rows: see csrc/pack.c.
 *
 * One zmm is one group of a strip; vpdpbusd with ones adds the four codes of each column to the
 * column sums. Shuffles bound the cost: two for the 64 bytes of a group. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "group.h"

QL_INLINE void pack(const uint8_t *rows, int64_t stride, int64_t groups, const int strips,
                    uint8_t flip, int8_t *to, int64_t strip_stride, int32_t *sums) {
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)flip);
    const __m512i ones_u8x64 = _mm512_set1_epi8(1);
    __m512i sum_i32x16[QL_PACK_STRIPS];
    for (int s = 0; s < strips; s++)
        sum_i32x16[s] = _mm512_loadu_si512(sums + s * QL_STRIP);
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

/* The transpose of 16 x 16 32-bit numbers: pairs, then fours in each lane, then the lanes. */
QL_INLINE void transpose_groups(__m512i v[16]) {
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        v[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        v[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        v[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    /* Now lane l of v[4 * i + g] holds group 4 * l + g of columns 4 * i to 4 * i + 3. */
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
        const __m512i low_even = _mm512_shuffle_i32x4(v[g], v[4 + g], 0x88);
        const __m512i low_odd = _mm512_shuffle_i32x4(v[g], v[4 + g], 0xdd);
        const __m512i high_even = _mm512_shuffle_i32x4(v[8 + g], v[12 + g], 0x88);
        const __m512i high_odd = _mm512_shuffle_i32x4(v[8 + g], v[12 + g], 0xdd);
        t[g] = _mm512_shuffle_i32x4(low_even, high_even, 0x88);
        t[4 + g] = _mm512_shuffle_i32x4(low_odd, high_odd, 0x88);
        t[8 + g] = _mm512_shuffle_i32x4(low_even, high_even, 0xdd);
        t[12 + g] = _mm512_shuffle_i32x4(low_odd, high_odd, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        v[i] = t[i];
}

/* Columns of 64 codes, 16 groups, at a time; the last groups are read under a mask. */
void ql_avx512vnni_pack_columns(const uint8_t *columns, int64_t stride, int64_t groups,
                                uint8_t flip, int8_t *to, int32_t *sums) {
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)flip);
    const __m512i ones_u8x64 = _mm512_set1_epi8(1);
    __m512i sum_i32x16 = _mm512_loadu_si512(sums);
    for (int64_t group = 0; group < groups; group += 16) {
        const int64_t count = ql_min(16, groups - group);
        const __mmask16 mask = (__mmask16)(0xffff >> (16 - count));
        __m512i groups_u8x64[16];
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++)
            groups_u8x64[j] = _mm512_maskz_loadu_epi32(mask, columns + 4 * group + j * stride);
        transpose_groups(groups_u8x64);
        int8_t *packed = to + 4 * QL_STRIP * group;
#pragma GCC unroll 16
        for (int g = 0; g < 16; g++) {
            if (g >= count)
                break;
            const __m512i group_i8x64 = _mm512_xor_si512(groups_u8x64[g], flip_u8x64);
            _mm512_storeu_si512(packed + 4 * QL_STRIP * g, group_i8x64);
            sum_i32x16 = _mm512_dpbusd_epi32(sum_i32x16, ones_u8x64, group_i8x64);
        }
    }
    _mm512_storeu_si512(sums, sum_i32x16);
}

QL_TARGET_END

#endif

/* One group of a strip from four rows of a right operand. Included within the target region. */

/* Four rows of 16 bytes, a lane each, to 16 columns of four: vpermd brings the four columns of a
 * lane together, vpshufb transposes them there. */
QL_INLINE __m512i interleave_lanes(__m128i a, __m128i b, __m128i c, __m128i d) {
    const __m512i gather_i32x16 =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i transpose_u8x64 =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i rows = _mm512_castsi128_si512(a);
    rows = _mm512_inserti32x4(rows, b, 1);
    rows = _mm512_inserti32x4(rows, c, 2);
    rows = _mm512_inserti32x4(rows, d, 3);
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(gather_i32x16, rows), transpose_u8x64);
}

QL_INLINE __m512i interleave(const uint8_t *row, int64_t stride) {
    return interleave_lanes(_mm_loadu_si128((const __m128i *)row),
                            _mm_loadu_si128((const __m128i *)(row + stride)),
                            _mm_loadu_si128((const __m128i *)(row + 2 * stride)),
                            _mm_loadu_si128((const __m128i *)(row + 3 * stride)));
}

/* The same where some of the 16 columns do not exist. */
QL_INLINE __m512i interleave_masked(const uint8_t *row, int64_t stride, __mmask16 mask) {
    return interleave_lanes(
        _mm_maskz_loadu_epi8(mask, row), _mm_maskz_loadu_epi8(mask, row + stride),
        _mm_maskz_loadu_epi8(mask, row + 2 * stride), _mm_maskz_loadu_epi8(mask, row + 3 * stride));
}

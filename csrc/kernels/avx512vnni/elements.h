/* Elements of planes from lines of input: see csrc/depthwise.c. Included within the target region.
 *
 * They are interleaved in an order that uses both ports for vectors: even and odd bytes of two
 * lines become words by a shift and a selection, words become elements by unpacking. */

/* Elements of 64 bytes of four rows: within a lane, vectors have the bytes 0, 2, 4, 6 and 8, 10,
 * 12, 14 and 1, 3, 5, 7 and 9, 11, 13, 15. Of three rows, the last byte is of no matter. */
QL_INLINE void elements_of(const int rows, const int flips, __m512i row_u8x64[4],
                           __m512i flip_u8x64, __m512i element_u8x64[4]) {
    const __m512i low_byte_u16x32 = _mm512_set1_epi16(0xFF);
    enum { SELECT = 0xCA };
#pragma GCC unroll 4
    for (int row = 0; flips && row < rows; row++)
        row_u8x64[row] = _mm512_xor_si512(row_u8x64[row], flip_u8x64);
    const __m512i even_u16x32 = _mm512_ternarylogic_epi32(
        low_byte_u16x32, row_u8x64[0], _mm512_slli_epi16(row_u8x64[1], 8), SELECT);
    const __m512i odd_u16x32 = _mm512_ternarylogic_epi32(
        low_byte_u16x32, _mm512_srli_epi16(row_u8x64[0], 8), row_u8x64[1], SELECT);
    __m512i next_even_u16x32 = row_u8x64[2];
    __m512i next_odd_u16x32 = _mm512_srli_epi16(row_u8x64[2], 8);
    if (rows == 4) {
        next_even_u16x32 = _mm512_ternarylogic_epi32(low_byte_u16x32, next_even_u16x32,
                                                     _mm512_slli_epi16(row_u8x64[3], 8), SELECT);
        next_odd_u16x32 =
            _mm512_ternarylogic_epi32(low_byte_u16x32, next_odd_u16x32, row_u8x64[3], SELECT);
    }
    element_u8x64[0] = _mm512_unpacklo_epi16(even_u16x32, next_even_u16x32);
    element_u8x64[1] = _mm512_unpackhi_epi16(even_u16x32, next_even_u16x32);
    element_u8x64[2] = _mm512_unpacklo_epi16(odd_u16x32, next_odd_u16x32);
    element_u8x64[3] = _mm512_unpackhi_epi16(odd_u16x32, next_odd_u16x32);
}

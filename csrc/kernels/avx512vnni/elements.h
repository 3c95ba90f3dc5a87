/* Elements of planes from lines of input: see csrc/depthwise.c. Included within the target region.
 */

/* Elements of 64 bytes of three or four rows: of each lane, the first vector has the first four,
 * and so on. Of three rows, the last byte is of no matter. */
QL_INLINE void elements_of(const int rows, const int flips, __m512i row_u8x64[4],
                           __m512i flip_u8x64, __m512i element_u8x64[4]) {
#pragma GCC unroll 4
    for (int row = 0; flips && row < rows; row++)
        row_u8x64[row] = _mm512_xor_si512(row_u8x64[row], flip_u8x64);
    const __m512i last_u8x64 = row_u8x64[rows - 1];
    const __m512i low_u16x32 = _mm512_unpacklo_epi8(row_u8x64[0], row_u8x64[1]);
    const __m512i high_u16x32 = _mm512_unpackhi_epi8(row_u8x64[0], row_u8x64[1]);
    const __m512i next_low_u16x32 = _mm512_unpacklo_epi8(row_u8x64[2], last_u8x64);
    const __m512i next_high_u16x32 = _mm512_unpackhi_epi8(row_u8x64[2], last_u8x64);
    element_u8x64[0] = _mm512_unpacklo_epi16(low_u16x32, next_low_u16x32);
    element_u8x64[1] = _mm512_unpackhi_epi16(low_u16x32, next_low_u16x32);
    element_u8x64[2] = _mm512_unpacklo_epi16(high_u16x32, next_high_u16x32);
    element_u8x64[3] = _mm512_unpackhi_epi16(high_u16x32, next_high_u16x32);
}

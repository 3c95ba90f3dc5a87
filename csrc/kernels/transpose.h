/* A transposition of 16 rows of bytes for x86: see csrc/transpose.c. Included within the target
 * regions of AVX2 and of AVX-512, whose 32 registers hold both sides of a step, at half the time.
 *
 * Interleaving row i with row i + 8 is one step of a perfect shuffle of 16 x 16 bytes; four such
 * steps move the bits of the row number to the bits of the column number. The two lanes of a
 * register are two such blocks, side by side: 64 shuffles for 512 bytes. */

QL_INLINE void interleave(const __m256i from[16], __m256i to[16]) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        to[2 * i] = _mm256_unpacklo_epi8(from[i], from[i + 8]);
        to[2 * i + 1] = _mm256_unpackhi_epi8(from[i], from[i + 8]);
    }
}

QL_INLINE void shuffle(__m256i rows_u8x32[16]) {
    __m256i odd_u8x32[16];
    interleave(rows_u8x32, odd_u8x32);
    interleave(odd_u8x32, rows_u8x32);
    interleave(rows_u8x32, odd_u8x32);
    interleave(odd_u8x32, rows_u8x32);
}

/* 16 columns, or 32. */
QL_INLINE void transpose(const uint8_t *const *x, int64_t column, const int two, uint8_t *y,
                         int64_t y_stride) {
    __m256i rows_u8x32[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        rows_u8x32[i] =
            two ? _mm256_loadu_si256((const __m256i *)(x[i] + column))
                : _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(x[i] + column)));
    shuffle(rows_u8x32);
    y += column * y_stride;
#pragma GCC unroll 16
    for (int j = 0; j < 16; j++, y += y_stride)
        _mm_storeu_si128((__m128i *)y, _mm256_castsi256_si128(rows_u8x32[j]));
    if (two)
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++, y += y_stride)
            _mm_storeu_si128((__m128i *)y, _mm256_extracti128_si256(rows_u8x32[j], 1));
}

QL_INLINE void transpose_bytes(const uint8_t *const *x, int64_t columns, uint8_t *y,
                               int64_t y_stride) {
    int64_t column = 0;
    for (; column + 32 <= columns; column += 32)
        transpose(x, column, 1, y, y_stride);
    if (column + 16 < columns && columns >= 32)
        transpose(x, columns - 32, 1, y, y_stride);
    else if (column < columns) {
        transpose(x, ql_min(column, columns - 16), 0, y, y_stride);
        if (column + 16 < columns)
            transpose(x, columns - 16, 0, y, y_stride);
    }
}

/* Masks for edges. To be included inside a target region. */

/* The first `count` of sixteen lanes. */
QL_INLINE __mmask16 first(int64_t count) {
    return (__mmask16)(count >= 16 ? 0xFFFF : count <= 0 ? 0 : 0xFFFF >> (16 - count));
}

/* The first `count` of 64 bytes. */
QL_INLINE __mmask64 first_bytes(int64_t count) {
    return count >= 64 ? ~(__mmask64)0 : count <= 0 ? 0 : ~(__mmask64)0 >> (64 - count);
}

/* Up to 64 of them. */
QL_INLINE void store_bytes(uint8_t *y, __m512i bytes_u8x64, int64_t count) {
    if (count >= 64)
        _mm512_storeu_si512(y, bytes_u8x64);
    else
        _mm512_mask_storeu_epi8(y, first_bytes(count), bytes_u8x64);
}

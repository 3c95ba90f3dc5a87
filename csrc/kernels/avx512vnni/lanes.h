/* Masks for edges. To be included inside a target region. */

/* The first `count` of sixteen lanes. */
QL_INLINE __mmask16 first(int64_t count) {
    return (__mmask16)(count >= 16 ? 0xFFFF : count <= 0 ? 0 : 0xFFFF >> (16 - count));
}

/* The first `count` of 64 bytes. */
QL_INLINE __mmask64 first_bytes(int64_t count) {
    return count >= 64 ? ~(__mmask64)0 : count <= 0 ? 0 : ~(__mmask64)0 >> (64 - count);
}

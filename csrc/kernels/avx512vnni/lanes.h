/* Masks for edges. To be included inside a target region. */

/* The first `count` of sixteen lanes. */
QL_INLINE __mmask16 first(int64_t count) {
    return (__mmask16)(count >= 16 ? 0xFFFF : count <= 0 ? 0 : 0xFFFF >> (16 - count));
}

/* Products of elements of four bytes, added up. Included within a target region. */
QL_INLINE __m256i add_products(__m256i sum_i32x8, __m256i x_u8x32, __m256i w_i8x32) {
    return _mm256_dpbusd_avx_epi32(sum_i32x8, x_u8x32, w_i8x32);
}

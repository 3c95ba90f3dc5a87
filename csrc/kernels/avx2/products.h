/* Products of elements of two int16, added up. Included within a target region. */
QL_INLINE __m256i add_products(__m256i sum_i32x8, __m256i x_i16x16, __m256i w_i16x16) {
    return _mm256_add_epi32(sum_i32x8, _mm256_madd_epi16(x_i16x16, w_i16x16));
}

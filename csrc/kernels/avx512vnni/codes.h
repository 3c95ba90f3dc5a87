/* Sums of depthwise convolutions as codes, and as they are. Included within the target region. */

/* The four lanes of a vector, 16 bytes each. */
QL_INLINE void store_lanes(__m512i v, int32_t *first, int32_t *second, int32_t *third,
                           int32_t *fourth) {
    _mm_storeu_si128((__m128i *)first, _mm512_castsi512_si128(v));
    _mm_storeu_si128((__m128i *)second, _mm512_extracti32x4_epi32(v, 1));
    _mm_storeu_si128((__m128i *)third, _mm512_extracti32x4_epi32(v, 2));
    _mm_storeu_si128((__m128i *)fourth, _mm512_extracti32x4_epi32(v, 3));
}

/* What is the same for all codes. */
typedef struct {
    __m512i zero_i16x32, lower_u8x64, upper_u8x64, flip_u8x64;
    __m512 magic_f32x16;
} stage;

/* How they are made: by conversions, or by fused multiply-adds; plainly if they have no bounds but
 * those of bytes, and of conversions are not flipped. */
enum { CONVERTED, CONVERTED_PLAINLY, FUSED, FUSED_PLAINLY };

QL_INLINE stage stage_of(const ql_codes *codes) {
    return (stage){.zero_i16x32 = _mm512_set1_epi16((int16_t)codes->zero_point),
                   .lower_u8x64 = _mm512_set1_epi8((char)codes->lower),
                   .upper_u8x64 = _mm512_set1_epi8((char)codes->upper),
                   .flip_u8x64 = _mm512_set1_epi8((char)codes->flip),
                   .magic_f32x16 = _mm512_set1_ps(codes->magic)};
}

QL_INLINE int is_fused(const ql_codes *codes, int64_t channel) {
    return codes->addend != NULL && codes->addend[channel] == codes->addend[channel];
}

/* That of the first channel. */
QL_INLINE int way_of(const ql_codes *codes) {
    const int is_bounded = codes->lower != 0 || codes->upper != 255;
    if (is_fused(codes, 0))
        return is_bounded ? FUSED : FUSED_PLAINLY;
    return is_bounded || codes->flip ? CONVERTED : CONVERTED_PLAINLY;
}

/* How many of these channels have the way of the first one. */
QL_INLINE int64_t channels_alike(const ql_codes *codes, int64_t channels) {
    int64_t count = 1;
    while (count < channels && is_fused(codes, count) == is_fused(codes, 0))
        count++;
    return count;
}

/* The factors of a vector of sums, and what is added to their products. */
typedef struct {
    __m512 multiplier_f32x16, addend_f32x16;
} factors;

QL_INLINE factors factors_at(const int way, const ql_codes *codes, int64_t column) {
    factors f = {_mm512_loadu_ps(codes->multiplier + column), _mm512_setzero_ps()};
    if (way >= FUSED)
        f.addend_f32x16 = _mm512_loadu_ps(codes->addend + column);
    return f;
}

/* Those of one channel. */
QL_INLINE factors factors_of(const int way, const ql_codes *codes, int64_t channel) {
    factors f = {_mm512_set1_ps(codes->multiplier[channel]), _mm512_setzero_ps()};
    if (way >= FUSED)
        f.addend_f32x16 = _mm512_set1_ps(codes->addend[channel]);
    return f;
}

/* A vector of sums as numbers that become codes where they are packed. */
QL_INLINE __m512i scale(const int way, const stage *s, __m512i sum_i32x16, factors by) {
    if (way >= FUSED)
        return _mm512_castps_si512(_mm512_sub_ps(
            s->magic_f32x16, _mm512_fmadd_ps(_mm512_castsi512_ps(sum_i32x16), by.multiplier_f32x16,
                                             by.addend_f32x16)));
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sum_i32x16), by.multiplier_f32x16));
}

/* The codes of four vectors of those, lane by lane. */
QL_INLINE __m512i pack_codes(const int way, const stage *s, const __m512i part_i32x16[4]) {
    __m512i first_i16x32, second_i16x32;
    if (way >= FUSED) { /* words: the lower halves saturate, the upper ones become 0 */
        first_i16x32 = _mm512_packus_epi16(part_i32x16[0], part_i32x16[1]);
        second_i16x32 = _mm512_packus_epi16(part_i32x16[2], part_i32x16[3]);
    } else {
        first_i16x32 =
            _mm512_adds_epi16(_mm512_packs_epi32(part_i32x16[0], part_i32x16[1]), s->zero_i16x32);
        second_i16x32 =
            _mm512_adds_epi16(_mm512_packs_epi32(part_i32x16[2], part_i32x16[3]), s->zero_i16x32);
    }
    __m512i codes_u8x64 = _mm512_packus_epi16(first_i16x32, second_i16x32);
    if (way == CONVERTED_PLAINLY)
        return codes_u8x64;
    if (way != FUSED_PLAINLY) {
        codes_u8x64 = _mm512_max_epu8(codes_u8x64, s->lower_u8x64);
        codes_u8x64 = _mm512_min_epu8(codes_u8x64, s->upper_u8x64);
    }
    return _mm512_xor_si512(codes_u8x64, s->flip_u8x64);
}

/* The codes of four vectors of sums. */
QL_INLINE __m512i codes_of(const int way, const stage *s, const __m512i sum_i32x16[4],
                           const factors by[4]) {
    __m512i part_i32x16[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        part_i32x16[v] = scale(way, s, sum_i32x16[v], by[v]);
    return pack_codes(way, s, part_i32x16);
}

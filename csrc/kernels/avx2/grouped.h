/* Convolutions of narrow groups on vectors of 256 bits: see csrc/grouped.c. To be included within a
 * target region, after codes.h and what belongs to the instruction set: PIXELS that have sums in
 * registers together, `elements` of PARTS vectors, `load_elements` and `add_products`.
 *
 * Half of the 64 channels of a pixel are taken at a time: their eight elements have four vectors of
 * sums. Of PIXELS pixels the last ones may be those of the ones before, too. Packing the codes
 * leaves the four outputs of an element in one lane, which a vpshufb puts side by side. */

enum { CHANNELS = 64, HALF = 32, VECTOR_STEP = 64 };

/* Each element becomes the next one of its group of `turns`. */
QL_INLINE elements turned(const int turns, elements x) {
#pragma GCC unroll 2
    for (int part = 0; part < PARTS; part++)
        x.part[part] = turns == 2 ? _mm256_shuffle_epi32(x.part[part], 0xB1)
                                  : _mm256_shuffle_epi32(x.part[part], 0x39);
    return x;
}

/* The sums of `PIXELS` pixels from x on, of the half whose weights begin at w. */
QL_INLINE void sum_pixels(const int turns, const ql_grouped_line *line, const char *x,
                          const char *w, const int32_t *start, __m256i sum_i32x8[PIXELS][4]) {
    const int64_t step = line->pixel_step, taps = line->taps;
#pragma GCC unroll 4
    for (int p = 0; p < PIXELS; p++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum_i32x8[p][j] = _mm256_loadu_si256((const __m256i *)(const void *)(start + 16 * j));
    for (int64_t tap = 0; tap < taps; tap++) {
        const char *at = x + line->offsets[tap];
        elements here[PIXELS];
#pragma GCC unroll 4
        for (int p = 0; p < PIXELS; p++)
            here[p] = load_elements(at + p * step);
#pragma GCC unroll 4
        for (int turn = 0; turn < turns; turn++) {
#pragma GCC unroll 4
            for (int p = 0; turn > 0 && p < PIXELS; p++)
                here[p] = turned(turns, here[p]);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
#pragma GCC unroll 2
                for (int part = 0; part < PARTS; part++, w += VECTOR_STEP) {
                    const __m256i weights = _mm256_loadu_si256((const __m256i *)w);
#pragma GCC unroll 4
                    for (int p = 0; p < PIXELS; p++)
                        sum_i32x8[p][j] =
                            add_products(sum_i32x8[p][j], here[p].part[part], weights);
                }
            QL_LOADS_IN_ORDER;
        }
    }
}

/* A lane has four elements, of four channels each. */
QL_INLINE void store_sums_of_half(int32_t *sums, const __m256i sum_i32x8[4]) {
    const __m256i a = _mm256_unpacklo_epi32(sum_i32x8[0], sum_i32x8[1]);
    const __m256i b = _mm256_unpackhi_epi32(sum_i32x8[0], sum_i32x8[1]);
    const __m256i c = _mm256_unpacklo_epi32(sum_i32x8[2], sum_i32x8[3]);
    const __m256i d = _mm256_unpackhi_epi32(sum_i32x8[2], sum_i32x8[3]);
    const __m256i element_i32x8[4] = {_mm256_unpacklo_epi64(a, c), _mm256_unpackhi_epi64(a, c),
                                      _mm256_unpacklo_epi64(b, d), _mm256_unpackhi_epi64(b, d)};
#pragma GCC unroll 4
    for (int e = 0; e < 4; e++) {
        __m128i *to = (__m128i *)(void *)(sums + 4 * e);
        _mm_storeu_si128(to, _mm256_castsi256_si128(element_i32x8[e]));
        _mm_storeu_si128(to + 4, _mm256_extracti128_si256(element_i32x8[e], 1));
    }
}

QL_INLINE __m256i codes_of_half(const stage *s, const __m256i sum_i32x8[4],
                                const float *multiplier) {
    const __m256i in_order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i first_i16x16 = _mm256_packs_epi32(steps_of(sum_i32x8[0], multiplier),
                                                    steps_of(sum_i32x8[1], multiplier + 16));
    const __m256i second_i16x16 = _mm256_packs_epi32(steps_of(sum_i32x8[2], multiplier + 32),
                                                     steps_of(sum_i32x8[3], multiplier + 48));
    return _mm256_shuffle_epi8(codes_of(s, first_i16x16, second_i16x16), in_order);
}

/* Of half of the channels, as many as there are. */
QL_INLINE void store_codes_of_half(__m256i codes_u8x32, int64_t channels, uint8_t *y) {
    if (channels >= HALF) {
        _mm256_storeu_si256((__m256i *)y, codes_u8x32);
        return;
    }
    uint8_t some[HALF];
    _mm256_storeu_si256((__m256i *)some, codes_u8x32);
    copy_some(y, some, channels);
}

QL_INLINE void convolve_half(const int turns, const ql_grouped_line *line, int64_t half,
                             int32_t *sums, const ql_codes *codes, const stage *s, uint8_t *y,
                             int64_t y_stride) {
    const int64_t last = ql_max(line->pixels - PIXELS, 0);
    for (int64_t i = 0; i < line->pixels; i += PIXELS) {
        const int64_t first = ql_min(i, last);
        __m256i sum_i32x8[PIXELS][4];
        sum_pixels(turns, line, line->x + half + first * line->pixel_step, line->w + half,
                   line->start + half / 4, sum_i32x8);
#pragma GCC unroll 4
        for (int p = 0; p < PIXELS; p++) {
            const int64_t pixel = first + p;
            if (pixel >= line->pixels)
                break;
            if (codes == NULL)
                store_sums_of_half(sums + pixel * CHANNELS + half, sum_i32x8[p]);
            else
                store_codes_of_half(codes_of_half(s, sum_i32x8[p], codes->multiplier + half / 4),
                                    line->channels - half, y + pixel * y_stride + half);
        }
    }
}

QL_INLINE void convolve_groups(const int turns, const ql_grouped_line *line, int32_t *sums,
                               const ql_codes *codes, uint8_t *y, int64_t y_stride) {
    const ql_codes none = {0};
    const stage s = stage_of(codes == NULL ? &none : codes);
    for (int64_t half = 0; half < line->channels; half += HALF)
        convolve_half(turns, line, half, sums, codes, &s, y, y_stride);
}

QL_INLINE void convolve_grouped(const ql_grouped_line *line, int32_t *sums, const ql_codes *codes,
                                uint8_t *y, int64_t y_stride) {
    if (line->turns == 1)
        convolve_groups(1, line, sums, codes, y, y_stride);
    else if (line->turns == 2)
        convolve_groups(2, line, sums, codes, y, y_stride);
    else
        convolve_groups(4, line, sums, codes, y, y_stride);
}

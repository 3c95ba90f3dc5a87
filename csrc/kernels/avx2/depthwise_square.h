/* Depthwise convolution of 3 x 3 on vectors of 256 bits, straight from the lines: see
 * csrc/depthwise.c. To be included within a target region, after codes.h and what belongs to the
 * instruction set: PLANES, how many planes four lines are, `add_products` of their elements, and
 * `elements_of`.
 *
 * Column by column, lines of 32 channels become vectors of elements, which stay in registers for
 * the pixels that see them. Twelve registers hold the three columns of a pixel: of a group whose
 * four lines are one plane, or of half of a group, eight channels of each lane, where they are two.
 * Of a last strip of 16 channels, two pixels of a line share vectors. */

enum { GROUP = 32, HALVES = PLANES, VECTORS = 4 / PLANES };

/* A stretch of channels: 32 of a pixel, or in each half of a vector 16 of another one, `apart`
 * pixels further. */
typedef struct {
    const uint8_t *row[4];
    int64_t step; /* from one column to the next */
    int64_t width, column, apart, pixels;
    const char *w[2];
    const int32_t *start;
    const float *multiplier;
    uint8_t *y[2];
    int64_t y_step;
    stage codes;
    __m256i flip_u8x32;
    uint8_t flip, zero; /* the number of padding */
} square;

/* What is known where functions are expanded. */
typedef struct {
    int flips;
    int parts; /* of a vector: 1 or 2 */
    int half;  /* of the group */
    int lines, stride;
} form;

/* --- input ---------------------------------------------------------------------------------- */

QL_INLINE int is_inside(const square *s, int64_t column) {
    return (uint64_t)column < (uint64_t)s->width;
}

/* A row's 16 channels of a pixel, or padding. */
QL_INLINE __m128i load_strip(const square *s, int row, int64_t column) {
    if (!is_inside(s, column))
        return _mm_set1_epi8((char)(s->zero ^ s->flip));
    return _mm_loadu_si128((const __m128i *)(const void *)(s->row[row] + column * s->step));
}

QL_INLINE __m256i load_row(const form f, const square *s, int row, int64_t column) {
    if (f.parts == 1)
        return _mm256_loadu_si256((const __m256i *)(const void *)(s->row[row] + column * s->step));
    return _mm256_set_m128i(load_strip(s, row, column + s->apart * f.stride),
                            load_strip(s, row, column));
}

/* The elements of a column, in the order of planes. Of three rows, the last number is of no matter.
 */
QL_INLINE void load_column(const form f, const square *s, int64_t column, __m256i element[4]) {
    if (f.parts == 1 && !is_inside(s, column)) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            element[v] = PLANES == 1 ? _mm256_set1_epi8((char)s->zero) : _mm256_set1_epi16(s->zero);
        return;
    }
    __m256i row_u8x32[4];
#pragma GCC unroll 4
    for (int row = 0; row < f.lines + 2; row++) {
        row_u8x32[row] = load_row(f, s, row, column);
        if (f.flips)
            row_u8x32[row] = _mm256_xor_si256(row_u8x32[row], s->flip_u8x32);
    }
    if (f.lines == 1)
        row_u8x32[3] = row_u8x32[2];
    elements_of(f.half, row_u8x32, element);
}

/* --- output --------------------------------------------------------------------------------- */

/* Vector number v of a group, or that of a strip twice. */
QL_INLINE __m256i load_parameters(const int parts, const void *from, int v) {
    const char *at = (const char *)from + GROUP / parts * v;
    if (parts == 1)
        return _mm256_loadu_si256((const __m256i *)(const void *)at);
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)at));
}

/* The steps of vector number v of a pixel, or of two, from the elements of three columns. */
QL_INLINE __m256i convolve_vector(const form f, const square *s, const char *w, int v,
                                  const __m256i column[3][4]) {
    const int64_t tap_step = 4 * GROUP / f.parts;
    __m256i sum_i32x8 = load_parameters(f.parts, s->start, v);
#pragma GCC unroll 2
    for (int plane = 0; plane < PLANES; plane++)
#pragma GCC unroll 3
        for (int tap = 0; tap < 3; tap++, w += tap_step)
            sum_i32x8 = add_products(sum_i32x8, column[tap][plane * VECTORS + v % VECTORS],
                                     load_parameters(f.parts, w, v));
    const __m256 multiplier_f32x8 = _mm256_castsi256_ps(load_parameters(f.parts, s->multiplier, v));
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sum_i32x8), multiplier_f32x8));
}

/* Those of vector number v and the next one. */
QL_INLINE __m256i convolve_two(const form f, const square *s, int line, int v,
                               const __m256i column[3][4]) {
    return _mm256_packs_epi32(convolve_vector(f, s, s->w[line], v, column),
                              convolve_vector(f, s, s->w[line], v + 1, column));
}

/* _mm_storeh_pd would want an aligned address. */
QL_INLINE void store_high(uint8_t *to, __m128i codes_u8x16) {
    _mm_storel_epi64((__m128i *)to, _mm_unpackhi_epi64(codes_u8x16, codes_u8x16));
}

/* Half of a group's channels: eight of each lane, of one line and of the other. */
QL_INLINE void store_halves(const form f, const square *s, int64_t pixel, __m256i codes_u8x32) {
    const int64_t at = pixel * s->y_step + 8 * f.half;
    const int64_t second = at + (f.parts == 1 ? QL_STRIP : s->apart * s->y_step);
    const __m128i low_u8x16 = _mm256_castsi256_si128(codes_u8x32);
    const __m128i high_u8x16 = _mm256_extracti128_si256(codes_u8x32, 1);
    _mm_storel_epi64((__m128i *)(s->y[0] + at), low_u8x16);
    if (f.lines == 2)
        store_high(s->y[1] + at, low_u8x16);
    if (f.parts == 2 && pixel + s->apart >= s->pixels)
        return;
    _mm_storel_epi64((__m128i *)(s->y[0] + second), high_u8x16);
    if (f.lines == 2)
        store_high(s->y[1] + second, high_u8x16);
}

/* All of them. */
QL_INLINE void store_whole(const form f, const square *s, int line, int64_t pixel,
                           __m256i codes_u8x32) {
    uint8_t *y = s->y[line] + pixel * s->y_step;
    if (f.parts == 1) {
        _mm256_storeu_si256((__m256i *)y, codes_u8x32);
        return;
    }
    _mm_storeu_si128((__m128i *)y, _mm256_castsi256_si128(codes_u8x32));
    if (pixel + s->apart < s->pixels)
        _mm_storeu_si128((__m128i *)(y + s->apart * s->y_step),
                         _mm256_extracti128_si256(codes_u8x32, 1));
}

QL_INLINE void convolve_pixel(const form f, const square *s, int64_t pixel,
                              const __m256i column[3][4]) {
    if (HALVES == 2) {
        const __m256i first_i16x16 = convolve_two(f, s, 0, VECTORS * f.half, column);
        const __m256i second_i16x16 =
            f.lines == 1 ? first_i16x16 : convolve_two(f, s, 1, VECTORS * f.half, column);
        store_halves(f, s, pixel, codes_of(&s->codes, first_i16x16, second_i16x16));
        return;
    }
#pragma GCC unroll 2
    for (int line = 0; line < f.lines; line++)
        store_whole(f, s, line, pixel,
                    codes_of(&s->codes, convolve_two(f, s, line, 0, column),
                             convolve_two(f, s, line, 2, column)));
}

/* A line, column by column: the first two of a pixel are the last ones of the pixel before. */
QL_INLINE void convolve_stretch(const form f, const square *s) {
    __m256i column[3][4];
    int64_t next = s->column;
    load_column(f, s, next++, column[0]);
    if (f.stride == 1)
        load_column(f, s, next++, column[1]);
    for (int64_t pixel = 0; pixel < s->apart; pixel++) {
        if (f.stride == 2)
            load_column(f, s, next++, column[1]);
        load_column(f, s, next++, column[2]);
        convolve_pixel(f, s, pixel, column);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            column[0][v] = f.stride == 1 ? column[1][v] : column[2][v];
            column[1][v] = column[2][v];
        }
    }
}

QL_INLINE void convolve_lines(const int flips, const int parts, const int half,
                              const ql_square *lines, const square *s) {
    if (lines->lines == 2)
        convolve_stretch((form){flips, parts, half, 2, 1}, s);
    else if (lines->stride == 1)
        convolve_stretch((form){flips, parts, half, 1, 1}, s);
    else
        convolve_stretch((form){flips, parts, half, 1, 2}, s);
}

QL_INLINE void convolve_channels(const int flips, const int parts, const ql_square *lines,
                                 square *s) {
    s->apart = (lines->pixels + parts - 1) / parts;
    convolve_lines(flips, parts, 0, lines, s);
    if (HALVES == 2)
        convolve_lines(flips, parts, 1, lines, s);
}

QL_INLINE void convolve_square(const int flips, const ql_square *lines, const ql_codes *codes,
                               uint8_t *y, int64_t y_stride, int64_t y_line) {
    square s = {.step = lines->step,
                .width = lines->width,
                .column = lines->first,
                .pixels = lines->pixels,
                .y_step = y_stride,
                .codes = stage_of(codes),
                .flip_u8x32 = _mm256_set1_epi8((char)lines->flip),
                .flip = lines->flip,
                .zero = lines->zero};
    for (int64_t channel = 0; channel < lines->channels; channel += GROUP) {
        for (int row = 0; row < lines->lines + 2; row++) {
            s.row[row] = lines->row[row] + channel;
        }
        s.w[0] = lines->w + channel * PLANES * 3 * 4;
        s.w[1] = s.w[0] + lines->w_step;
        s.start = lines->start + channel;
        s.multiplier = codes->multiplier + channel;
        s.y[0] = y + channel;
        s.y[1] = s.y[0] + y_line;
        if (lines->channels - channel >= GROUP)
            convolve_channels(flips, 1, lines, &s);
        else
            convolve_channels(flips, 2, lines, &s);
    }
}

QL_INLINE void convolve_squares(const ql_square *lines, const ql_codes *codes, uint8_t *y,
                                int64_t y_stride, int64_t y_line) {
    if (lines->flip)
        convolve_square(1, lines, codes, y, y_stride, y_line);
    else
        convolve_square(0, lines, codes, y, y_stride, y_line);
}

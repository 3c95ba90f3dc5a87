/* Depthwise convolution with channels first on vectors of 256 bits: see csrc/channelwise.c. To be
 * included within a target region, after codes.h and what belongs to the instruction set: NUMBER,
 * the bytes of a number, FEW, the windows of a kernel of 3 x 3, `add_products`, and what spreads a
 * line: `spread_line`, `short_line`, `short_line_of` and `spread_short_line`.
 *
 * 32 outputs have four vectors of sums. Outputs are `spacing` bytes apart, windows have four bytes:
 * with a spacing of 1 the vector read n bytes further has the windows of outputs n, n + 4, n + 8
 * ...; with one of 2, that read 2 * n bytes further those of n, n + 2, n + 4 ...; with one of 4
 * every vector has eight neighbours. Packing the codes leaves what is to be put side by side in the
 * same lanes. */

enum { OUTPUTS = 32 };

/* --- lines ---------------------------------------------------------------------------------- */

/* Where the next line of a plane goes, and the one after it. */
typedef struct {
    char *next, *after;
} targets;

QL_INLINE targets targets_of(const ql_spreading *s, int64_t plane) {
    char *to = s->to + plane * s->to_step;
    return (targets){to, s->second == NULL ? to + s->pitch : s->second + plane * s->to_step};
}

QL_INLINE void advance(const ql_spreading *s, targets *to) {
    char *done = to->next;
    to->next = to->after;
    to->after = s->second == NULL ? to->next + s->pitch : done + s->pitch;
}

/* Lines of up to `width` columns, 8 or 16, each a vector with padding behind it, as long as that
 * many bytes follow in the plane. */
QL_INLINE void spread_short_lines(const int width, const ql_spreading *s) {
    const int64_t whole = s->lines - ql_ceil_div(width - s->columns, ql_max(s->line_step, 1));
    const short_line pattern = short_line_of(s->columns, s->flip, s->zero);
    for (int64_t plane = 0; plane < s->planes; plane++) {
        const uint8_t *x = s->x + plane * s->plane_step;
        targets to = targets_of(s, plane);
        int64_t line = 0;
        for (; line < whole; line++, x += s->line_step, advance(s, &to))
            spread_short_line(width, &pattern, x, to.next);
        for (; line < s->lines; line++, x += s->line_step, advance(s, &to))
            spread_line(x, s->columns, s->flip, to.next);
    }
}

QL_INLINE void spread_lines(const ql_spreading *spreading) {
    const ql_spreading own = *spreading; /* which no number can be stored over */
    const ql_spreading *s = &own;
    if (s->columns <= 8) {
        spread_short_lines(8, s);
        return;
    }
    if (s->columns <= 16) {
        spread_short_lines(16, s);
        return;
    }
    for (int64_t plane = 0; plane < s->planes; plane++) {
        const uint8_t *x = s->x + plane * s->plane_step;
        targets to = targets_of(s, plane);
        for (int64_t line = 0; line < s->lines; line++, x += s->line_step, advance(s, &to))
            spread_line(x, s->columns, s->flip, to.next);
    }
}

/* --- sums ----------------------------------------------------------------------------------- */

/* Adds the products of one window of 32 outputs. */
QL_INLINE void add_window(const int spacing, const char *x, __m256i w, __m256i sum_i32x8[4]) {
    const int64_t further[3][4] = {{0, 1, 2, 3}, {0, 2, 32, 34}, {0, 32, 64, 96}};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const char *at = x + further[spacing / 2][i];
        sum_i32x8[i] = add_products(sum_i32x8[i], _mm256_loadu_si256((const __m256i *)at), w);
    }
}

/* The same for all windows. */
QL_INLINE void add_windows(const int spacing, const ql_channels *c, const char *x,
                           __m256i sum_i32x8[4]) {
    for (int64_t window = 0; window < c->windows; window++)
        add_window(spacing, x + c->offsets[window], _mm256_set1_epi32((int32_t)c->weights[window]),
                   sum_i32x8);
}

QL_INLINE void store_halves(__m256i sums_i32x8, int32_t *first, int32_t *second) {
    _mm_storeu_si128((__m128i *)(void *)first, _mm256_castsi256_si128(sums_i32x8));
    _mm_storeu_si128((__m128i *)(void *)second, _mm256_extracti128_si256(sums_i32x8, 1));
}

/* In the order of outputs. */
QL_INLINE void store_outputs(const int spacing, int32_t *sums, const __m256i sum_i32x8[4]) {
    if (spacing == 4) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            _mm256_storeu_si256((__m256i *)(void *)(sums + 8 * i), sum_i32x8[i]);
        return;
    }
    const __m256i a = _mm256_unpacklo_epi32(sum_i32x8[0], sum_i32x8[1]);
    const __m256i b = _mm256_unpackhi_epi32(sum_i32x8[0], sum_i32x8[1]);
    const __m256i c = _mm256_unpacklo_epi32(sum_i32x8[2], sum_i32x8[3]);
    const __m256i d = _mm256_unpackhi_epi32(sum_i32x8[2], sum_i32x8[3]);
    if (spacing == 1) {
        store_halves(_mm256_unpacklo_epi64(a, c), sums, sums + 16);
        store_halves(_mm256_unpackhi_epi64(a, c), sums + 4, sums + 20);
        store_halves(_mm256_unpacklo_epi64(b, d), sums + 8, sums + 24);
        store_halves(_mm256_unpackhi_epi64(b, d), sums + 12, sums + 28);
    } else {
        store_halves(a, sums, sums + 8);
        store_halves(b, sums + 4, sums + 12);
        store_halves(c, sums + 16, sums + 24);
        store_halves(d, sums + 20, sums + 28);
    }
}

QL_INLINE void sum_outputs(const int spacing, const ql_channels *c, int32_t *sums) {
    const int64_t count = (c->lines - 1) * c->pitch + c->width;
    const __m256i start_i32x8 = _mm256_set1_epi32(*c->start);
    for (int64_t i = 0; i < count; i += OUTPUTS) {
        __m256i sum_i32x8[4] = {start_i32x8, start_i32x8, start_i32x8, start_i32x8};
        add_windows(spacing, c, c->x + spacing * i, sum_i32x8);
        store_outputs(spacing, sums + i, sum_i32x8);
    }
}

QL_INLINE void sum_channel(const ql_channels *channels, int32_t *sums) {
    if (channels->step == 1)
        sum_outputs(NUMBER, channels, sums);
    else
        sum_outputs(2 * NUMBER, channels, sums);
}

/* --- codes ---------------------------------------------------------------------------------- */

/* One channel: what its outputs are made from. */
typedef struct {
    int64_t offset[FEW];
    __m256i w[FEW], start_i32x8;
    __m256 multiplier_f32x8;
} source;

QL_INLINE __m256i steps_by(__m256i sum_i32x8, __m256 multiplier_f32x8) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sum_i32x8), multiplier_f32x8));
}

/* Puts packed codes in the order of outputs. */
QL_INLINE __m256i in_order(const int spacing, __m256i codes_u8x32) {
    const __m256i of_four = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i of_two = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
    if (spacing == 1)
        return _mm256_shuffle_epi8(codes_u8x32, of_four);
    if (spacing == 2)
        return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(codes_u8x32, of_two), 0xD8);
    return _mm256_permutevar8x32_epi32(codes_u8x32, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* The codes of 32 outputs from x on. */
QL_INLINE __m256i codes_at(const int few, const int spacing, const ql_channels *c, const stage *s,
                           const source *from, const char *x) {
    __m256i sum_i32x8[4] = {from->start_i32x8, from->start_i32x8, from->start_i32x8,
                            from->start_i32x8};
    if (few) {
#pragma GCC unroll 6
        for (int i = 0; i < FEW; i++) {
            add_window(spacing, x + from->offset[i], from->w[i], sum_i32x8);
            complete_sums(sum_i32x8);
            complete_sums(sum_i32x8 + 2);
        }
    } else {
        add_windows(spacing, c, x, sum_i32x8);
    }
    const __m256i first_i16x16 = _mm256_packs_epi32(steps_by(sum_i32x8[0], from->multiplier_f32x8),
                                                    steps_by(sum_i32x8[1], from->multiplier_f32x8));
    const __m256i second_i16x16 =
        _mm256_packs_epi32(steps_by(sum_i32x8[2], from->multiplier_f32x8),
                           steps_by(sum_i32x8[3], from->multiplier_f32x8));
    return in_order(spacing, codes_of(s, first_i16x16, second_i16x16));
}

/* `left` bytes of y may be written. */
QL_INLINE void store_outputs_of_line(uint8_t *y, __m256i codes_u8x32, int64_t left) {
    if (left >= OUTPUTS) {
        _mm256_storeu_si256((__m256i *)y, codes_u8x32);
        return;
    }
    uint8_t codes[OUTPUTS];
    _mm256_storeu_si256((__m256i *)codes, codes_u8x32);
    copy_some(y, codes, left);
}

/* Lines that share vectors, 8 or 16 outputs apart: each is stored whole, and what follows it there
 * is overwritten by the next one. */
QL_INLINE void store_short_lines(const int pitch, __m256i codes_u8x32, int64_t width, uint8_t *y) {
    const __m128i low_u8x16 = _mm256_castsi256_si128(codes_u8x32);
    const __m128i high_u8x16 = _mm256_extracti128_si256(codes_u8x32, 1);
    if (pitch == 16) {
        _mm_storeu_si128((__m128i *)y, low_u8x16);
        _mm_storeu_si128((__m128i *)(y + width), high_u8x16);
        return;
    }
    _mm_storel_epi64((__m128i *)y, low_u8x16);
    _mm_storel_epi64((__m128i *)(y + width), _mm_unpackhi_epi64(low_u8x16, low_u8x16));
    _mm_storel_epi64((__m128i *)(y + 2 * width), high_u8x16);
    _mm_storel_epi64((__m128i *)(y + 3 * width), _mm_unpackhi_epi64(high_u8x16, high_u8x16));
}

QL_INLINE void convolve_together(const int pitch, const int few, const int spacing,
                                 const ql_channels *c, const stage *s, const source *from,
                                 const char *x, uint8_t *y) {
    const int64_t together = OUTPUTS / pitch, width = c->width;
    int64_t left = c->lines * width;
    for (; left >= (together - 1) * width + pitch; left -= together * width) {
        store_short_lines(pitch, codes_at(few, spacing, c, s, from, x), width, y);
        x += OUTPUTS * spacing;
        y += together * width;
    }
    while (left > 0) {
        uint8_t codes[OUTPUTS];
        _mm256_storeu_si256((__m256i *)codes, codes_at(few, spacing, c, s, from, x));
        x += OUTPUTS * spacing;
        for (int64_t i = 0; i < OUTPUTS && left > 0; i += pitch, y += width, left -= width)
            copy_some(y, codes + i, width);
    }
}

/* Lines of some vectors each, of which the last one overlaps the one before, or, if there is none,
 * the line that follows. */
QL_INLINE void convolve_lines(const int few, const int spacing, const ql_channels *c,
                              const stage *s, const source *from, const char *x, uint8_t *y) {
    const int64_t last = ql_max(c->width - OUTPUTS, 0), next = spacing * c->pitch;
    int64_t left = c->lines * c->width;
    for (; left > 0; left -= c->width, x += next, y += c->width) {
        for (int64_t i = 0; i < last; i += OUTPUTS)
            _mm256_storeu_si256((__m256i *)(y + i),
                                codes_at(few, spacing, c, s, from, x + spacing * i));
        store_outputs_of_line(y + last, codes_at(few, spacing, c, s, from, x + spacing * last),
                              left - last);
    }
}

QL_INLINE void convolve_some(const int few, const int spacing, const ql_channels *channels,
                             const ql_codes *codes, uint8_t *y, int64_t y_step) {
    const stage s = stage_of(codes);
    ql_channels c = *channels;
    source from;
    for (int i = 0; few && i < FEW; i++)
        from.offset[i] = c.offsets[i];
    for (int64_t channel = 0; channel < channels->channels; channel++, y += y_step) {
        from.start_i32x8 = _mm256_set1_epi32(channels->start[channel]);
        from.multiplier_f32x8 = _mm256_set1_ps(codes->multiplier[channel]);
#pragma GCC unroll 6
        for (int i = 0; few && i < FEW; i++)
            from.w[i] = _mm256_set1_epi32((int32_t)c.weights[i]);
        if (c.pitch == 8)
            convolve_together(8, few, spacing, &c, &s, &from, c.x, y);
        else if (c.pitch == 16)
            convolve_together(16, few, spacing, &c, &s, &from, c.x, y);
        else
            convolve_lines(few, spacing, &c, &s, &from, c.x, y);
        c.x += c.x_step;
        c.weights += c.windows;
    }
}

QL_INLINE void convolve_channels(const ql_channels *c, const ql_codes *codes, uint8_t *y,
                                 int64_t y_step) {
    if (c->windows == FEW && c->step == 1)
        convolve_some(1, NUMBER, c, codes, y, y_step);
    else if (c->windows == FEW)
        convolve_some(1, 2 * NUMBER, c, codes, y, y_step);
    else if (c->step == 1)
        convolve_some(0, NUMBER, c, codes, y, y_step);
    else
        convolve_some(0, 2 * NUMBER, c, codes, y, y_step);
}

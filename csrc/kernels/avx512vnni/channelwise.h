/* Depthwise convolution with channels first in vectors of 64 bytes: see csrc/channelwise.c.
 *
 *     sums[i] = start + sum over windows, j = 0..3 of x[offset + step * i + j] * w[j]
 *
 * 64 outputs have four vectors of sums. With a step of 1, the vector read n bytes further has the
 * windows of outputs n, n + 4, n + 8 ...; with a step of 2, that at 2 * n those of n, n + 2, n + 4
 * ..., 32 outputs for 64 bytes. Packing the codes leaves the same places of all four vectors side
 * by side in a lane, and so that they are put in order, and lines that share vectors one after the
 * other, bytes move within 64.
 *
 * Whoever includes this says how they do, within the target region, after codes.h and lanes.h:
 * `mover`, how some bytes do; mover_of_lines, as lines are spread, and mover_of_codes, as codes are
 * put in order, and gathered, too, if there are lines to be; move_lines and move_codes.
 *
 * A kernel of 3 x 3 costs 12 vpdpbusd and 12 instructions for the codes before they move, for 64
 * outputs: two can start in a cycle. Most of the 12 loads touch two cache lines, and take as long
 * as two. */

/* Windows of kernels of 3 x 3, and of 5 x 5 where lines share vectors. */
enum { OUTPUTS = 64, FEW = 3, MORE = 10 };

/* --- lines ---------------------------------------------------------------------------------- */

/* How a vector of short lines is put elsewhere. */
typedef struct {
    mover lines;
    __m512i flip_u8x64, zero_u8x64;
    __mmask64 kept;
} pattern;

QL_INLINE void spread_vector(const int halves, const int flips, const pattern *p,
                             __m512i lines_u8x64, char *to, char *second) {
    if (flips)
        lines_u8x64 = _mm512_xor_si512(lines_u8x64, p->flip_u8x64);
    lines_u8x64 = move_lines(&p->lines, p->zero_u8x64, p->kept, lines_u8x64);
    if (!halves) {
        _mm512_storeu_si512(to, lines_u8x64);
        return;
    }
    _mm256_storeu_si256((__m256i *)to, _mm512_castsi512_si256(lines_u8x64));
    _mm256_storeu_si256((__m256i *)second, _mm512_extracti64x4_epi64(lines_u8x64, 1));
}

/* Several short lines at a time. */
QL_INLINE void spread_together(const int halves, const int flips, const ql_spreading *s) {
    const int64_t bytes = OUTPUTS / s->pitch * s->columns, step = halves ? OUTPUTS / 2 : OUTPUTS;
    const pattern p = {
        .lines = mover_of_lines(s->regrouping),
        .flip_u8x64 = _mm512_set1_epi8((char)s->flip),
        .zero_u8x64 = _mm512_set1_epi8((char)s->zero),
        .kept = ~_mm512_movepi8_mask(_mm512_loadu_si512(s->regrouping->byte)),
    };
    const __m512i code_u8x64 = _mm512_xor_si512(p.zero_u8x64, p.flip_u8x64);
    for (int64_t plane = 0; plane < s->planes; plane++) {
        const uint8_t *x = s->x + plane * s->plane_step;
        char *to = s->to + plane * s->to_step;
        char *second = halves ? s->second + plane * s->to_step : to;
        int64_t left = s->lines * s->columns;
        for (; left >= OUTPUTS; left -= bytes, x += bytes, to += step, second += step)
            spread_vector(halves, flips, &p, _mm512_loadu_si512(x), to, second);
        for (; left > 0; left -= bytes, x += bytes, to += step, second += step)
            spread_vector(halves, flips, &p,
                          _mm512_mask_loadu_epi8(code_u8x64, first_bytes(left), x), to, second);
    }
}

/* Line by line, the last vector of each with zeros behind. */
QL_INLINE void spread_lines(const ql_spreading *s) {
    const int64_t whole = (s->columns - 1) & -64;
    const __mmask64 rest = first_bytes(s->columns - whole);
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)s->flip);
    const __m512i code_u8x64 = _mm512_set1_epi8((char)(s->zero ^ s->flip));
    for (int64_t plane = 0; plane < s->planes; plane++) {
        const uint8_t *x = s->x + plane * s->plane_step;
        char *to = s->to + plane * s->to_step;
        for (int64_t line = 0; line < s->lines; line++, x += s->line_step, to += s->pitch) {
            for (int64_t i = 0; i < whole; i += 64)
                _mm512_storeu_si512(to + i,
                                    _mm512_xor_si512(_mm512_loadu_si512(x + i), flip_u8x64));
            _mm512_storeu_si512(
                to + whole,
                _mm512_xor_si512(_mm512_mask_loadu_epi8(code_u8x64, rest, x + whole), flip_u8x64));
        }
    }
}

QL_INLINE void spread_planes(const ql_spreading *spreading) {
    if (spreading->regrouping != NULL && spreading->second != NULL)
        spread_together(1, 1, spreading);
    else if (spreading->regrouping != NULL && spreading->flip)
        spread_together(0, 1, spreading);
    else if (spreading->regrouping != NULL)
        spread_together(0, 0, spreading);
    else if (spreading->columns > 0)
        spread_lines(spreading);
}

/* --- sums ----------------------------------------------------------------------------------- */

/* Adds the products of one window of 64 outputs. */
QL_INLINE void add_window(const int step, const char *x, __m512i w_i8x64, __m512i sum_i32x16[4]) {
    const int64_t further[2][4] = {{0, 1, 2, 3}, {0, 2, 64, 66}};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        sum_i32x16[i] = _mm512_dpbusd_epi32(sum_i32x16[i],
                                            _mm512_loadu_si512(x + further[step - 1][i]), w_i8x64);
}

/* The same for all windows. */
QL_INLINE void add_windows(const int step, const ql_channels *c, const char *x,
                           __m512i sum_i32x16[4]) {
    for (int64_t window = 0; window < c->windows; window++)
        add_window(step, x + c->offsets[window], _mm512_set1_epi32((int32_t)c->weights[window]),
                   sum_i32x16);
}

/* In the order of outputs. */
QL_INLINE void store_sums(const int step, int32_t *sums, const __m512i sum_i32x16[4]) {
    const __m512i a = _mm512_unpacklo_epi32(sum_i32x16[0], sum_i32x16[1]);
    const __m512i b = _mm512_unpackhi_epi32(sum_i32x16[0], sum_i32x16[1]);
    const __m512i c = _mm512_unpacklo_epi32(sum_i32x16[2], sum_i32x16[3]);
    const __m512i d = _mm512_unpackhi_epi32(sum_i32x16[2], sum_i32x16[3]);
    if (step == 1) {
        store_lanes(_mm512_unpacklo_epi64(a, c), sums, sums + 16, sums + 32, sums + 48);
        store_lanes(_mm512_unpackhi_epi64(a, c), sums + 4, sums + 20, sums + 36, sums + 52);
        store_lanes(_mm512_unpacklo_epi64(b, d), sums + 8, sums + 24, sums + 40, sums + 56);
        store_lanes(_mm512_unpackhi_epi64(b, d), sums + 12, sums + 28, sums + 44, sums + 60);
    } else {
        store_lanes(a, sums, sums + 8, sums + 16, sums + 24);
        store_lanes(b, sums + 4, sums + 12, sums + 20, sums + 28);
        store_lanes(c, sums + 32, sums + 40, sums + 48, sums + 56);
        store_lanes(d, sums + 36, sums + 44, sums + 52, sums + 60);
    }
}

QL_INLINE void sum_channel(const int step, const ql_channels *c, int32_t *sums) {
    const int64_t count = (c->lines - 1) * c->pitch + c->width;
    const __m512i start_i32x16 = _mm512_set1_epi32(*c->start);
    for (int64_t i = 0; i < count; i += OUTPUTS) {
        __m512i sum_i32x16[4] = {start_i32x16, start_i32x16, start_i32x16, start_i32x16};
        add_windows(step, c, c->x + step * i, sum_i32x16);
        store_sums(step, sums + i, sum_i32x16);
    }
}

QL_INLINE void sum_channels(const ql_channels *channels, int32_t *sums) {
    if (channels->step == 1)
        sum_channel(1, channels, sums);
    else
        sum_channel(2, channels, sums);
}

/* --- codes ---------------------------------------------------------------------------------- */

/* What is the same for all codes of all channels. */
typedef struct {
    stage codes;
    mover order;
} layout;

/* The results of several lines, each for itself. */
QL_INLINE void store_lines(const ql_channels *c, __m512i codes_u8x64, uint8_t *y, int64_t left) {
    const __mmask32 width = (__mmask32)first_bytes(c->width);
    _Alignas(64) uint8_t codes[OUTPUTS];
    _mm512_store_si512(codes, codes_u8x64);
    for (int64_t i = 0; i < OUTPUTS && left > 0; i += c->pitch, y += c->width, left -= c->width)
        _mm256_mask_storeu_epi8(y, width, _mm256_maskz_loadu_epi8(width, codes + i));
}

/* One channel: what its outputs are made from. */
typedef struct {
    int64_t offset[MORE];
    __m512i w_i8x64[MORE], start_i32x16;
    factors by;
} source;

/* The sums of 64 outputs from x on. */
QL_INLINE void sums_at(const int known, const int step, const ql_channels *c, const source *s,
                       const char *x, __m512i sum_i32x16[4]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        sum_i32x16[v] = s->start_i32x16;
#pragma GCC unroll 10
    for (int i = 0; i < known; i++)
        add_window(step, x + s->offset[i], s->w_i8x64[i], sum_i32x16);
    if (!known)
        add_windows(step, c, x, sum_i32x16);
}

/* A channel whose lines are read where they are: the weights and the start of vectors that begin a
 * line, of which the first window may reach into padding, and those of vector number 2, which does
 * if there are two lines. */
typedef struct {
    source all;
    __m512i first_i8x64[FEW], first_i32x16, third_i8x64[FEW], third_i32x16;
    int64_t second; /* bytes from vector 0 to vector 2 */
} lines_source;

QL_INLINE void prepare_lines(const ql_channels *c, lines_source *s) {
    const int two = c->pitch <= OUTPUTS / 2;
    const __m512i inside_u8x64 = _mm512_mask_set1_epi32(_mm512_set1_epi32(-1), 1, (int)c->inside);
    const __m512i padding_u8x64 =
        _mm512_andnot_si512(inside_u8x64, _mm512_set1_epi8((char)c->zero));
    s->second = two ? c->line : OUTPUTS;
    s->first_i32x16 = s->all.start_i32x16;
    s->third_i32x16 = s->all.start_i32x16;
#pragma GCC unroll 3
    for (int i = 0; i < FEW; i++) {
        s->first_i8x64[i] = _mm512_and_si512(s->all.w_i8x64[i], inside_u8x64);
        s->first_i32x16 = _mm512_dpbusd_epi32(s->first_i32x16, padding_u8x64, s->all.w_i8x64[i]);
        s->third_i8x64[i] = two ? s->first_i8x64[i] : s->all.w_i8x64[i];
    }
    if (two)
        s->third_i32x16 = s->first_i32x16;
}

/* The sums of 64 outputs of one line, or of 32 of each of two. */
QL_INLINE void sums_of_lines(const lines_source *s, const char *x, __m512i sum_i32x16[4]) {
    sum_i32x16[0] = s->first_i32x16;
    sum_i32x16[1] = s->all.start_i32x16;
    sum_i32x16[2] = s->third_i32x16;
    sum_i32x16[3] = s->all.start_i32x16;
#pragma GCC unroll 3
    for (int i = 0; i < FEW; i++) {
        const char *at = x + s->all.offset[i], *second = at + s->second;
        sum_i32x16[0] =
            _mm512_dpbusd_epi32(sum_i32x16[0], _mm512_loadu_si512(at), s->first_i8x64[i]);
        sum_i32x16[1] =
            _mm512_dpbusd_epi32(sum_i32x16[1], _mm512_loadu_si512(at + 2), s->all.w_i8x64[i]);
        sum_i32x16[2] =
            _mm512_dpbusd_epi32(sum_i32x16[2], _mm512_loadu_si512(second), s->third_i8x64[i]);
        sum_i32x16[3] =
            _mm512_dpbusd_epi32(sum_i32x16[3], _mm512_loadu_si512(second + 2), s->all.w_i8x64[i]);
    }
}

/* Sums that are not codes yet, and where these go: `left` bytes. */
typedef struct {
    __m512i sum_i32x16[4];
    factors by;
    uint8_t *y;
    int64_t left;
} pending;

/* Stores codes of one line, or of several lines that share a vector. */
QL_INLINE void finish(const int way, const int step, const int together, const ql_channels *c,
                      const layout *l, pending *p) {
    const factors by[4] = {p->by, p->by, p->by, p->by};
    const int gathers = together && c->regrouping != NULL;
    const __m512i codes_u8x64 =
        move_codes(step, gathers, &l->order, codes_of(way, &l->codes, p->sum_i32x16, by));
    if (together && !gathers)
        store_lines(c, codes_u8x64, p->y, p->left);
    else
        store_bytes(p->y, codes_u8x64, p->left);
}

/* The sums of a vector, and the codes of the one before: neither waits for the other. */
QL_INLINE void advance(const int way, const int known, const int step, const int together,
                       const ql_channels *c, const layout *l, const source *s, const char *x,
                       uint8_t *y, int64_t left, pending *p) {
    pending next = {.by = s->by, .y = y, .left = left};
    sums_at(known, step, c, s, x, next.sum_i32x16);
    if (p->left > 0)
        finish(way, step, together, c, l, p);
    *p = next;
}

/* Lines that share vectors. */
QL_INLINE void convolve_together(const int way, const int known, const int step,
                                 const ql_channels *c, const layout *l, const source *s,
                                 const char *x, uint8_t *y, pending *p) {
    const int64_t bytes = OUTPUTS / c->pitch * c->width;
    for (int64_t left = c->lines * c->width; left > 0; left -= bytes) {
        advance(way, known, step, 1, c, l, s, x, y, left, p);
        x += step * OUTPUTS;
        y += bytes;
    }
}

/* Lines of some vectors each, of which the last one overlaps the one before, or, if there is none,
 * the line that follows. */
QL_INLINE void convolve_lines(const int way, const int known, const int step, const ql_channels *c,
                              const layout *l, const source *s, const char *x, uint8_t *y,
                              pending *p) {
    const int64_t last = ql_max(c->width - OUTPUTS, 0), next = step * c->pitch;
    int64_t left = c->lines * c->width;
    for (; left > 0; left -= c->width, x += next, y += c->width) {
        for (int64_t i = 0; i < last; i += OUTPUTS)
            advance(way, known, step, 0, c, l, s, x + step * i, y + i, OUTPUTS, p);
        advance(way, known, step, 0, c, l, s, x + step * last, y + last, left - last, p);
    }
}

/* Lines where they are, one or two at a time. */
QL_INLINE void convolve_in_place(const int way, const int together, const ql_channels *c,
                                 const layout *l, const source *all, const char *x, uint8_t *y,
                                 pending *p) {
    const int64_t lines = together ? 2 : 1, bytes = lines * c->width;
    lines_source s = {.all = *all};
    prepare_lines(c, &s);
    for (int64_t left = c->lines * c->width; left > 0; left -= bytes) {
        pending next = {.by = all->by, .y = y, .left = left};
        sums_of_lines(&s, x, next.sum_i32x16);
        if (p->left > 0)
            finish(way, 2, together, c, l, p);
        *p = next;
        x += lines * c->line;
        y += bytes;
    }
}

QL_INLINE void convolve_channels(const int way, const int known, const int step,
                                 const ql_channels *channels, const ql_codes *codes, uint8_t *y,
                                 int64_t y_step) {
    const int together = channels->pitch <= OUTPUTS / 2;
    const layout l = {stage_of(codes),
                      mover_of_codes(step, together ? channels->regrouping : NULL)};
    ql_channels c = *channels;
    source s;
    pending p;
    p.left = 0;
    for (int i = 0; i < known; i++)
        s.offset[i] = c.offsets[i];
    for (int64_t channel = 0; channel < channels->channels; channel++, y += y_step) {
        s.start_i32x16 = _mm512_set1_epi32(channels->start[channel]);
        s.by = factors_of(way, codes, channel);
#pragma GCC unroll 10
        for (int i = 0; i < known; i++)
            s.w_i8x64[i] = _mm512_set1_epi32((int32_t)c.weights[i]);
        if (known == FEW && step == 2 && c.line > 0 && together)
            convolve_in_place(way, 1, &c, &l, &s, c.x, y, &p);
        else if (known == FEW && step == 2 && c.line > 0)
            convolve_in_place(way, 0, &c, &l, &s, c.x, y, &p);
        else if (together || known == MORE)
            convolve_together(way, known, step, &c, &l, &s, c.x, y, &p);
        else
            convolve_lines(way, known, step, &c, &l, &s, c.x, y, &p);
        c.x += c.x_step;
        c.weights += c.windows;
    }
    if (p.left > 0 && together)
        finish(way, step, 1, &c, &l, &p);
    else if (p.left > 0)
        finish(way, step, 0, &c, &l, &p);
}

QL_INLINE void convolve(const int way, const ql_channels *c, const ql_codes *codes, uint8_t *y,
                        int64_t y_step) {
    if (c->windows == FEW && c->step == 1)
        convolve_channels(way, FEW, 1, c, codes, y, y_step);
    else if (c->windows == FEW)
        convolve_channels(way, FEW, 2, c, codes, y, y_step);
    else if (c->windows == MORE && c->pitch <= OUTPUTS / 2 && c->step == 1)
        convolve_channels(way, MORE, 1, c, codes, y, y_step);
    else if (c->windows == MORE && c->pitch <= OUTPUTS / 2)
        convolve_channels(way, MORE, 2, c, codes, y, y_step);
    else if (c->step == 1)
        convolve_channels(way, 0, 1, c, codes, y, y_step);
    else
        convolve_channels(way, 0, 2, c, codes, y, y_step);
}

/* Each way is a function of its own, with registers of its own. */
#define DEFINE_WAY(name, way)                                                                      \
    static __attribute__((noinline)) void name(const ql_channels *c, const ql_codes *codes,        \
                                               uint8_t *y, int64_t y_step) {                       \
        convolve(way, c, codes, y, y_step);                                                        \
    }

DEFINE_WAY(convert, CONVERTED)
DEFINE_WAY(fuse, FUSED)
DEFINE_WAY(fuse_plainly, FUSED_PLAINLY)

#undef DEFINE_WAY

QL_INLINE void make_codes(const ql_channels *channels, const ql_codes *codes, uint8_t *y,
                          int64_t y_step) {
    ql_channels some = *channels;
    for (int64_t channel = 0; channel < channels->channels; channel += some.channels) {
        const ql_codes from = ql_codes_from(codes, channel);
        const int way = way_of(&from);
        some.x = channels->x + channel * channels->x_step;
        some.weights = channels->weights + channel * channels->windows;
        some.start = channels->start + channel;
        some.channels = channels_alike(&from, channels->channels - channel);
        uint8_t *to = y + channel * y_step;
        if (way == FUSED_PLAINLY)
            fuse_plainly(&some, &from, to, y_step);
        else if (way == FUSED)
            fuse(&some, &from, to, y_step);
        else
            convert(&some, &from, to, y_step);
    }
}

/* Depthwise convolution of 3 x 3 for AVX-512 with VNNI, straight from the lines: see
 * csrc/depthwise.c.
 *
 * For 64 outputs a kernel costs 12 vpdpbusd, 12 instructions for the codes, and for elements four
 * with a stride of 1, where eight serve two lines; two can start in a cycle. With a stride of 2 an
 * element has two rows of two columns, or three columns of one row: eleven instructions, where two
 * lines share the row that both see.
 *
 * Where fewer channels are left, two or four pixels of a line share vectors, which takes one
 * instruction more for each other pixel of each row that is loaded or stored. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "codes.h"
#include "elements.h"

enum { GROUP = 64 };

/* A stretch of channels: 64 of a pixel, or in each half or quarter of a vector 32 or 16 of another
 * one, `apart` pixels further. */
typedef struct {
    const uint8_t *row[QL_SQUARE_ROWS];
    int64_t step[QL_SQUARE_ROWS]; /* from one column to the next */
    int64_t width, column, apart, pixels;
    int64_t inside; /* columns that have none outside of the image belonging to them */
    const char *w[2];
    const int32_t *start;
    const float *multiplier, *addend;
    uint8_t *y[2];
    int64_t y_step;
    stage codes;
    __m512i flip_u8x64, code_u8x64; /* the byte of padding */
} square;

/* What is known where functions are expanded. */
typedef struct {
    int parts; /* of a vector: 1, 2 or 4 */
    int lines, stride, way, flips;
} form;

/* --- input ---------------------------------------------------------------------------------- */

/* Where a column of a row is; that of padding if it is `checked` and outside. */
QL_INLINE const uint8_t *column_at(const int checked, const square *s, int row, int64_t column) {
    if (checked && (uint64_t)column >= (uint64_t)s->width)
        return (const uint8_t *)&s->code_u8x64;
    return s->row[row] + column * s->step[row];
}

/* The bytes of a column of one row, and of those that belong to it. */
QL_INLINE __m512i load_row(const form f, const int checked, const square *s, int row,
                           int64_t column) {
    const int64_t apart = s->apart * f.stride;
    const uint8_t *x = column_at(checked, s, row, column);
    if (f.parts == 1)
        return _mm512_loadu_si512(x);
    if (f.parts == 2) {
        const uint8_t *second = column_at(checked, s, row, column + apart);
        return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)x)),
                                  _mm256_loadu_si256((const __m256i *)second), 1);
    }
    __m512i row_u8x64 = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)x));
    x = column_at(checked, s, row, column + apart);
    row_u8x64 = _mm512_inserti32x4(row_u8x64, _mm_loadu_si128((const __m128i *)x), 1);
    x = column_at(checked, s, row, column + 2 * apart);
    row_u8x64 = _mm512_inserti32x4(row_u8x64, _mm_loadu_si128((const __m128i *)x), 2);
    x = column_at(checked, s, row, column + 3 * apart);
    return _mm512_inserti32x4(row_u8x64, _mm_loadu_si128((const __m128i *)x), 3);
}

/* That with four columns of which some are outside: a function of its own, because it is long. */
static __attribute__((noinline)) __m512i load_edge(const square *s, int stride, int row,
                                                   int64_t column) {
    return load_row((form){.parts = 4, .stride = stride}, 1, s, row, column);
}

QL_INLINE __m512i load_outside(const form f, const square *s, int row, int64_t column) {
    return f.parts == 4 ? load_edge(s, f.stride, row, column) : load_row(f, 1, s, row, column);
}

QL_INLINE __m512i numbers_of(const form f, const square *s, __m512i row_u8x64) {
    return f.flips ? _mm512_xor_si512(row_u8x64, s->flip_u8x64) : row_u8x64;
}

/* Those of a row, as numbers. */
QL_INLINE __m512i load_numbers(const form f, const square *s, int row, int64_t column) {
    const int is_inside = (uint64_t)column < (uint64_t)s->inside;
    return numbers_of(f, s,
                      is_inside ? load_row(f, 0, s, row, column) : load_outside(f, s, row, column));
}

/* Those of two rows. */
QL_INLINE void load_two(const form f, const square *s, int row, int64_t column,
                        __m512i two_u8x64[2]) {
    if ((uint64_t)column < (uint64_t)s->inside) {
        two_u8x64[0] = load_row(f, 0, s, row, column);
        two_u8x64[1] = load_row(f, 0, s, row + 1, column);
    } else {
        two_u8x64[0] = load_outside(f, s, row, column);
        two_u8x64[1] = load_outside(f, s, row + 1, column);
    }
    two_u8x64[0] = numbers_of(f, s, two_u8x64[0]);
    two_u8x64[1] = numbers_of(f, s, two_u8x64[1]);
}

/* --- elements ------------------------------------------------------------------------------- */

/* Of all rows of a column. */
QL_INLINE void load_column(const form f, const square *s, int64_t column,
                           __m512i element_u8x64[4]) {
    __m512i row_u8x64[4];
#pragma GCC unroll 4
    for (int row = 0; row < f.lines + 2; row++)
        row_u8x64[row] = load_numbers(f, s, row, column);
    elements_of(f.lines + 2, 0, row_u8x64, s->flip_u8x64, element_u8x64);
}

/* Pairs of bytes: those of each lane's first eight channels, then of the others. */
QL_INLINE void pair_bytes(__m512i first_u8x64, __m512i second_u8x64, __m512i pair_u16x32[2]) {
    pair_u16x32[0] = _mm512_unpacklo_epi8(first_u8x64, second_u8x64);
    pair_u16x32[1] = _mm512_unpackhi_epi8(first_u8x64, second_u8x64);
}

QL_INLINE void pair_pairs(const __m512i first_u16x32[2], const __m512i second_u16x32[2],
                          __m512i element_u8x64[4]) {
    element_u8x64[0] = _mm512_unpacklo_epi16(first_u16x32[0], second_u16x32[0]);
    element_u8x64[1] = _mm512_unpackhi_epi16(first_u16x32[0], second_u16x32[0]);
    element_u8x64[2] = _mm512_unpacklo_epi16(first_u16x32[1], second_u16x32[1]);
    element_u8x64[3] = _mm512_unpackhi_epi16(first_u16x32[1], second_u16x32[1]);
}

/* Of two rows of a column and the next one. */
QL_INLINE void load_block(const form f, const square *s, int row, int64_t column,
                          __m512i element_u8x64[4]) {
    __m512i left_u8x64[2], right_u8x64[2], left_u16x32[2], right_u16x32[2];
    load_two(f, s, row, column, left_u8x64);
    load_two(f, s, row, column + 1, right_u8x64);
    pair_bytes(left_u8x64[0], left_u8x64[1], left_u16x32);
    pair_bytes(right_u8x64[0], right_u8x64[1], right_u16x32);
    pair_pairs(left_u16x32, right_u16x32, element_u8x64);
}

/* A column and the next one of a row. */
QL_INLINE void load_pair(const form f, const square *s, int row, int64_t column,
                         __m512i pair_u16x32[2]) {
    pair_bytes(load_numbers(f, s, row, column), load_numbers(f, s, row, column + 1), pair_u16x32);
}

/* --- output --------------------------------------------------------------------------------- */

/* Vector number v of a group, or as often as a vector has room for it that of fewer channels. */
QL_INLINE __m512i load_parameters(const int parts, const void *from, int v) {
    const char *at = (const char *)from + GROUP / parts * v;
    if (parts == 1)
        return _mm512_loadu_si512(at);
    if (parts == 2)
        return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)at));
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)at));
}

/* Adds the products of elements and of weights number `tap`, to what sums start from if that is the
 * `first`. */
QL_INLINE void add_products(const form f, const int first, const square *s, int line, int tap,
                            const __m512i element_u8x64[4], __m512i sum_i32x16[4]) {
    const char *w = s->w[line] + tap * 4 * GROUP / f.parts;
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        if (first)
            sum_i32x16[v] = load_parameters(f.parts, s->start, v);
        sum_i32x16[v] =
            _mm512_dpbusd_epi32(sum_i32x16[v], element_u8x64[v], load_parameters(f.parts, w, v));
    }
}

QL_INLINE void load_factors(const form f, const square *s, factors by[4]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        by[v].multiplier_f32x16 = _mm512_castsi512_ps(load_parameters(f.parts, s->multiplier, v));
        by[v].addend_f32x16 = _mm512_setzero_ps();
        if (f.way >= FUSED)
            by[v].addend_f32x16 = _mm512_castsi512_ps(load_parameters(f.parts, s->addend, v));
    }
}

/* Codes of a pixel, or of several. */
QL_INLINE void store_codes(const form f, const square *s, int line, int64_t pixel,
                           __m512i codes_u8x64) {
    const int64_t apart = s->apart, left = s->pixels - pixel;
    uint8_t *y = s->y[line] + pixel * s->y_step;
    if (f.parts == 1) {
        _mm512_storeu_si512(y, codes_u8x64);
    } else if (f.parts == 2) {
        _mm256_storeu_si256((__m256i *)y, _mm512_castsi512_si256(codes_u8x64));
        if (apart < left)
            _mm256_storeu_si256((__m256i *)(y + apart * s->y_step),
                                _mm512_extracti64x4_epi64(codes_u8x64, 1));
    } else {
        _mm_storeu_si128((__m128i *)y, _mm512_castsi512_si128(codes_u8x64));
        if (apart < left)
            _mm_storeu_si128((__m128i *)(y + apart * s->y_step),
                             _mm512_extracti32x4_epi32(codes_u8x64, 1));
        if (2 * apart < left)
            _mm_storeu_si128((__m128i *)(y + 2 * apart * s->y_step),
                             _mm512_extracti32x4_epi32(codes_u8x64, 2));
        if (3 * apart < left)
            _mm_storeu_si128((__m128i *)(y + 3 * apart * s->y_step),
                             _mm512_extracti32x4_epi32(codes_u8x64, 3));
    }
}

QL_INLINE void store_pixel(const form f, const square *s, int line, int64_t pixel,
                           const __m512i sum_i32x16[4]) {
    factors by[4];
    load_factors(f, s, by);
    store_codes(f, s, line, pixel, codes_of(f.way, &s->codes, sum_i32x16, by));
}

/* The same of two lines, whose factors are loaded once. */
QL_INLINE void store_two(const form f, const square *s, int64_t pixel, const __m512i sum_i32x16[4],
                         const __m512i next_sum_i32x16[4]) {
    factors by[4];
    load_factors(f, s, by);
    const __m512i codes_u8x64 = codes_of(f.way, &s->codes, sum_i32x16, by);
    const __m512i next_codes_u8x64 = codes_of(f.way, &s->codes, next_sum_i32x16, by);
    store_codes(f, s, 0, pixel, codes_u8x64);
    store_codes(f, s, 1, pixel, next_codes_u8x64);
}

/* --- lines ---------------------------------------------------------------------------------- */

/* Column by column: each is interleaved once for up to three pixels of two lines, and stays in
 * registers. */
QL_INLINE void convolve_columns(const form f, const square *s) {
    __m512i left_u8x64[4], middle_u8x64[4], right_u8x64[4], sum_i32x16[2][4];
    load_column(f, s, s->column, left_u8x64);
    load_column(f, s, s->column + 1, middle_u8x64);
    for (int64_t pixel = 0; pixel < s->apart; pixel++) {
        load_column(f, s, s->column + pixel + 2, right_u8x64);
#pragma GCC unroll 2
        for (int line = 0; line < f.lines; line++) {
            add_products(f, 1, s, line, 0, left_u8x64, sum_i32x16[line]);
            add_products(f, 0, s, line, 1, middle_u8x64, sum_i32x16[line]);
            add_products(f, 0, s, line, 2, right_u8x64, sum_i32x16[line]);
        }
        if (f.lines == 2)
            store_two(f, s, pixel, sum_i32x16[0], sum_i32x16[1]);
        else
            store_pixel(f, s, 0, pixel, sum_i32x16[0]);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            left_u8x64[v] = middle_u8x64[v];
            middle_u8x64[v] = right_u8x64[v];
        }
    }
}

/* Two columns at a time, of two rows each, or of one: the last ones of a pixel are the next one's
 * first. */
QL_INLINE void convolve_blocks(const form f, const square *s) {
    __m512i upper_u8x64[4], row_u16x32[2], lower_u8x64[4];
    load_block(f, s, 0, s->column, upper_u8x64);
    load_pair(f, s, 2, s->column, row_u16x32);
    if (f.lines == 2)
        load_block(f, s, 3, s->column, lower_u8x64);
    for (int64_t pixel = 0; pixel < s->apart; pixel++) {
        const int64_t next = s->column + 2 * pixel + 2;
        __m512i sum_i32x16[4], next_sum_i32x16[4], next_u16x32[2], across_u8x64[4];
        add_products(f, 1, s, 0, 0, upper_u8x64, sum_i32x16);
        load_block(f, s, 0, next, upper_u8x64);
        add_products(f, 0, s, 0, 1, upper_u8x64, sum_i32x16);
        load_pair(f, s, 2, next, next_u16x32);
        pair_pairs(row_u16x32, next_u16x32, across_u8x64);
        memcpy(row_u16x32, next_u16x32, sizeof row_u16x32);
        add_products(f, 0, s, 0, 2, across_u8x64, sum_i32x16);
        if (f.lines == 2)
            add_products(f, 1, s, 1, 2, across_u8x64, next_sum_i32x16);
        store_pixel(f, s, 0, pixel, sum_i32x16);
        if (f.lines == 1)
            continue;
        add_products(f, 0, s, 1, 0, lower_u8x64, next_sum_i32x16);
        load_block(f, s, 3, next, lower_u8x64);
        add_products(f, 0, s, 1, 1, lower_u8x64, next_sum_i32x16);
        store_pixel(f, s, 1, pixel, next_sum_i32x16);
    }
}

QL_INLINE void convolve_lines(const int parts, const int way, const int flips,
                              const ql_square *lines, square *s) {
    s->apart = (lines->pixels + parts - 1) / parts;
    s->inside = ql_max(0, s->width - (parts - 1) * s->apart * lines->stride);
    if (lines->stride == 1 && lines->lines == 2)
        convolve_columns((form){parts, 2, 1, way, flips}, s);
    else if (lines->stride == 1)
        convolve_columns((form){parts, 1, 1, way, flips}, s);
    else if (lines->lines == 2)
        convolve_blocks((form){parts, 2, 2, way, flips}, s);
    else
        convolve_blocks((form){parts, 1, 2, way, flips}, s);
}

/* Channels from one on up to another one, 64 at a time. */
QL_INLINE void convolve_channels(const int way, const int flips, const ql_square *lines,
                                 int64_t channel, int64_t limit, const ql_codes *codes, uint8_t *y,
                                 int64_t y_stride, int64_t y_line) {
    square s;
    s.width = lines->width;
    s.column = lines->first;
    s.pixels = lines->pixels;
    s.y_step = y_stride;
    s.codes = stage_of(codes);
    s.flip_u8x64 = _mm512_set1_epi8((char)lines->flip);
    s.code_u8x64 = _mm512_set1_epi8((char)(lines->zero ^ lines->flip));
    for (int64_t width; channel < limit; channel += width) {
#pragma GCC unroll 5
        for (int row = 0; row < QL_SQUARE_ROWS; row++) {
            s.row[row] = lines->row[row] + channel * lines->channel_step[row];
            s.step[row] = lines->column_step[row];
        }
        s.w[0] = lines->w + channel * 3 * 4;
        s.w[1] = s.w[0] + lines->w_step;
        s.start = lines->start + channel;
        s.multiplier = codes->multiplier + channel;
        s.addend = way >= FUSED ? codes->addend + channel : NULL;
        s.y[0] = y + channel;
        s.y[1] = s.y[0] + y_line;
        const int64_t left = limit - channel;
        width = left >= GROUP ? GROUP : left >= GROUP / 2 ? GROUP / 2 : GROUP / 4;
        if (width == GROUP)
            convolve_lines(1, way, flips, lines, &s);
        else if (width == GROUP / 2)
            convolve_lines(2, way, flips, lines, &s);
        else
            convolve_lines(4, way, flips, lines, &s);
    }
}

/* Each way is a function of its own: in a single one, compilers run out of registers. */
typedef void convolve_function(const ql_square *lines, int64_t channel, int64_t limit,
                               const ql_codes *codes, uint8_t *y, int64_t y_stride, int64_t y_line);

#define DEFINE_WAY(name, way, flips)                                                               \
    static __attribute__((noinline)) void name(const ql_square *lines, int64_t channel,            \
                                               int64_t limit, const ql_codes *codes, uint8_t *y,   \
                                               int64_t y_stride, int64_t y_line) {                 \
        convolve_channels(way, flips, lines, channel, limit, codes, y, y_stride, y_line);          \
    }

DEFINE_WAY(convert, CONVERTED, 0)
DEFINE_WAY(convert_flipped, CONVERTED, 1)
DEFINE_WAY(fuse, FUSED, 0)
DEFINE_WAY(fuse_flipped, FUSED, 1)
DEFINE_WAY(fuse_plainly, FUSED_PLAINLY, 0)
DEFINE_WAY(fuse_flipped_plainly, FUSED_PLAINLY, 1)

#undef DEFINE_WAY

void ql_avx512vnni_depthwise_square(const ql_square *lines, const ql_codes *codes, uint8_t *y,
                                    int64_t y_stride, int64_t y_line) {
    static convolve_function *const ways[4][2] = {
        [CONVERTED] = {convert, convert_flipped},
        [CONVERTED_PLAINLY] = {convert, convert_flipped},
        [FUSED] = {fuse, fuse_flipped},
        [FUSED_PLAINLY] = {fuse_plainly, fuse_flipped_plainly}};
    for (int64_t channel = 0, limit; channel < lines->channels; channel = limit) {
        const ql_codes from = ql_codes_from(codes, channel);
        const int way = way_of(&from);
        limit = channel + GROUP;
        while (limit < lines->channels && is_fused(codes, limit) == (way >= FUSED))
            limit += GROUP;
        limit = ql_min(limit, lines->channels);
        ways[way][lines->flip != 0](lines, channel, limit, codes, y, y_stride, y_line);
    }
}

QL_TARGET_END

#endif

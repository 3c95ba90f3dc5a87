/* Depthwise convolution of 3 x 3 for AVX-512 with VNNI, straight from the lines: see
 * csrc/depthwise.c.
 *
 * For 64 outputs a kernel costs 12 vpdpbusd, 12 instructions for the codes, and for elements four
 * with a stride of 1, where eight serve two lines; two can start in a cycle. With a stride of 2 an
 * element has two rows of two columns, or three columns of one row: eleven instructions, where two
 * lines share the row that both see. Loads are as many, and two can start in a cycle, too, unless
 * they cross cache lines, which most pixels do: two pixels of a line share those of parameters.
 *
 * Where fewer channels are left, two or four pixels of a line share vectors, which takes one
 * instruction more for each other pixel of each row that is loaded or stored.
 *
 * Only the pixels at the ends of a line, or of a part of it, look whether columns are outside. */
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
    int64_t step; /* from one column to the next */
    int64_t width, column, apart, pixels;
    int64_t first, last; /* pixels that need no check: that one, and on to this one */
    const char *w[2];
    const int32_t *start;
    const float *multiplier, *addend;
    uint8_t *y[2];
    int64_t y_step;
    stage codes;
    __m512i flip_u8x64, code_u8x64; /* the byte of padding */
} square;

/* Keeps what was loaded and is needed more than once: compilers would load or store it again. */
#define IN_REGISTER(vector) __asm__("" : "+v"(vector))

/* What is known where functions are expanded. */
typedef struct {
    int parts; /* of a vector: 1, 2 or 4 */
    int lines, stride, way, flips;
} form;

/* --- input ---------------------------------------------------------------------------------- */

/* A column and those that belong to it: where they are in a row, and which of their bytes are
 * padding. For those, other columns are read. */
typedef struct {
    int64_t offset[4];
    __mmask64 outside;
} columns;

QL_INLINE columns columns_at(const form f, const int checked, const square *s, int64_t column) {
    const int width = GROUP / f.parts;
    columns at = {.outside = 0};
#pragma GCC unroll 4
    for (int part = 0; part < f.parts; part++, column += s->apart * f.stride) {
        int64_t inside = column;
        if (checked) {
            inside = ql_max(0, ql_min(column, s->width - 1));
            if (inside != column)
                at.outside |= ~(__mmask64)0 >> (GROUP - width) << part * width;
        }
        at.offset[part] = inside * s->step;
    }
    return at;
}

/* Their numbers in one row. */
QL_INLINE __m512i load_row(const form f, const int checked, const square *s, int row,
                           const columns *at) {
    const uint8_t *x = s->row[row];
    __m512i row_u8x64;
    if (f.parts == 1) {
        row_u8x64 = _mm512_loadu_si512(x + at->offset[0]);
    } else if (f.parts == 2) {
        row_u8x64 = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(x + at->offset[0]))),
            _mm256_loadu_si256((const __m256i *)(x + at->offset[1])), 1);
    } else {
        const __m128i first_u8x16 = _mm_loadu_si128((const __m128i *)(x + at->offset[0]));
        const __m128i second_u8x16 = _mm_loadu_si128((const __m128i *)(x + at->offset[1]));
        const __m128i third_u8x16 = _mm_loadu_si128((const __m128i *)(x + at->offset[2]));
        const __m128i fourth_u8x16 = _mm_loadu_si128((const __m128i *)(x + at->offset[3]));
        row_u8x64 = _mm512_inserti32x4(_mm512_castsi128_si512(first_u8x16), second_u8x16, 1);
        row_u8x64 = _mm512_inserti32x4(row_u8x64, third_u8x16, 2);
        row_u8x64 = _mm512_inserti32x4(row_u8x64, fourth_u8x16, 3);
    }
    if (checked)
        row_u8x64 = _mm512_mask_mov_epi8(row_u8x64, at->outside, s->code_u8x64);
    else
        IN_REGISTER(row_u8x64);
    return f.flips ? _mm512_xor_si512(row_u8x64, s->flip_u8x64) : row_u8x64;
}

/* --- elements ------------------------------------------------------------------------------- */

/* Of all rows of a column. */
QL_INLINE void load_column(const form f, const int checked, const square *s, int64_t column,
                           __m512i element_u8x64[4]) {
    const columns at = columns_at(f, checked, s, column);
    __m512i row_u8x64[4];
#pragma GCC unroll 4
    for (int row = 0; row < f.lines + 2; row++)
        row_u8x64[row] = load_row(f, checked, s, row, &at);
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

/* Of two rows of two columns. */
QL_INLINE void load_block(const form f, const int checked, const square *s, int row,
                          const columns at[2], __m512i element_u8x64[4]) {
    __m512i left_u16x32[2], right_u16x32[2];
    pair_bytes(load_row(f, checked, s, row, &at[0]), load_row(f, checked, s, row + 1, &at[0]),
               left_u16x32);
    pair_bytes(load_row(f, checked, s, row, &at[1]), load_row(f, checked, s, row + 1, &at[1]),
               right_u16x32);
    pair_pairs(left_u16x32, right_u16x32, element_u8x64);
}

/* Two columns of a row. */
QL_INLINE void load_pair(const form f, const int checked, const square *s, int row,
                         const columns at[2], __m512i pair_u16x32[2]) {
    pair_bytes(load_row(f, checked, s, row, &at[0]), load_row(f, checked, s, row, &at[1]),
               pair_u16x32);
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

/* Adds the products of pixels' elements and of weights number `tap`, to what sums start from if
 * that is the `first`. */
QL_INLINE void add_products(const form f, const int first, const int pixels, const square *s,
                            int line, int tap, __m512i element_u8x64[][4],
                            __m512i sum_i32x16[][4]) {
    const char *w = s->w[line] + tap * 4 * GROUP / f.parts;
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        __m512i w_i8x64 = load_parameters(f.parts, w, v);
        if (pixels > 1)
            IN_REGISTER(w_i8x64);
#pragma GCC unroll 2
        for (int p = 0; p < pixels; p++) {
            if (first)
                sum_i32x16[p][v] = load_parameters(f.parts, s->start, v);
            sum_i32x16[p][v] = _mm512_dpbusd_epi32(sum_i32x16[p][v], element_u8x64[p][v], w_i8x64);
        }
    }
}

/* Those of the row that two lines share: the last ones of the first line, and the first ones of the
 * next line. */
QL_INLINE void add_shared(const form f, const int pixels, const square *s,
                          __m512i element_u8x64[][4], __m512i sum_i32x16[][4],
                          __m512i next_sum_i32x16[][4]) {
    const int64_t tap = 2 * 4 * GROUP / f.parts;
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        __m512i w_i8x64 = load_parameters(f.parts, s->w[0] + tap, v);
        __m512i next_w_i8x64 = load_parameters(f.parts, s->w[1] + tap, v);
        if (pixels > 1) {
            IN_REGISTER(w_i8x64);
            IN_REGISTER(next_w_i8x64);
        }
#pragma GCC unroll 2
        for (int p = 0; p < pixels; p++) {
            sum_i32x16[p][v] = _mm512_dpbusd_epi32(sum_i32x16[p][v], element_u8x64[p][v], w_i8x64);
            if (f.lines == 2)
                next_sum_i32x16[p][v] = _mm512_dpbusd_epi32(load_parameters(f.parts, s->start, v),
                                                            element_u8x64[p][v], next_w_i8x64);
        }
    }
}

QL_INLINE factors load_factors(const form f, const square *s, int v) {
    factors by = {_mm512_castsi512_ps(load_parameters(f.parts, s->multiplier, v)),
                  _mm512_setzero_ps()};
    if (f.way >= FUSED)
        by.addend_f32x16 = _mm512_castsi512_ps(load_parameters(f.parts, s->addend, v));
    return by;
}

/* Codes of a pixel, or of several, of which all but the first may be none of the line. */
QL_INLINE void store_codes(const form f, const int checked, const square *s, int line,
                           int64_t pixel, __m512i codes_u8x64) {
    const int64_t apart = s->apart, left = s->pixels - pixel;
    uint8_t *y = s->y[line] + pixel * s->y_step;
    if (f.parts == 1) {
        _mm512_storeu_si512(y, codes_u8x64);
    } else if (f.parts == 2) {
        _mm256_storeu_si256((__m256i *)y, _mm512_castsi512_si256(codes_u8x64));
        if (!checked || apart < left)
            _mm256_storeu_si256((__m256i *)(y + apart * s->y_step),
                                _mm512_extracti64x4_epi64(codes_u8x64, 1));
    } else {
        _mm_storeu_si128((__m128i *)y, _mm512_castsi512_si128(codes_u8x64));
        if (!checked || apart < left)
            _mm_storeu_si128((__m128i *)(y + apart * s->y_step),
                             _mm512_extracti32x4_epi32(codes_u8x64, 1));
        if (!checked || 2 * apart < left)
            _mm_storeu_si128((__m128i *)(y + 2 * apart * s->y_step),
                             _mm512_extracti32x4_epi32(codes_u8x64, 2));
        if (!checked || 3 * apart < left)
            _mm_storeu_si128((__m128i *)(y + 3 * apart * s->y_step),
                             _mm512_extracti32x4_epi32(codes_u8x64, 3));
    }
}

/* Makes codes of one or two pixels of one or two lines, which share factors. */
QL_INLINE void store_pixels(const form f, const int checked, const int lines, const int pixels,
                            const square *s, int line, int64_t pixel, __m512i sum_i32x16[][4]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        const factors by = load_factors(f, s, v);
#pragma GCC unroll 2
        for (int i = 0; i < lines * pixels; i++)
            sum_i32x16[i][v] = scale(f.way, &s->codes, sum_i32x16[i][v], by);
    }
#pragma GCC unroll 2
    for (int i = 0; i < lines * pixels; i++)
        store_codes(f, checked, s, line + i / pixels, pixel + i % pixels,
                    pack_codes(f.way, &s->codes, sum_i32x16[i]));
}

/* --- lines ---------------------------------------------------------------------------------- */

/* What a pixel leaves for the next one: elements of two columns, or of a block of them above the
 * row that two lines share and of one below, and that row's pairs. */
typedef struct {
    __m512i first_u8x64[4], second_u8x64[4], row_u16x32[2];
} rest;

/* A column at a time: each is interleaved once for up to three pixels of two lines, and stays in
 * registers. */
QL_INLINE void begin_columns(const form f, const square *s, rest *r) {
    load_column(f, 1, s, s->column, r->first_u8x64);
    load_column(f, 1, s, s->column + 1, r->second_u8x64);
}

QL_INLINE void convolve_column(const form f, const int checked, const square *s, int64_t pixel,
                               rest *r) {
    __m512i right_u8x64[4], sum_i32x16[2][4];
    load_column(f, checked, s, s->column + pixel + 2, right_u8x64);
#pragma GCC unroll 2
    for (int line = 0; line < f.lines; line++) {
        add_products(f, 1, 1, s, line, 0, &r->first_u8x64, sum_i32x16 + line);
        add_products(f, 0, 1, s, line, 1, &r->second_u8x64, sum_i32x16 + line);
        add_products(f, 0, 1, s, line, 2, &right_u8x64, sum_i32x16 + line);
    }
    store_pixels(f, checked, f.lines, 1, s, 0, pixel, sum_i32x16);
    memcpy(r->first_u8x64, r->second_u8x64, sizeof right_u8x64);
    memcpy(r->second_u8x64, right_u8x64, sizeof right_u8x64);
}

/* Two columns at a time, of two rows each, or of one: the last ones of a pixel are the next one's
 * first. */
QL_INLINE void begin_blocks(const form f, const square *s, rest *r) {
    const columns at[2] = {columns_at(f, 1, s, s->column), columns_at(f, 1, s, s->column + 1)};
    load_block(f, 1, s, 0, at, r->first_u8x64);
    load_pair(f, 1, s, 2, at, r->row_u16x32);
    if (f.lines == 2)
        load_block(f, 1, s, 3, at, r->second_u8x64);
}

/* The products of the rows from one on that only one line sees. */
QL_INLINE void convolve_rows(const form f, const int checked, const int first, const int pixels,
                             const square *s, int line, const columns at[][2],
                             __m512i rest_u8x64[4], __m512i sum_i32x16[][4]) {
    const int row = line == 0 ? 0 : 3;
    __m512i block_u8x64[3][4];
    memcpy(block_u8x64[0], rest_u8x64, sizeof block_u8x64[0]);
    if (pixels == 2)
        load_block(f, checked, s, row, at[0], block_u8x64[1]);
    add_products(f, first, pixels, s, line, 0, block_u8x64, sum_i32x16);
    load_block(f, checked, s, row, at[pixels - 1], block_u8x64[pixels]);
    memcpy(rest_u8x64, block_u8x64[pixels], sizeof block_u8x64[0]);
    add_products(f, 0, pixels, s, line, 1, block_u8x64 + 1, sum_i32x16);
}

/* One pixel or two, which share what is loaded of parameters. */
QL_INLINE void convolve_blocks(const form f, const int checked, const int pixels, const square *s,
                               int64_t pixel, rest *r) {
    columns at[2][2];
    __m512i sum_i32x16[2][4], next_sum_i32x16[2][4], across_u8x64[2][4];
#pragma GCC unroll 4
    for (int i = 0; i < 2 * pixels; i++)
        at[i / 2][i % 2] = columns_at(f, checked, s, s->column + 2 * pixel + 2 + i);
    convolve_rows(f, checked, 1, pixels, s, 0, at, r->first_u8x64, sum_i32x16);
#pragma GCC unroll 2
    for (int p = 0; p < pixels; p++) {
        __m512i next_u16x32[2];
        load_pair(f, checked, s, 2, at[p], next_u16x32);
        pair_pairs(r->row_u16x32, next_u16x32, across_u8x64[p]);
        memcpy(r->row_u16x32, next_u16x32, sizeof next_u16x32);
    }
    add_shared(f, pixels, s, across_u8x64, sum_i32x16, next_sum_i32x16);
    store_pixels(f, checked, 1, pixels, s, 0, pixel, sum_i32x16);
    if (f.lines == 1)
        return;
    convolve_rows(f, checked, 0, pixels, s, 1, at, r->second_u8x64, next_sum_i32x16);
    store_pixels(f, checked, 1, pixels, s, 1, pixel, next_sum_i32x16);
}

QL_INLINE void convolve_pixels(const form f, const square *s) {
    rest r;
    if (f.stride == 1)
        begin_columns(f, s, &r);
    else
        begin_blocks(f, s, &r);
    for (int64_t pixel = 0; pixel < s->apart; pixel++) {
        if (pixel >= s->first && f.stride == 1)
            for (; pixel < s->last; pixel++)
                convolve_column(f, 0, s, pixel, &r);
        if (pixel >= s->first && f.stride == 2)
            for (; pixel + 1 < s->last; pixel += 2)
                convolve_blocks(f, 0, 2, s, pixel, &r);
        if (pixel >= s->apart)
            break;
        if (f.stride == 1)
            convolve_column(f, 1, s, pixel, &r);
        else
            convolve_blocks(f, 1, 1, s, pixel, &r);
    }
}

/* Which pixels read no column outside, but for their first ones, and store all their parts. */
QL_INLINE void find_plain(const int parts, const int stride, square *s) {
    const int64_t further = (parts - 1) * s->apart;
    const int64_t columns = s->width - s->column - further * stride; /* for the last part */
    s->first = stride == 1 ? -2 - s->column : (-1 - s->column) / 2;
    s->last = stride == 1 ? columns - 2 : columns / 2 - 1;
    s->last = ql_min(s->last, ql_min(s->apart, s->pixels - further));
}

QL_INLINE void convolve_lines(const int parts, const int way, const int flips,
                              const ql_square *lines, square *s) {
    s->apart = (lines->pixels + parts - 1) / parts;
    find_plain(parts, lines->stride == 1 ? 1 : 2, s);
    if (lines->stride == 1 && lines->lines == 2)
        convolve_pixels((form){parts, 2, 1, way, flips}, s);
    else if (lines->stride == 1)
        convolve_pixels((form){parts, 1, 1, way, flips}, s);
    else if (lines->lines == 2)
        convolve_pixels((form){parts, 2, 2, way, flips}, s);
    else
        convolve_pixels((form){parts, 1, 2, way, flips}, s);
}

/* Channels from one on up to another one, 64 at a time. */
QL_INLINE void convolve_channels(const int way, const int flips, const ql_square *lines,
                                 int64_t channel, int64_t limit, const ql_codes *codes, uint8_t *y,
                                 int64_t y_stride, int64_t y_line) {
    const int64_t rows = 3 + (lines->lines - 1) * lines->stride;
    square s;
    s.width = lines->width;
    s.step = lines->step;
    s.column = lines->first;
    s.pixels = lines->pixels;
    s.y_step = y_stride;
    s.codes = stage_of(codes);
    s.flip_u8x64 = _mm512_set1_epi8((char)lines->flip);
    s.code_u8x64 = _mm512_set1_epi8((char)(lines->zero ^ lines->flip));
    for (int64_t width; channel < limit; channel += width) {
#pragma GCC unroll 5
        for (int row = 0; row < QL_SQUARE_ROWS; row++)
            s.row[row] = row < rows ? lines->row[row] + channel : NULL;
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

/* Depthwise convolution of 3 x 3 for AVX-512 with VNNI, straight from the lines: see
 * csrc/depthwise.c.
 *
 * For 64 outputs, a kernel costs 12 vpdpbusd, 17 instructions for the codes, and for elements four
 * with a stride of 1, of eight for two lines, or 16 with a stride of 2: two can start in a cycle.
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
    const uint8_t *row[4];
    int64_t step[4]; /* from one column to the next */
    int64_t width, column, apart, pixels;
    const char *w[2];
    const int32_t *start;
    const float *multiplier;
    uint8_t *y[2];
    int64_t y_step;
    stage codes;
    __m512i flip_u8x64, code_u8x64; /* the byte of padding */
} square;

/* What is known where functions are expanded. */
typedef struct {
    int parts; /* of a vector: 1, 2 or 4 */
    int lines, stride, plain, flips;
} form;

/* --- input ---------------------------------------------------------------------------------- */

/* Where a column of a row is; that of padding if it is `checked` and outside. */
QL_INLINE const uint8_t *column_at(const int checked, const square *s, int row, int64_t column,
                                   const uint8_t *padding) {
    if (checked && (column < 0 || column >= s->width))
        return padding;
    return s->row[row] + column * s->step[row];
}

/* The bytes of a column of one row, and of those that belong to it. */
QL_INLINE __m512i load_row(const form f, const int checked, const square *s, int row,
                           int64_t column) {
    const uint8_t *padding = (const uint8_t *)&s->code_u8x64;
    const uint8_t *x = column_at(checked, s, row, column, padding);
    const int64_t apart = s->apart * f.stride;
    if (f.parts == 1)
        return _mm512_loadu_si512(x);
    if (f.parts == 2) {
        const uint8_t *second = column_at(checked, s, row, column + apart, padding);
        return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)x)),
                                  _mm256_loadu_si256((const __m256i *)second), 1);
    }
    __m512i row_u8x64 = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)x));
    x = column_at(checked, s, row, column + apart, padding);
    row_u8x64 = _mm512_inserti32x4(row_u8x64, _mm_loadu_si128((const __m128i *)x), 1);
    x = column_at(checked, s, row, column + 2 * apart, padding);
    row_u8x64 = _mm512_inserti32x4(row_u8x64, _mm_loadu_si128((const __m128i *)x), 2);
    x = column_at(checked, s, row, column + 3 * apart, padding);
    return _mm512_inserti32x4(row_u8x64, _mm_loadu_si128((const __m128i *)x), 3);
}

QL_INLINE void load_column(const form f, const int checked, const square *s, int64_t column,
                           __m512i element_u8x64[4]) {
    __m512i row_u8x64[4];
#pragma GCC unroll 4
    for (int row = 0; row < f.lines + 2; row++)
        row_u8x64[row] = load_row(f, checked, s, row, column);
    elements_of(f.lines + 2, f.flips, row_u8x64, s->flip_u8x64, element_u8x64);
}

/* Vector number v of a group, or as often as a vector has room for it that of fewer channels. */
QL_INLINE __m512i load_parameters(const int parts, const void *from, int v) {
    const char *at = (const char *)from + GROUP / parts * v;
    if (parts == 1)
        return _mm512_loadu_si512(at);
    if (parts == 2)
        return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)at));
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)at));
}

/* --- output --------------------------------------------------------------------------------- */

/* The codes of a pixel, or of several, from the elements of three columns. */
QL_INLINE __m512i convolve_pixel(const form f, const square *s, const char *w,
                                 const __m512i left_u8x64[4], const __m512i middle_u8x64[4],
                                 const __m512i right_u8x64[4]) {
    const int64_t tap = 4 * GROUP / f.parts;
    __m512i sum_i32x16[4];
    __m512 multiplier_f32x16[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        multiplier_f32x16[v] = _mm512_castsi512_ps(load_parameters(f.parts, s->multiplier, v));
        sum_i32x16[v] = _mm512_dpbusd_epi32(load_parameters(f.parts, s->start, v), left_u8x64[v],
                                            load_parameters(f.parts, w, v));
        sum_i32x16[v] = _mm512_dpbusd_epi32(sum_i32x16[v], middle_u8x64[v],
                                            load_parameters(f.parts, w + tap, v));
        sum_i32x16[v] = _mm512_dpbusd_epi32(sum_i32x16[v], right_u8x64[v],
                                            load_parameters(f.parts, w + 2 * tap, v));
    }
    return codes_of(f.plain, &s->codes, sum_i32x16, multiplier_f32x16);
}

QL_INLINE void store_pixel(const form f, const int checked, const square *s, int64_t pixel,
                           __m512i codes_u8x64, uint8_t *y) {
    const int64_t apart = s->apart, left = s->pixels - pixel;
    y += pixel * s->y_step;
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

/* Column by column: each is interleaved once for up to three pixels of two lines, and stays in
 * registers; `element` has the last ones of the pixel before. */
QL_INLINE void convolve_pixels(const form f, const int checked, const square *s, int64_t first,
                               int64_t last, __m512i element_u8x64[2][4]) {
    __m512i left_u8x64[4], middle_u8x64[4], right_u8x64[4];
    memcpy(left_u8x64, element_u8x64[0], sizeof left_u8x64);
    memcpy(middle_u8x64, element_u8x64[1], sizeof middle_u8x64);
    int64_t column = s->column + first * f.stride + 3 - f.stride;
    for (int64_t p = first; p < last; p++) {
        if (f.stride == 2)
            load_column(f, checked, s, column++, middle_u8x64);
        load_column(f, checked, s, column++, right_u8x64);
#pragma GCC unroll 2
        for (int line = 0; line < f.lines; line++)
            store_pixel(f, checked, s, p,
                        convolve_pixel(f, s, s->w[line], left_u8x64, middle_u8x64, right_u8x64),
                        s->y[line]);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            left_u8x64[v] = f.stride == 1 ? middle_u8x64[v] : right_u8x64[v];
            middle_u8x64[v] = right_u8x64[v];
        }
    }
    memcpy(element_u8x64[0], left_u8x64, sizeof left_u8x64);
    memcpy(element_u8x64[1], middle_u8x64, sizeof middle_u8x64);
}

/* A line, of which only the pixels at the ends need to be checked. */
QL_INLINE void convolve_stretch(const form f, const square *s) {
    const int64_t pixels = s->apart, away = (f.parts - 1) * s->apart;
    const int64_t before = f.stride - 3 - s->column;
    const int64_t beyond = s->width - away * f.stride - s->column - 3;
    const int64_t begin = before > 0 ? ql_min(pixels, ql_ceil_div(before, f.stride)) : 0;
    const int64_t inside = beyond < 0 ? 0 : beyond / f.stride + 1;
    const int64_t end = ql_max(begin, ql_min(inside, ql_min(pixels, s->pixels - away)));
    __m512i element_u8x64[2][4];
    load_column(f, 1, s, s->column, element_u8x64[0]);
    if (f.stride == 1)
        load_column(f, 1, s, s->column + 1, element_u8x64[1]);
    if (begin > 0)
        convolve_pixels(f, 1, s, 0, begin, element_u8x64);
    convolve_pixels(f, 0, s, begin, end, element_u8x64);
    convolve_pixels(f, 1, s, end, pixels, element_u8x64);
}

QL_INLINE void convolve_lines(const int parts, const int plain, const int flips,
                              const ql_square *lines, square *s) {
    s->apart = (lines->pixels + parts - 1) / parts;
    if (lines->lines == 2)
        convolve_stretch((form){parts, 2, 1, plain, flips}, s);
    else if (lines->stride == 1)
        convolve_stretch((form){parts, 1, 1, plain, flips}, s);
    else
        convolve_stretch((form){parts, 1, 2, plain, flips}, s);
}

QL_INLINE void convolve_square(const int plain, const int flips, const ql_square *lines,
                               const ql_codes *codes, uint8_t *y, int64_t y_stride,
                               int64_t y_line) {
    square s;
    s.width = lines->width;
    s.column = lines->first;
    s.pixels = lines->pixels;
    s.y_step = y_stride;
    s.codes = stage_of(codes);
    s.flip_u8x64 = _mm512_set1_epi8((char)lines->flip);
    s.code_u8x64 = _mm512_set1_epi8((char)(lines->zero ^ lines->flip));
    for (int64_t channel = 0, width; channel < lines->channels; channel += width) {
        for (int row = 0; row < lines->lines + 2; row++) {
            s.row[row] = lines->row[row] + channel * lines->channel_step[row];
            s.step[row] = lines->column_step[row];
        }
        s.w[0] = lines->w + channel * 3 * 4;
        s.w[1] = s.w[0] + lines->w_step;
        s.start = lines->start + channel;
        s.multiplier = codes->multiplier + channel;
        s.y[0] = y + channel;
        s.y[1] = s.y[0] + y_line;
        const int64_t left = lines->channels - channel;
        width = left >= GROUP ? GROUP : left >= GROUP / 2 ? GROUP / 2 : GROUP / 4;
        if (width == GROUP)
            convolve_lines(1, plain, flips, lines, &s);
        else if (width == GROUP / 2)
            convolve_lines(2, plain, flips, lines, &s);
        else
            convolve_lines(4, plain, flips, lines, &s);
    }
}

void ql_avx512vnni_depthwise_square(const ql_square *square, const ql_codes *codes, uint8_t *y,
                                    int64_t y_stride, int64_t y_line) {
    if (is_plain(codes) && square->flip)
        convolve_square(1, 1, square, codes, y, y_stride, y_line);
    else if (is_plain(codes))
        convolve_square(1, 0, square, codes, y, y_stride, y_line);
    else if (square->flip)
        convolve_square(0, 1, square, codes, y, y_stride, y_line);
    else
        convolve_square(0, 0, square, codes, y, y_stride, y_line);
}

QL_TARGET_END

#endif

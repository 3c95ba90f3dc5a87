/* Depthwise convolution of 3 x 3 for AVX-VNNI, straight from the lines: see csrc/depthwise.c.
 *
 * Column by column, four lines of 32 channels become four vectors of elements, which stay in
 * registers for the pixels that see them: twelve registers hold the three columns of a pixel. 64
 * outputs, of two lines, cost 24 vpdpbusd, eight instructions for the elements and 40 for the
 * codes, of which three can start in a cycle. Of a last strip of 16 channels, two pixels of a line
 * share vectors. */
#include "../target.h"

#if QL_BUILDS_AVXVNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVXVNNI

#include "../avx2/codes.h"

enum { GROUP = 32 };

/* A stretch of channels: 32 of a pixel, or in each half of a vector 16 of another one, `apart`
 * pixels further. */
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
    __m256i flip_u8x32, code_u8x32; /* the byte of padding */
} square;

/* What is known where functions are expanded. */
typedef struct {
    int parts; /* of a vector: 1 or 2 */
    int lines, stride, flips;
} form;

/* --- input ---------------------------------------------------------------------------------- */

/* Where a column of a row is; that of padding if it is `checked` and outside. */
QL_INLINE const __m128i *column_at(const int checked, const square *s, int row, int64_t column) {
    if (checked && (column < 0 || column >= s->width))
        return (const __m128i *)(const void *)&s->code_u8x32;
    return (const __m128i *)(const void *)(s->row[row] + column * s->step[row]);
}

QL_INLINE __m256i load_row(const form f, const int checked, const square *s, int row,
                           int64_t column) {
    const __m128i *x = column_at(checked, s, row, column);
    if (f.parts == 1)
        return _mm256_loadu_si256((const __m256i *)x);
    const __m128i *second = column_at(checked, s, row, column + s->apart * f.stride);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(x)),
                                   _mm_loadu_si128(second), 1);
}

/* The elements of a column, in the order of planes. Of three rows, the last byte is of no matter.
 */
QL_INLINE void load_column(const form f, const int checked, const square *s, int64_t column,
                           __m256i element_u8x32[4]) {
    __m256i row_u8x32[4];
#pragma GCC unroll 4
    for (int row = 0; row < f.lines + 2; row++) {
        row_u8x32[row] = load_row(f, checked, s, row, column);
        if (f.flips)
            row_u8x32[row] = _mm256_xor_si256(row_u8x32[row], s->flip_u8x32);
    }
    if (f.lines == 1)
        row_u8x32[3] = row_u8x32[2];
    const __m256i low_u16x16 = _mm256_unpacklo_epi8(row_u8x32[0], row_u8x32[1]);
    const __m256i high_u16x16 = _mm256_unpackhi_epi8(row_u8x32[0], row_u8x32[1]);
    const __m256i next_low_u16x16 = _mm256_unpacklo_epi8(row_u8x32[2], row_u8x32[3]);
    const __m256i next_high_u16x16 = _mm256_unpackhi_epi8(row_u8x32[2], row_u8x32[3]);
    element_u8x32[0] = _mm256_unpacklo_epi16(low_u16x16, next_low_u16x16);
    element_u8x32[1] = _mm256_unpackhi_epi16(low_u16x16, next_low_u16x16);
    element_u8x32[2] = _mm256_unpacklo_epi16(high_u16x16, next_high_u16x16);
    element_u8x32[3] = _mm256_unpackhi_epi16(high_u16x16, next_high_u16x16);
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
                                  const __m256i column_u8x32[3][4]) {
    const int64_t tap_step = 4 * GROUP / f.parts;
    __m256i sum_i32x8 = load_parameters(f.parts, s->start, v);
#pragma GCC unroll 3
    for (int tap = 0; tap < 3; tap++)
        sum_i32x8 = _mm256_dpbusd_avx_epi32(sum_i32x8, column_u8x32[tap][v],
                                            load_parameters(f.parts, w + tap * tap_step, v));
    const __m256 multiplier_f32x8 = _mm256_castsi256_ps(load_parameters(f.parts, s->multiplier, v));
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sum_i32x8), multiplier_f32x8));
}

QL_INLINE void convolve_pixel(const form f, const int checked, const square *s, int line,
                              int64_t pixel, const __m256i column_u8x32[3][4]) {
    const __m256i first_i16x16 =
        _mm256_packs_epi32(convolve_vector(f, s, s->w[line], 0, column_u8x32),
                           convolve_vector(f, s, s->w[line], 1, column_u8x32));
    const __m256i second_i16x16 =
        _mm256_packs_epi32(convolve_vector(f, s, s->w[line], 2, column_u8x32),
                           convolve_vector(f, s, s->w[line], 3, column_u8x32));
    const __m256i codes_u8x32 = codes_of(&s->codes, first_i16x16, second_i16x16);
    uint8_t *y = s->y[line] + pixel * s->y_step;
    if (f.parts == 1) {
        _mm256_storeu_si256((__m256i *)y, codes_u8x32);
        return;
    }
    _mm_storeu_si128((__m128i *)y, _mm256_castsi256_si128(codes_u8x32));
    if (!checked || pixel + s->apart < s->pixels)
        _mm_storeu_si128((__m128i *)(y + s->apart * s->y_step),
                         _mm256_extracti128_si256(codes_u8x32, 1));
}

/* Column by column; the first two have the last ones of the pixel before. */
QL_INLINE void convolve_pixels(const form f, const int checked, const square *s, int64_t first,
                               int64_t last, __m256i column_u8x32[3][4]) {
    int64_t column = s->column + first * f.stride + 3 - f.stride;
    for (int64_t pixel = first; pixel < last; pixel++) {
        if (f.stride == 2)
            load_column(f, checked, s, column++, column_u8x32[1]);
        load_column(f, checked, s, column++, column_u8x32[2]);
#pragma GCC unroll 2
        for (int line = 0; line < f.lines; line++)
            convolve_pixel(f, checked, s, line, pixel, column_u8x32);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            column_u8x32[0][v] = f.stride == 1 ? column_u8x32[1][v] : column_u8x32[2][v];
            column_u8x32[1][v] = column_u8x32[2][v];
        }
    }
}

/* A line, of which only the pixels at the ends need to be checked. */
QL_INLINE void convolve_stretch(const form f, const square *s) {
    const int64_t pixels = s->apart, away = (f.parts - 1) * s->apart;
    const int64_t before = f.stride - 3 - s->column;
    const int64_t beyond = s->width - away * f.stride - s->column - 3;
    const int64_t begin = before > 0 ? ql_min(pixels, ql_ceil_div(before, f.stride)) : 0;
    const int64_t inside = beyond < 0 ? 0 : beyond / f.stride + 1;
    const int64_t end = ql_max(begin, ql_min(inside, ql_min(pixels, s->pixels - away)));
    __m256i column_u8x32[3][4];
    load_column(f, 1, s, s->column, column_u8x32[0]);
    if (f.stride == 1)
        load_column(f, 1, s, s->column + 1, column_u8x32[1]);
    if (begin > 0)
        convolve_pixels(f, 1, s, 0, begin, column_u8x32);
    convolve_pixels(f, 0, s, begin, end, column_u8x32);
    convolve_pixels(f, 1, s, end, pixels, column_u8x32);
}

QL_INLINE void convolve_lines(const int parts, const int flips, const ql_square *lines, square *s) {
    s->apart = (lines->pixels + parts - 1) / parts;
    if (lines->lines == 2)
        convolve_stretch((form){parts, 2, 1, flips}, s);
    else if (lines->stride == 1)
        convolve_stretch((form){parts, 1, 1, flips}, s);
    else
        convolve_stretch((form){parts, 1, 2, flips}, s);
}

QL_INLINE void convolve_square(const int flips, const ql_square *lines, const ql_codes *codes,
                               uint8_t *y, int64_t y_stride, int64_t y_line) {
    square s = {.width = lines->width,
                .column = lines->first,
                .pixels = lines->pixels,
                .y_step = y_stride,
                .codes = stage_of(codes),
                .flip_u8x32 = _mm256_set1_epi8((char)lines->flip),
                .code_u8x32 = _mm256_set1_epi8((char)(lines->zero ^ lines->flip))};
    for (int64_t channel = 0; channel < lines->channels; channel += GROUP) {
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
        if (lines->channels - channel >= GROUP)
            convolve_lines(1, flips, lines, &s);
        else
            convolve_lines(2, flips, lines, &s);
    }
}

void ql_avxvnni_depthwise_square(const ql_square *square, const ql_codes *codes, uint8_t *y,
                                 int64_t y_stride, int64_t y_line) {
    if (square->flip)
        convolve_square(1, square, codes, y, y_stride, y_line);
    else
        convolve_square(0, square, codes, y, y_stride, y_line);
}

QL_TARGET_END

#endif

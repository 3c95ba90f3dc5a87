/* Depthwise convolution of 3 x 3 for AVX-512 with VNNI, straight from the lines: see
 * csrc/depthwise.c.
 *
 * With stride 1, a kernel costs 12 vpdpbusd, 18 instructions for the codes and six for elements, of
 * twelve for two lines, for 64 outputs: two can start in a cycle. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "codes.h"
#include "elements.h"

enum { GROUP = 64, HALF = 32 };

/* What the pixels of a line are made from: a group of channels, or half a group of two pixels, the
 * second one `apart` pixels further. */
typedef struct {
    const ql_square *lines;
    int64_t channel, apart;
    stage codes;
    const char *w;
    const int32_t *start;
    const float *multiplier;
    __m512i flip_u8x64, code_u8x64; /* the byte of padding */
} square;

/* A group of a column of one row, or half of it and of the column that belongs to it. */
QL_INLINE __m512i load_row(const int half, const square *s, int row, int64_t column) {
    const ql_square *l = s->lines;
    const uint8_t *x = l->row[row] + s->channel * l->group_step[row] / GROUP;
    if (!half)
        return _mm512_loadu_si512(x + column * l->column_step[row]);
    const int64_t second = column + s->apart * l->stride;
    __m256i lower_u8x32 = _mm512_castsi512_si256(s->code_u8x64), upper_u8x32 = lower_u8x32;
    if (column >= 0 && column < l->width)
        lower_u8x32 = _mm256_loadu_si256((const __m256i *)(x + column * l->column_step[row]));
    if (second >= 0 && second < l->width)
        upper_u8x32 = _mm256_loadu_si256((const __m256i *)(x + second * l->column_step[row]));
    return _mm512_inserti64x4(_mm512_castsi256_si512(lower_u8x32), upper_u8x32, 1);
}

/* The elements of one column, which may be padding. */
QL_INLINE void load_column(const int half, const int rows, const int flips, const square *s,
                           int64_t column, __m512i element_u8x64[4]) {
    if (!half && (column < 0 || column >= s->lines->width)) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            element_u8x64[v] = _mm512_xor_si512(s->code_u8x64, s->flip_u8x64);
        return;
    }
    __m512i row_u8x64[4];
#pragma GCC unroll 4
    for (int row = 0; row < rows; row++)
        row_u8x64[row] = load_row(half, s, row, column);
    elements_of(rows, flips, row_u8x64, s->flip_u8x64, element_u8x64);
}

/* Vector number v of a group, or of half a group twice. */
QL_INLINE __m512i load_parameters(const int half, const void *from, int v) {
    if (!half)
        return _mm512_loadu_si512((const char *)from + 64 * v);
    return _mm512_broadcast_i64x4(
        _mm256_loadu_si256((const __m256i *)((const char *)from + 32 * v)));
}

/* The codes of a pixel, or of two, from the elements of three columns. */
QL_INLINE __m512i convolve_pixel(const int half, const int plain, const square *s, const char *w,
                                 const __m512i left_u8x64[4], const __m512i middle_u8x64[4],
                                 const __m512i right_u8x64[4]) {
    const __m512i in_order =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
    const int64_t tap = half ? 4 * HALF : 4 * GROUP;
    __m512i sum_i32x16[4];
    __m512 multiplier_f32x16[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        multiplier_f32x16[v] = _mm512_castsi512_ps(load_parameters(half, s->multiplier, v));
        sum_i32x16[v] = _mm512_dpbusd_epi32(load_parameters(half, s->start, v), left_u8x64[v],
                                            load_parameters(half, w, v));
        sum_i32x16[v] =
            _mm512_dpbusd_epi32(sum_i32x16[v], middle_u8x64[v], load_parameters(half, w + tap, v));
        sum_i32x16[v] = _mm512_dpbusd_epi32(sum_i32x16[v], right_u8x64[v],
                                            load_parameters(half, w + 2 * tap, v));
    }
    return _mm512_shuffle_epi8(codes_of(plain, &s->codes, sum_i32x16, multiplier_f32x16), in_order);
}

QL_INLINE void store_pixel(const int half, const square *s, int64_t pixel, __m512i codes_u8x64,
                           uint8_t *y, int64_t y_stride) {
    y += pixel * y_stride;
    if (!half) {
        _mm512_storeu_si512(y, codes_u8x64);
        return;
    }
    _mm256_storeu_si256((__m256i *)y, _mm512_castsi512_si256(codes_u8x64));
    if (pixel + s->apart < s->lines->pixels)
        _mm256_storeu_si256((__m256i *)(y + s->apart * y_stride),
                            _mm512_extracti64x4_epi64(codes_u8x64, 1));
}

/* Column by column: each is interleaved once for up to three pixels of two lines, and stays in
 * registers. */
QL_INLINE void convolve_pixels(const int half, const int lines, const int stride, const int plain,
                               const int flips, const square *s, uint8_t *y, int64_t y_stride,
                               int64_t y_line) {
    const int rows = lines + 2;
    const int64_t pixels = half ? s->apart : s->lines->pixels;
    int64_t column = s->lines->first;
    __m512i left_u8x64[4], middle_u8x64[4], right_u8x64[4];
    load_column(half, rows, flips, s, column++, left_u8x64);
    if (stride == 1)
        load_column(half, rows, flips, s, column++, middle_u8x64);
    for (int64_t p = 0; p < pixels; p++) {
        if (stride == 2)
            load_column(half, rows, flips, s, column++, middle_u8x64);
        load_column(half, rows, flips, s, column++, right_u8x64);
        store_pixel(half, s, p,
                    convolve_pixel(half, plain, s, s->w, left_u8x64, middle_u8x64, right_u8x64), y,
                    y_stride);
        if (lines == 2)
            store_pixel(half, s, p,
                        convolve_pixel(half, plain, s, s->w + s->lines->w_step, left_u8x64,
                                       middle_u8x64, right_u8x64),
                        y + y_line, y_stride);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            left_u8x64[v] = stride == 1 ? middle_u8x64[v] : right_u8x64[v];
            middle_u8x64[v] = right_u8x64[v];
        }
    }
}

QL_INLINE void convolve_group(const int half, const int plain, const int flips, const square *s,
                              uint8_t *y, int64_t y_stride, int64_t y_line) {
    if (s->lines->lines == 2)
        convolve_pixels(half, 2, 1, plain, flips, s, y, y_stride, y_line);
    else if (s->lines->stride == 1)
        convolve_pixels(half, 1, 1, plain, flips, s, y, y_stride, y_line);
    else
        convolve_pixels(half, 1, 2, plain, flips, s, y, y_stride, y_line);
}

QL_INLINE void convolve_square(const int plain, const int flips, const ql_square *lines,
                               const ql_codes *codes, uint8_t *y, int64_t y_stride,
                               int64_t y_line) {
    square s = {.lines = lines,
                .apart = (lines->pixels + 1) / 2,
                .codes = stage_of(codes),
                .flip_u8x64 = _mm512_set1_epi8((char)lines->flip),
                .code_u8x64 = _mm512_set1_epi8((char)(lines->zero ^ lines->flip))};
    for (; s.channel < lines->channels; s.channel += GROUP) {
        s.w = lines->w + s.channel * 3 * 4;
        s.start = lines->start + s.channel;
        s.multiplier = codes->multiplier + s.channel;
        if (lines->channels - s.channel >= GROUP)
            convolve_group(0, plain, flips, &s, y + s.channel, y_stride, y_line);
        else
            convolve_group(1, plain, flips, &s, y + s.channel, y_stride, y_line);
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

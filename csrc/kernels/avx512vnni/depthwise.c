/* Depthwise convolution for AVX-512 with VNNI: see csrc/depthwise.c.
 *
 *     sums[p][c] = start[c] + sum over planes, taps, i = 0..3 of x[plane][p + tap][c][i] * w[c][i]
 *
 * vpdpbusd multiplies the four bytes that a plane has for a channel and a column by four weights.
 *
 * Of a group of 64 channels, four pixels have 16 sums in registers; for each tap there are four
 * loads of weights, and 16 vpdpbusd that read the plane. Sums become codes where they are:
 * vcvtdq2ps, vmulps, vcvtps2dq, then packs with saturation. Half a group is done likewise, two
 * vectors and eight pixels at a time, and what is left in strips of 16.
 *
 * Packing the codes undoes the order of planes within lanes (elements.h). */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "codes.h"
#include "elements.h"
#include "group.h"
#include "lanes.h"

enum { GROUP = 64, HALF = 32 };

/* --- planes --------------------------------------------------------------------------------- */

/* A group of each column. */
QL_INLINE void interleave_groups(const int rows, const int flips, const uint8_t *const from[4],
                                 int64_t columns, int64_t step, __m512i flip_u8x64, char *to,
                                 int64_t to_step) {
    for (int64_t column = 0, at = 0; column < columns; column++, at += step, to += to_step) {
        __m512i row_u8x64[4], element_u8x64[4];
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++)
            row_u8x64[row] = _mm512_loadu_si512(from[row] + at);
        elements_of(rows, flips, row_u8x64, flip_u8x64, element_u8x64);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            _mm512_storeu_si512(to + 64 * v, element_u8x64[v]);
    }
}

/* Half a group of each column, two columns at a time; a last one with itself. */
QL_INLINE void interleave_halves(const int rows, const int flips, const uint8_t *const from[4],
                                 int64_t columns, int64_t step, __m512i flip_u8x64, char *to,
                                 int64_t to_step) {
    for (int64_t column = 0; column < columns; column += 2) {
        const int64_t at = column * step, next = column + 1 < columns;
        __m512i row_u8x64[4], element_u8x64[4];
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++)
            row_u8x64[row] = _mm512_inserti64x4(
                _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(from[row] + at))),
                _mm256_loadu_si256((const __m256i *)(from[row] + at + next * step)), 1);
        elements_of(rows, flips, row_u8x64, flip_u8x64, element_u8x64);
        char *second = to + (column + next) * to_step, *first = to + column * to_step;
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            _mm256_storeu_si256((__m256i *)(second + 32 * v),
                                _mm512_extracti64x4_epi64(element_u8x64[v], 1));
            _mm256_storeu_si256((__m256i *)(first + 32 * v),
                                _mm512_castsi512_si256(element_u8x64[v]));
        }
    }
}

/* A strip of each column, in its own order. */
QL_INLINE void interleave_strips(const int whole, const uint8_t *const from[4], int64_t columns,
                                 int64_t step, __mmask16 mask, __m512i flip_u8x64, char *to,
                                 int64_t to_step) {
    for (int64_t column = 0, at = 0; column < columns; column++, at += step, to += to_step) {
        __m128i row_u8x16[4];
#pragma GCC unroll 4
        for (int row = 0; row < 4; row++)
            row_u8x16[row] = whole ? _mm_loadu_si128((const __m128i *)(from[row] + at))
                                   : _mm_maskz_loadu_epi8(mask, from[row] + at);
        const __m512i strip_u8x64 =
            interleave_lanes(row_u8x16[0], row_u8x16[1], row_u8x16[2], row_u8x16[3]);
        _mm512_mask_storeu_epi32(to, mask, _mm512_xor_si512(strip_u8x64, flip_u8x64));
    }
}

/* Some columns at a time, so that what one stretch of channels has touched is still near when the
 * next one reads the rest of it. */
QL_INLINE void interleave_columns(const int rows, const int flips, const uint8_t *const *from,
                                  int64_t columns, int64_t channels, int64_t step, uint8_t flip,
                                  char *to) {
    enum { COLUMNS = 8 };
    const __m512i flip_u8x64 = _mm512_set1_epi8((char)flip);
    const int64_t to_step = 4 * channels;
    for (int64_t column = 0; column < columns; column += COLUMNS, to += COLUMNS * to_step) {
        const int64_t count = ql_min(COLUMNS, columns - column);
        for (int64_t c = 0, width; c < channels; c += width) {
            const int64_t i = column * step + c;
            const uint8_t *const at[4] = {from[0] + i, from[1] + i, from[2] + i, from[3] + i};
            width = channels - c >= GROUP ? GROUP : channels - c >= HALF ? HALF : QL_STRIP;
            const __mmask16 mask = first(channels - c);
            if (width == GROUP)
                interleave_groups(rows, flips, at, count, step, flip_u8x64, to + 4 * c, to_step);
            else if (width == HALF)
                interleave_halves(rows, flips, at, count, step, flip_u8x64, to + 4 * c, to_step);
            else if (mask == 0xFFFF)
                interleave_strips(1, at, count, step, mask, flip_u8x64, to + 4 * c, to_step);
            else
                interleave_strips(0, at, count, step, mask, flip_u8x64, to + 4 * c, to_step);
        }
    }
}

void ql_avx512vnni_interleave(const uint8_t *const *rows, int64_t columns, int64_t channels,
                              int64_t step, uint8_t flip, void *to) {
    const uint8_t *from[4] = {rows[0], rows[0], rows[0], rows[0]};
    for (int row = 1; row < 4; row++)
        if (rows[row] != NULL)
            from[row] = rows[row];
    if (rows[3] == NULL && flip)
        interleave_columns(3, 1, from, columns, channels, step, flip, to);
    else if (rows[3] == NULL)
        interleave_columns(3, 0, from, columns, channels, step, flip, to);
    else if (flip)
        interleave_columns(4, 1, from, columns, channels, step, flip, to);
    else
        interleave_columns(4, 0, from, columns, channels, step, flip, to);
}

/* --- sums ----------------------------------------------------------------------------------- */

/* sum_i32x16[pixel][vector], of `vectors` vectors of channels for `pixels` pixels from x on. */
QL_INLINE void sum_pixels(const int vectors, const int pixels, const ql_line *line, const char *x,
                          const char *w, const int32_t *start, __m512i *sum_i32x16) {
    const int64_t pixel_step = line->pixel_step, tap_step = line->tap_step;
    const int64_t plane_step = line->plane_step, planes = line->planes, taps = line->taps;
#pragma GCC unroll 8
    for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum_i32x16[p * vectors + v] = _mm512_loadu_si512(start + 16 * v);
    for (int64_t repeat = 0; repeat < line->repeats; repeat++)
        for (int64_t i = 0; i < planes; i++) {
            const char *tap = x + i * plane_step;
            for (int64_t j = 0; j < taps; j++, tap += tap_step, w += 64 * vectors) {
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) {
                    const __m512i w_i8x64 = _mm512_loadu_si512(w + 64 * v);
#pragma GCC unroll 8
                    for (int p = 0; p < pixels; p++)
                        sum_i32x16[p * vectors + v] = _mm512_dpbusd_epi32(
                            sum_i32x16[p * vectors + v],
                            _mm512_loadu_si512(tap + p * pixel_step + 64 * v), w_i8x64);
                    QL_LOADS_IN_ORDER;
                }
            }
        }
}

/* --- outputs -------------------------------------------------------------------------------- */

/* A pixel's sums in the order of channels. */
QL_INLINE void store_sums(const int vectors, int32_t *sums, __mmask16 mask,
                          const __m512i sum_i32x16[4]) {
    if (vectors == 1) {
        _mm512_mask_storeu_epi32(sums, mask, sum_i32x16[0]);
        return;
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
        if (vectors == 4) { /* lanes are strips */
            int32_t *to = sums + 4 * v;
            store_lanes(sum_i32x16[v], to, to + 16, to + 32, to + 48);
        } else { /* two strips, then the four channels after those */
            int32_t *to = sums + 8 * v;
            store_lanes(sum_i32x16[v], to, to + 16, to + 4, to + 20);
        }
    }
}

QL_INLINE void sum_stretch(const int vectors, const ql_line *line, int64_t c, int32_t *sums,
                           int64_t sums_stride) {
    enum { PIXELS = 4 };
    const int64_t depth = line->repeats * line->planes * line->taps;
    __m512i sum_i32x16[PIXELS][vectors];
    for (int64_t p = 0; p < line->pixels; p += PIXELS) {
        sum_pixels(vectors, PIXELS, line, line->x + 4 * c + p * line->pixel_step,
                   line->w + 4 * c * depth, line->start + c, &sum_i32x16[0][0]);
#pragma GCC unroll 4
        for (int i = 0; i < PIXELS; i++)
            if (p + i < line->pixels)
                store_sums(vectors, sums + (p + i) * sums_stride + c, first(line->channels - c),
                           sum_i32x16[i]);
    }
}

void ql_avx512vnni_depthwise(const ql_line *line, int32_t *sums, int64_t sums_stride) {
    int64_t c = 0;
    for (; c + GROUP <= line->channels; c += GROUP)
        sum_stretch(4, line, c, sums, sums_stride);
    for (; c + HALF <= line->channels; c += HALF)
        sum_stretch(2, line, c, sums, sums_stride);
    for (; c < line->channels; c += QL_STRIP)
        sum_stretch(1, line, c, sums, sums_stride);
}

/* Up to `most` pixels of a group, whose codes begin at `codes`. */
QL_INLINE void store_group(const int way, const int most, const stage *s, const ql_codes *codes,
                           int64_t pixels, uint8_t *y, int64_t y_stride, __m512i sum_i32x16[4][4]) {
    const factors by[4] = {factors_at(way, codes, 0), factors_at(way, codes, 16),
                           factors_at(way, codes, 32), factors_at(way, codes, 48)};
#pragma GCC unroll 4
    for (int p = 0; p < most; p++)
        if (p < pixels)
            _mm512_storeu_si512(y + p * y_stride, codes_of(way, s, sum_i32x16[p], by));
}

/* Eight pixels of half a group. */
QL_INLINE void store_half(const int way, const stage *s, const ql_codes *codes, int64_t pixels,
                          uint8_t *y, int64_t y_stride, const __m512i sum_i32x16[8][2]) {
    const __m512i by_pixel =
        _mm512_setr_epi32(0, 8, 1, 9, 4, 12, 5, 13, 2, 10, 3, 11, 6, 14, 7, 15);
    const factors first_by = factors_at(way, codes, 0), second_by = factors_at(way, codes, 16);
    const factors by[4] = {first_by, second_by, first_by, second_by};
#pragma GCC unroll 4
    for (int p = 0; p < 8; p += 2) {
        const __m512i two_i32x16[4] = {sum_i32x16[p][0], sum_i32x16[p][1], sum_i32x16[p + 1][0],
                                       sum_i32x16[p + 1][1]};
        const __m512i codes_u8x64 =
            _mm512_permutexvar_epi32(by_pixel, codes_of(way, s, two_i32x16, by));
        if (p < pixels)
            _mm256_storeu_si256((__m256i *)(y + p * y_stride), _mm512_castsi512_si256(codes_u8x64));
        if (p + 1 < pixels)
            _mm256_storeu_si256((__m256i *)(y + (p + 1) * y_stride),
                                _mm512_extracti64x4_epi64(codes_u8x64, 1));
    }
}

/* Eight pixels of a strip. */
QL_INLINE void store_strip(const int way, const stage *s, const ql_codes *codes, __mmask16 mask,
                           int64_t pixels, uint8_t *y, int64_t y_stride,
                           const __m512i sum_i32x16[8][1]) {
    const __m512i by_pixel =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const factors same_by = factors_at(way, codes, 0);
    const factors by[4] = {same_by, same_by, same_by, same_by};
#pragma GCC unroll 2
    for (int first = 0; first < 8; first += 4) {
        const __m512i four_i32x16[4] = {sum_i32x16[first][0], sum_i32x16[first + 1][0],
                                        sum_i32x16[first + 2][0], sum_i32x16[first + 3][0]};
        const __m512i codes_u8x64 =
            _mm512_permutexvar_epi32(by_pixel, codes_of(way, s, four_i32x16, by));
        const __m128i codes_u8x16[4] = {
            _mm512_castsi512_si128(codes_u8x64), _mm512_extracti32x4_epi32(codes_u8x64, 1),
            _mm512_extracti32x4_epi32(codes_u8x64, 2), _mm512_extracti32x4_epi32(codes_u8x64, 3)};
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++)
            if (first + p < pixels)
                _mm_mask_storeu_epi8(y + (first + p) * y_stride, mask, codes_u8x16[p]);
    }
}

/* A group of channels or fewer, whose codes begin at `codes`. */
QL_INLINE void convolve_stretch(const int way, const ql_line *line, int64_t c, const stage *s,
                                const ql_codes *codes, uint8_t *y, int64_t y_stride) {
    const int64_t depth = line->repeats * line->planes * line->taps, step = line->pixel_step;
    const int64_t left = line->channels - c, pixels = line->pixels;
    const char *x = line->x + 4 * c, *w = line->w + 4 * c * depth;
    const int32_t *start = line->start + c;
    y += c;
    if (left >= GROUP) {
        __m512i sum_i32x16[4][4];
        int64_t p = 0;
        for (; p + 2 < pixels; p += 4) {
            sum_pixels(4, 4, line, x + p * step, w, start, &sum_i32x16[0][0]);
            store_group(way, 4, s, codes, pixels - p, y + p * y_stride, y_stride, sum_i32x16);
        }
        if (p < pixels) {
            sum_pixels(4, 2, line, x + p * step, w, start, &sum_i32x16[0][0]);
            store_group(way, 2, s, codes, pixels - p, y + p * y_stride, y_stride, sum_i32x16);
        }
    } else if (left >= HALF) {
        for (int64_t p = 0; p < pixels; p += 8) {
            __m512i sum_i32x16[8][2];
            sum_pixels(2, 8, line, x + p * step, w, start, &sum_i32x16[0][0]);
            store_half(way, s, codes, pixels - p, y + p * y_stride, y_stride, sum_i32x16);
        }
    } else {
        for (int64_t p = 0; p < pixels; p += 8) {
            __m512i sum_i32x16[8][1];
            sum_pixels(1, 8, line, x + p * step, w, start, &sum_i32x16[0][0]);
            store_strip(way, s, codes, first(left), pixels - p, y + p * y_stride, y_stride,
                        sum_i32x16);
        }
    }
}

void ql_avx512vnni_depthwise_codes(const ql_line *line, const ql_codes *codes, uint8_t *y,
                                   int64_t y_stride) {
    const stage s = stage_of(codes);
    for (int64_t c = 0, width; c < line->channels; c += width) {
        const int64_t left = line->channels - c;
        width = left >= GROUP ? GROUP : left >= HALF ? HALF : QL_STRIP;
        const ql_codes from = ql_codes_from(codes, c);
        const int way = way_of(&from);
        if (way == FUSED_PLAINLY)
            convolve_stretch(FUSED_PLAINLY, line, c, &s, &from, y, y_stride);
        else if (way == FUSED)
            convolve_stretch(FUSED, line, c, &s, &from, y, y_stride);
        else
            convolve_stretch(CONVERTED, line, c, &s, &from, y, y_stride);
    }
}

QL_TARGET_END

#endif

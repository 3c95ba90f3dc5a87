/* Convolutions of narrow groups for AVX-512 with VNNI: see csrc/grouped.c.
 *
 *     sums[p][4 * e + j] = start[j][e]
 *                        + sum over taps, turns, i = 0..3 of turned x[p + tap][e][i] * w[j][e][i]
 *
 * Four pixels have 16 vectors of sums. For each tap and turn there are four loads of weights and 16
 * vpdpbusd; elements are turned within groups by one vpshufd for each pixel. Of four pixels the
 * last ones may be those of four before, too. Packing the codes leaves the four outputs of an
 * element in one lane, which a vpshufb puts side by side.
 *
 * For 64 outputs of groups of four, 3 x 3 taps cost 36 vpdpbusd and 18 instructions for the codes,
 * of which two can start in a cycle; groups of eight take 72 and nine more to turn elements, groups
 * of 16 144 and 27. */
#include "../target.h"

#if QL_BUILDS_AVX512VNNI

#include "kernels.h"

QL_TARGET_BEGIN_AVX512VNNI

#include "codes.h"
#include "lanes.h"

enum { PIXELS = 4, CHANNELS = 64 };

/* Each element becomes the one `turn` further within its group of `turns`. */
QL_INLINE __m512i turned(const int turns, const int turn, __m512i x_u8x64) {
    if (turn == 0)
        return x_u8x64;
    if (turns == 2)
        return _mm512_shuffle_epi32(x_u8x64, (_MM_PERM_ENUM)0xB1);
    return turn == 1   ? _mm512_shuffle_epi32(x_u8x64, (_MM_PERM_ENUM)0x39)
           : turn == 2 ? _mm512_shuffle_epi32(x_u8x64, (_MM_PERM_ENUM)0x4E)
                       : _mm512_shuffle_epi32(x_u8x64, (_MM_PERM_ENUM)0x93);
}

/* The sums of four pixels from x on. */
QL_INLINE void sum_pixels(const int turns, const ql_grouped_line *line, const char *x,
                          __m512i sum_i32x16[PIXELS][4]) {
    const int64_t step = line->pixel_step;
    const char *w = line->w;
#pragma GCC unroll 4
    for (int p = 0; p < PIXELS; p++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum_i32x16[p][j] = _mm512_loadu_si512(line->start + 16 * j);
    for (int64_t tap = 0; tap < line->taps; tap++) {
        const char *at = x + line->offsets[tap];
        const __m512i x_u8x64[PIXELS] = {_mm512_loadu_si512(at), _mm512_loadu_si512(at + step),
                                         _mm512_loadu_si512(at + 2 * step),
                                         _mm512_loadu_si512(at + 3 * step)};
#pragma GCC unroll 4
        for (int turn = 0; turn < turns; turn++) {
            const __m512i turned_u8x64[PIXELS] = {
                turned(turns, turn, x_u8x64[0]), turned(turns, turn, x_u8x64[1]),
                turned(turns, turn, x_u8x64[2]), turned(turns, turn, x_u8x64[3])};
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++, w += 64) {
                const __m512i w_i8x64 = _mm512_loadu_si512(w);
#pragma GCC unroll 4
                for (int p = 0; p < PIXELS; p++)
                    sum_i32x16[p][j] =
                        _mm512_dpbusd_epi32(sum_i32x16[p][j], turned_u8x64[p], w_i8x64);
            }
        }
    }
}

QL_INLINE void store_sums(int32_t *sums, const __m512i sum_i32x16[4]) {
    const __m512i a = _mm512_unpacklo_epi32(sum_i32x16[0], sum_i32x16[1]);
    const __m512i b = _mm512_unpackhi_epi32(sum_i32x16[0], sum_i32x16[1]);
    const __m512i c = _mm512_unpacklo_epi32(sum_i32x16[2], sum_i32x16[3]);
    const __m512i d = _mm512_unpackhi_epi32(sum_i32x16[2], sum_i32x16[3]);
    store_lanes(_mm512_unpacklo_epi64(a, c), sums, sums + 16, sums + 32, sums + 48);
    store_lanes(_mm512_unpackhi_epi64(a, c), sums + 4, sums + 20, sums + 36, sums + 52);
    store_lanes(_mm512_unpacklo_epi64(b, d), sums + 8, sums + 24, sums + 40, sums + 56);
    store_lanes(_mm512_unpackhi_epi64(b, d), sums + 12, sums + 28, sums + 44, sums + 60);
}

/* A last four pixels overlap those before; if there are fewer, the first `count` of them count. */
QL_INLINE void sum_line(const int turns, const ql_grouped_line *line, int32_t *sums) {
    const int64_t last = ql_max(line->pixels - PIXELS, 0);
    for (int64_t i = 0; i < line->pixels; i += PIXELS) {
        const int64_t pixel = ql_min(i, last);
        __m512i sum_i32x16[PIXELS][4];
        sum_pixels(turns, line, line->x + pixel * line->pixel_step, sum_i32x16);
#pragma GCC unroll 4
        for (int p = 0; p < PIXELS; p++)
            if (pixel + p < line->pixels)
                store_sums(sums + (pixel + p) * CHANNELS, sum_i32x16[p]);
    }
}

QL_INLINE void convolve_line(const int turns, const int way, const ql_grouped_line *line,
                             const ql_codes *codes, uint8_t *y, int64_t y_stride) {
    const int64_t last = ql_max(line->pixels - PIXELS, 0);
    const stage s = stage_of(codes);
    const __mmask64 channels = first_bytes(line->channels);
    const __m512i in_order =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const factors by[4] = {factors_at(way, codes, 0), factors_at(way, codes, 16),
                           factors_at(way, codes, 32), factors_at(way, codes, 48)};
    for (int64_t i = 0; i < line->pixels; i += PIXELS) {
        const int64_t pixel = ql_min(i, last);
        __m512i sum_i32x16[PIXELS][4];
        sum_pixels(turns, line, line->x + pixel * line->pixel_step, sum_i32x16);
#pragma GCC unroll 4
        for (int p = 0; p < PIXELS; p++)
            if (pixel + p < line->pixels)
                _mm512_mask_storeu_epi8(
                    y + (pixel + p) * y_stride, channels,
                    _mm512_shuffle_epi8(codes_of(way, &s, sum_i32x16[p], by), in_order));
    }
}

QL_INLINE void take_line(const int turns, const ql_grouped_line *line, int32_t *sums,
                         const ql_codes *codes, uint8_t *y, int64_t y_stride) {
    if (codes == NULL)
        sum_line(turns, line, sums);
    else if (way_of(codes) == CONVERTED_PLAINLY)
        convolve_line(turns, CONVERTED_PLAINLY, line, codes, y, y_stride);
    else
        convolve_line(turns, CONVERTED, line, codes, y, y_stride);
}

void ql_avx512vnni_grouped(const ql_grouped_line *line, int32_t *sums, const ql_codes *codes,
                           uint8_t *y, int64_t y_stride) {
    if (line->turns == 1)
        take_line(1, line, sums, codes, y, y_stride);
    else if (line->turns == 2)
        take_line(2, line, sums, codes, y, y_stride);
    else
        take_line(4, line, sums, codes, y, y_stride);
}

QL_TARGET_END

#endif

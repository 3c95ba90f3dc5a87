/* Depthwise convolution for NEON with dot products, of planes of four lines: see csrc/depthwise.c.
 *
 *     sums[p][c] = start[c] + sum over planes, taps, i = 0..3 of x[plane][p + tap][c][i] * w[c][i]
 *
 * st4 interleaves the lines, as numbers -128 to 127; sdot multiplies the four bytes of a channel by
 * four weights and adds the exact sum. A strip of four pixels has 16 sums of four channels, so that
 * weights are loaded once for four. Cost of four taps of 16 outputs: four sdot, and the loads. */
#include "../target.h"

#if QL_BUILDS_NEONDOT

#include "kernels.h"

QL_TARGET_BEGIN_NEONDOT

#include "../neon/codes.h"

enum { PIXELS = 4 };

void ql_neondot_interleave(const uint8_t *const *rows, int64_t columns, int64_t channels,
                           int64_t step, uint8_t flip, void *to) {
    const uint8x16_t flip_u8x16 = vdupq_n_u8(flip);
    const uint8_t *from[4];
    uint8_t *element = to;
    for (int row = 0; row < 4; row++)
        from[row] = rows[rows[row] == NULL ? 0 : row];
    for (int64_t column = 0, at = 0; column < columns; column++, at += step) {
        int64_t c = 0;
        for (; c + 16 <= channels; c += 16, element += 64) {
            uint8x16x4_t all_u8x16;
#pragma GCC unroll 4
            for (int row = 0; row < 4; row++)
                all_u8x16.val[row] = veorq_u8(vld1q_u8(from[row] + at + c), flip_u8x16);
            vst4q_u8(element, all_u8x16);
        }
        for (; c < channels; c++)
            for (int row = 0; row < 4; row++)
                *element++ = from[row][at + c] ^ flip;
    }
}

/* The sums of the strip of channels from c on, of four pixels. */
QL_INLINE void sum_strip(const ql_line *line, int64_t c, int64_t pixel,
                         int32x4_t sum_i32x4[PIXELS][4]) {
    const char *plane = line->x + 4 * c + pixel * line->pixel_step;
    const int8_t *w = (const int8_t *)line->w + 4 * c * line->repeats * line->planes * line->taps;
#pragma GCC unroll 4
    for (int p = 0; p < PIXELS; p++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            sum_i32x4[p][i] = vld1q_s32(line->start + c + 4 * i);
    for (int64_t i = 0; i < line->repeats * line->planes; i++) {
        const char *tap = plane + i % line->planes * line->plane_step;
        for (int64_t j = 0; j < line->taps; j++, tap += line->tap_step, w += 4 * QL_STRIP)
#pragma GCC unroll 4
            for (int part = 0; part < 4; part++) {
                const int8x16_t w_i8x16 = vld1q_s8(w + 16 * part);
#pragma GCC unroll 4
                for (int p = 0; p < PIXELS; p++)
                    sum_i32x4[p][part] = vdotq_s32(
                        sum_i32x4[p][part],
                        vld1q_s8((const int8_t *)tap + p * line->pixel_step + 16 * part), w_i8x16);
            }
    }
}

void ql_neondot_depthwise(const ql_line *line, int32_t *sums, int64_t sums_stride) {
    for (int64_t c = 0; c < line->channels; c += QL_STRIP)
        for (int64_t p = 0; p < line->pixels; p += PIXELS) {
            int32x4_t sum_i32x4[PIXELS][4];
            sum_strip(line, c, p, sum_i32x4);
            for (int64_t i = 0; i < ql_min(PIXELS, line->pixels - p); i++)
                memcpy(sums + (p + i) * sums_stride + c, sum_i32x4[i],
                       (size_t)ql_min(QL_STRIP, line->channels - c) * sizeof *sums);
        }
}

void ql_neondot_depthwise_codes(const ql_line *line, const ql_codes *codes, uint8_t *y,
                                int64_t y_stride) {
    for (int64_t c = 0; c < line->channels; c += QL_STRIP)
        for (int64_t p = 0; p < line->pixels; p += PIXELS) {
            int32x4_t sum_i32x4[PIXELS][4];
            sum_strip(line, c, p, sum_i32x4);
            for (int64_t i = 0; i < ql_min(PIXELS, line->pixels - p); i++)
                store_codes(codes, sum_i32x4[i], codes->multiplier + c, line->channels - c,
                            y + (p + i) * y_stride + c);
        }
}

QL_TARGET_END

#endif

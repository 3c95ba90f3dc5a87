/* Depthwise convolution for NEON, of planes of two lines as int16: see csrc/depthwise.c.
 *
 *     sums[p][c] = start[c] + sum over planes, taps, i = 0, 1 of x[plane][p + tap][c][i] * w[c][i]
 *
 * st2 interleaves the lines, widened to 16 bits, and ld2 takes them apart again, so that smlal adds
 * the products of one line after the other. A strip of a pixel is four sums of four channels. Cost
 * of two taps of 16 outputs: 8 smlal, and the loads. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "kernels.h"

#include "codes.h"

void ql_neon_interleave(const uint8_t *const *rows, int64_t columns, int64_t channels, int64_t step,
                        uint8_t flip, void *to) {
    const uint8x8_t flip_u8x8 = vdup_n_u8(flip);
    const uint8_t *first = rows[0], *second = rows[rows[1] != NULL];
    uint16_t *element = to;
    for (int64_t column = 0; column < columns; column++, first += step, second += step) {
        int64_t c = 0;
        for (; c + 8 <= channels; c += 8, element += 16) {
            uint16x8x2_t both_u16x8;
            both_u16x8.val[0] = vmovl_u8(veor_u8(vld1_u8(first + c), flip_u8x8));
            both_u16x8.val[1] = vmovl_u8(veor_u8(vld1_u8(second + c), flip_u8x8));
            vst2q_u16(element, both_u16x8);
        }
        for (; c < channels; c++) {
            *element++ = first[c] ^ flip;
            *element++ = second[c] ^ flip;
        }
    }
}

/* The sums of the strip of channels from c on, of one pixel. */
QL_INLINE void sum_strip(const ql_line *line, int64_t c, int64_t pixel, int32x4_t sum_i32x4[4]) {
    const char *plane = line->x + 4 * c + pixel * line->pixel_step;
    const int16_t *w =
        (const int16_t *)(line->w + 4 * c * line->repeats * line->planes * line->taps);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        sum_i32x4[i] = vld1q_s32(line->start + c + 4 * i);
    for (int64_t i = 0; i < line->repeats * line->planes; i++) {
        const char *tap = plane + i % line->planes * line->plane_step;
        for (int64_t j = 0; j < line->taps; j++, tap += line->tap_step, w += 2 * QL_STRIP)
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                const int16x8x2_t x_i16x8 = vld2q_s16((const int16_t *)tap + 16 * half);
                const int16x8x2_t w_i16x8 = vld2q_s16(w + 16 * half);
#pragma GCC unroll 2
                for (int row = 0; row < 2; row++) {
                    sum_i32x4[2 * half] =
                        vmlal_s16(sum_i32x4[2 * half], vget_low_s16(x_i16x8.val[row]),
                                  vget_low_s16(w_i16x8.val[row]));
                    sum_i32x4[2 * half + 1] =
                        vmlal_high_s16(sum_i32x4[2 * half + 1], x_i16x8.val[row], w_i16x8.val[row]);
                }
            }
    }
}

void ql_neon_depthwise(const ql_line *line, int32_t *sums, int64_t sums_stride) {
    for (int64_t c = 0; c < line->channels; c += QL_STRIP)
        for (int64_t p = 0; p < line->pixels; p++) {
            int32x4_t sum_i32x4[4];
            sum_strip(line, c, p, sum_i32x4);
            memcpy(sums + p * sums_stride + c, sum_i32x4,
                   (size_t)ql_min(QL_STRIP, line->channels - c) * sizeof *sums);
        }
}

void ql_neon_depthwise_codes(const ql_line *line, const ql_codes *codes, uint8_t *y,
                             int64_t y_stride) {
    for (int64_t c = 0; c < line->channels; c += QL_STRIP)
        for (int64_t p = 0; p < line->pixels; p++) {
            int32x4_t sum_i32x4[4];
            sum_strip(line, c, p, sum_i32x4);
            store_codes(codes, sum_i32x4, codes->multiplier + c, line->channels - c,
                        y + p * y_stride + c);
        }
}

#endif

/* Convolutions of narrow groups for NEON with dot products: see csrc/grouped.c.
 *
 *     sums[p][4 * e + j] = start[j][e]
 *                        + sum over taps, turns, i = 0..3 of turned x[p + tap][e][i] * w[j][e][i]
 *
 * A quarter of the 64 channels of a pixel is a vector of four elements, as numbers -128 to 127, and
 * has four vectors of sums; four pixels have 16, and each load of weights serves all of them. For
 * 16 outputs of groups of four, 3 x 3 taps cost 36 sdot. */
#include "../target.h"

#if QL_BUILDS_NEONDOT

#include "kernels.h"

QL_TARGET_BEGIN_NEONDOT

#include "../neon/codes.h"

enum { PIXELS = 4, CHANNELS = 64, QUARTER = 16, VECTOR_STEP = 64 };

/* Each element becomes the next one of its group of `turns`. */
QL_INLINE int8x16_t turned(const int turns, int8x16_t x_i8x16) {
    if (turns == 2)
        return vreinterpretq_s8_s32(vrev64q_s32(vreinterpretq_s32_s8(x_i8x16)));
    return vextq_s8(x_i8x16, x_i8x16, 4);
}

/* The sums of four pixels from x on, of the quarter whose weights begin at w. */
QL_INLINE void sum_pixels(const int turns, const ql_grouped_line *line, const char *x,
                          const char *w, const int32_t *start, int32x4_t sum_i32x4[PIXELS][4]) {
    const int64_t step = line->pixel_step;
#pragma GCC unroll 4
    for (int p = 0; p < PIXELS; p++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum_i32x4[p][j] = vld1q_s32(start + 16 * j);
    for (int64_t tap = 0; tap < line->taps; tap++) {
        const int8_t *at = (const int8_t *)x + line->offsets[tap];
        int8x16_t x_i8x16[PIXELS];
#pragma GCC unroll 4
        for (int p = 0; p < PIXELS; p++)
            x_i8x16[p] = vld1q_s8(at + p * step);
#pragma GCC unroll 4
        for (int turn = 0; turn < turns; turn++) {
#pragma GCC unroll 4
            for (int p = 0; turn > 0 && p < PIXELS; p++)
                x_i8x16[p] = turned(turns, x_i8x16[p]);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++, w += VECTOR_STEP) {
                const int8x16_t w_i8x16 = vld1q_s8((const int8_t *)w);
#pragma GCC unroll 4
                for (int p = 0; p < PIXELS; p++)
                    sum_i32x4[p][j] = vdotq_s32(sum_i32x4[p][j], x_i8x16[p], w_i8x16);
            }
        }
    }
}

/* A last four pixels overlap those before; if there are fewer, the first ones of them count. */
QL_INLINE void convolve_quarter(const int turns, const ql_grouped_line *line, int64_t quarter,
                                int32_t *sums, const ql_codes *codes, uint8_t *y,
                                int64_t y_stride) {
    const int64_t last = ql_max(line->pixels - PIXELS, 0);
    for (int64_t i = 0; i < line->pixels; i += PIXELS) {
        const int64_t first = ql_min(i, last);
        int32x4_t sum_i32x4[PIXELS][4];
        sum_pixels(turns, line, line->x + quarter + first * line->pixel_step, line->w + quarter,
                   line->start + quarter / 4, sum_i32x4);
        for (int64_t p = 0; p < PIXELS && first + p < line->pixels; p++) {
            const int64_t pixel = first + p;
            if (codes == NULL) /* the four outputs of an element, side by side */
                vst4q_s32(sums + pixel * CHANNELS + quarter,
                          (int32x4x4_t){{sum_i32x4[p][0], sum_i32x4[p][1], sum_i32x4[p][2],
                                         sum_i32x4[p][3]}});
            else
                store_first(
                    woven(codes_by(codes, sum_i32x4[p], codes->multiplier + quarter / 4, 16)),
                    line->channels - quarter, y + pixel * y_stride + quarter);
        }
    }
}

QL_INLINE void convolve_groups(const int turns, const ql_grouped_line *line, int32_t *sums,
                               const ql_codes *codes, uint8_t *y, int64_t y_stride) {
    for (int64_t quarter = 0; quarter < line->channels; quarter += QUARTER)
        convolve_quarter(turns, line, quarter, sums, codes, y, y_stride);
}

void ql_neondot_grouped(const ql_grouped_line *line, int32_t *sums, const ql_codes *codes,
                        uint8_t *y, int64_t y_stride) {
    if (line->turns == 1)
        convolve_groups(1, line, sums, codes, y, y_stride);
    else if (line->turns == 2)
        convolve_groups(2, line, sums, codes, y, y_stride);
    else
        convolve_groups(4, line, sums, codes, y, y_stride);
}

QL_TARGET_END

#endif

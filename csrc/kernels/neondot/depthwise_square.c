/* Depthwise convolution of 3 x 3 for NEON with dot products, straight from the lines: see
 * csrc/depthwise.c.
 *
 * Column by column, four lines of a strip of 16 channels become four vectors of elements, which
 * stay in registers for the pixels that see them: twelve registers hold the three columns of a
 * pixel. 32 outputs, of two lines, cost 24 sdot and eight instructions for the elements. */
#include "../target.h"

#if QL_BUILDS_NEONDOT

#include "kernels.h"

QL_TARGET_BEGIN_NEONDOT

#include "../neon/codes.h"

/* A strip of the lines. */
typedef struct {
    const ql_square *lines;
    const ql_codes *codes;
    const uint8_t *row[4];
    const int8_t *w[2];
    const int32_t *start;
    const float *multiplier;
    uint8_t *y[2];
    int64_t y_step;
} square;

/* The elements of a column, which may be padding. Of three rows, the last byte is of no matter. */
QL_INLINE void load_column(const int rows, const square *s, int64_t column,
                           int8x16_t element_i8x16[4]) {
    const ql_square *l = s->lines;
    const uint8x16_t flip_u8x16 = vdupq_n_u8(l->flip);
    if (column < 0 || column >= l->width) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            element_i8x16[v] = vreinterpretq_s8_u8(vdupq_n_u8(l->zero));
        return;
    }
    uint8x16_t row_u8x16[4];
#pragma GCC unroll 4
    for (int row = 0; row < rows; row++)
        row_u8x16[row] = veorq_u8(vld1q_u8(s->row[row] + column * l->step), flip_u8x16);
    if (rows == 3)
        row_u8x16[3] = row_u8x16[2];
    const uint16x8_t low_u16x8 = vreinterpretq_u16_u8(vzip1q_u8(row_u8x16[0], row_u8x16[1]));
    const uint16x8_t high_u16x8 = vreinterpretq_u16_u8(vzip2q_u8(row_u8x16[0], row_u8x16[1]));
    const uint16x8_t next_low_u16x8 = vreinterpretq_u16_u8(vzip1q_u8(row_u8x16[2], row_u8x16[3]));
    const uint16x8_t next_high_u16x8 = vreinterpretq_u16_u8(vzip2q_u8(row_u8x16[2], row_u8x16[3]));
    element_i8x16[0] = vreinterpretq_s8_u16(vzip1q_u16(low_u16x8, next_low_u16x8));
    element_i8x16[1] = vreinterpretq_s8_u16(vzip2q_u16(low_u16x8, next_low_u16x8));
    element_i8x16[2] = vreinterpretq_s8_u16(vzip1q_u16(high_u16x8, next_high_u16x8));
    element_i8x16[3] = vreinterpretq_s8_u16(vzip2q_u16(high_u16x8, next_high_u16x8));
}

QL_INLINE void convolve_pixel(const square *s, int line, int64_t pixel,
                              const int8x16_t column_i8x16[3][4]) {
    int32x4_t sum_i32x4[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        sum_i32x4[v] = vld1q_s32(s->start + 4 * v);
#pragma GCC unroll 3
        for (int tap = 0; tap < 3; tap++)
            sum_i32x4[v] = vdotq_s32(sum_i32x4[v], column_i8x16[tap][v],
                                     vld1q_s8(s->w[line] + 4 * QL_STRIP * tap + 16 * v));
    }
    vst1q_u8(s->y[line] + pixel * s->y_step, codes_by(s->codes, sum_i32x4, s->multiplier, 4));
}

QL_INLINE void convolve_pixels(const int lines, const int stride, const square *s) {
    int64_t column = s->lines->first;
    int8x16_t column_i8x16[3][4];
    load_column(lines + 2, s, column++, column_i8x16[0]);
    if (stride == 1)
        load_column(lines + 2, s, column++, column_i8x16[1]);
    for (int64_t pixel = 0; pixel < s->lines->pixels; pixel++) {
        if (stride == 2)
            load_column(lines + 2, s, column++, column_i8x16[1]);
        load_column(lines + 2, s, column++, column_i8x16[2]);
#pragma GCC unroll 2
        for (int line = 0; line < lines; line++)
            convolve_pixel(s, line, pixel, column_i8x16);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            column_i8x16[0][v] = stride == 1 ? column_i8x16[1][v] : column_i8x16[2][v];
            column_i8x16[1][v] = column_i8x16[2][v];
        }
    }
}

void ql_neondot_depthwise_square(const ql_square *lines, const ql_codes *codes, uint8_t *y,
                                 int64_t y_stride, int64_t y_line) {
    square s = {.lines = lines, .codes = codes, .y_step = y_stride};
    for (int64_t channel = 0; channel < lines->channels; channel += QL_STRIP) {
        for (int row = 0; row < lines->lines + 2; row++)
            s.row[row] = lines->row[row] + channel;
        s.w[0] = (const int8_t *)lines->w + channel * 3 * 4;
        s.w[1] = s.w[0] + lines->w_step;
        s.start = lines->start + channel;
        s.multiplier = codes->multiplier + channel;
        s.y[0] = y + channel;
        s.y[1] = s.y[0] + y_line;
        if (lines->lines == 2)
            convolve_pixels(2, 1, &s);
        else if (lines->stride == 1)
            convolve_pixels(1, 1, &s);
        else
            convolve_pixels(1, 2, &s);
    }
}

QL_TARGET_END

#endif

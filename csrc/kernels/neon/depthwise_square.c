/* Depthwise convolution of 3 x 3 for NEON, straight from the lines: see csrc/depthwise.c.
 *
 * Nothing is interleaved: smlal takes one number and one weight of each channel. Column by column,
 * the lines of eight channels become vectors of int16, which stay in registers for the pixels that
 * see them: twelve hold the three columns of a pixel, of two lines of output, and nine the weights,
 * which both share. 16 outputs, of two lines, cost 36 smlal and twelve instructions for a column;
 * of planes (depthwise.c) it would be 48, and taking pairs apart. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "kernels.h"

#include "codes.h"

enum { CHANNELS = 8, ROWS = 3, TAPS = 3, MOST_LINES = 4 };

/* Eight channels of the lines. */
typedef struct {
    const uint8_t *row[MOST_LINES];
    int64_t step; /* from one column to the next */
    int64_t first, width, pixels;
    uint8x8_t flip_u8x8;
    int16x8_t padding_i16x8;
    int16x8_t w_i16x8[ROWS][TAPS];
    int32x4_t start_i32x4[2];
    float32x4_t multiplier_f32x4[2];
    int16x8_t zero_i16x8; /* of the codes */
    uint8x8_t lower_u8x8, upper_u8x8, code_flip_u8x8;
    uint8_t *y[2];
    int64_t y_step;
} square;

/* The weights of half a strip, from pairs of rows: all output lines have the same. */
QL_INLINE void load_weights(const int16_t *pairs, int16x8_t w_i16x8[ROWS][TAPS]) {
#pragma GCC unroll 3
    for (int tap = 0; tap < TAPS; tap++) {
        const int16x8x2_t first_i16x8 = vld2q_s16(pairs + 2 * QL_STRIP * tap);
        w_i16x8[0][tap] = first_i16x8.val[0];
        w_i16x8[1][tap] = first_i16x8.val[1];
        w_i16x8[2][tap] = vld2q_s16(pairs + 2 * QL_STRIP * (TAPS + tap)).val[0];
    }
}

/* The numbers of a column, which may be padding. */
QL_INLINE void load_column(const int rows, const square *s, int64_t column,
                           int16x8_t x_i16x8[MOST_LINES]) {
    if (column < 0 || column >= s->width) {
#pragma GCC unroll 4
        for (int row = 0; row < rows; row++)
            x_i16x8[row] = s->padding_i16x8;
        return;
    }
#pragma GCC unroll 4
    for (int row = 0; row < rows; row++) {
        const uint8x8_t bytes_u8x8 = vld1_u8(s->row[row] + column * s->step);
        x_i16x8[row] = vreinterpretq_s16_u16(vmovl_u8(veor_u8(bytes_u8x8, s->flip_u8x8)));
    }
}

QL_INLINE void convolve_pixel(const square *s, int line, int64_t pixel, const int first,
                              const int16x8_t column_i16x8[TAPS][MOST_LINES]) {
    int32x4_t low_i32x4 = s->start_i32x4[0], high_i32x4 = s->start_i32x4[1];
#pragma GCC unroll 3
    for (int row = 0; row < ROWS; row++)
#pragma GCC unroll 3
        for (int tap = 0; tap < TAPS; tap++) {
            const int16x8_t x_i16x8 = column_i16x8[(first + tap) % TAPS][line + row];
            const int16x8_t w_i16x8 = s->w_i16x8[row][tap];
            low_i32x4 = vmlal_s16(low_i32x4, vget_low_s16(x_i16x8), vget_low_s16(w_i16x8));
            high_i32x4 = vmlal_high_s16(high_i32x4, x_i16x8, w_i16x8);
        }
    const int16x8_t steps_i16x8 =
        steps_by(low_i32x4, high_i32x4, s->multiplier_f32x4[0], s->multiplier_f32x4[1]);
    uint8x8_t codes_u8x8 = vqmovun_s16(vqaddq_s16(steps_i16x8, s->zero_i16x8));
    codes_u8x8 = vmin_u8(vmax_u8(codes_u8x8, s->lower_u8x8), s->upper_u8x8);
    vst1_u8(s->y[line] + pixel * s->y_step, veor_u8(codes_u8x8, s->code_flip_u8x8));
}

/* Pixels by threes, so that columns stay in their registers: the first one of pixel number `turn`
 * is in place number stride * turn, modulo 3. */
QL_INLINE void convolve_pixels(const int lines, const int stride, const square *s) {
    int64_t column = s->first;
    int16x8_t column_i16x8[TAPS][MOST_LINES];
#pragma GCC unroll 2
    for (int tap = 0; tap < TAPS - stride; tap++)
        load_column(lines + 2, s, column++, column_i16x8[tap]);
    for (int64_t pixel = 0; pixel < s->pixels; pixel += TAPS)
#pragma GCC unroll 3
        for (int turn = 0; turn < TAPS; turn++) {
            const int first = stride * turn % TAPS;
            if (pixel + turn >= s->pixels)
                return;
#pragma GCC unroll 2
            for (int tap = TAPS - stride; tap < TAPS; tap++)
                load_column(lines + 2, s, column++, column_i16x8[(first + tap) % TAPS]);
#pragma GCC unroll 2
            for (int line = 0; line < lines; line++)
                convolve_pixel(s, line, pixel + turn, first, column_i16x8);
        }
}

void ql_neon_depthwise_square(const ql_square *lines, const ql_codes *codes, uint8_t *y,
                              int64_t y_stride, int64_t y_line) {
    square s = {
        .first = lines->first,
        .width = lines->width,
        .pixels = lines->pixels,
        .flip_u8x8 = vdup_n_u8(lines->flip),
        .padding_i16x8 = vdupq_n_s16(lines->zero),
        .zero_i16x8 = vdupq_n_s16((int16_t)codes->zero_point),
        .lower_u8x8 = vdup_n_u8((uint8_t)codes->lower),
        .upper_u8x8 = vdup_n_u8((uint8_t)codes->upper),
        .code_flip_u8x8 = vdup_n_u8(codes->flip),
        .y_step = y_stride,
        .step = lines->step,
    };
    for (int64_t channel = 0; channel < lines->channels; channel += CHANNELS) {
        const int64_t in_strip = channel % QL_STRIP, strip = channel - in_strip;
        for (int row = 0; row < lines->lines + 2; row++)
            s.row[row] = lines->row[row] + channel;
        load_weights((const int16_t *)(lines->w + (strip * 2 * TAPS + in_strip) * 4), s.w_i16x8);
        for (int half = 0; half < 2; half++) {
            s.start_i32x4[half] = vld1q_s32(lines->start + channel + 4 * half);
            s.multiplier_f32x4[half] = vld1q_f32(codes->multiplier + channel + 4 * half);
        }
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

#endif

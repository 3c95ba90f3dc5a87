/* Depthwise convolution with channels first for NEON: see csrc/channelwise.c.
 *
 *     sums[i] = start + sum over windows, j = 0, 1 of x[offset + step * i + j] * w[j]
 *
 * Numbers are int16, and smlal multiplies those of neighbouring outputs by one weight; with a step
 * of 2, ld2 takes apart what the two weights of a window are for. A kernel of 3 x 3 costs 36 smlal
 * for 16 outputs: the second weight of the last window of each line is 0, and is left out. */
#include "../target.h"

#if QL_BUILDS_NEON

#include "kernels.h"

#include "codes.h"

enum { OUTPUTS = 16, FEW = 6 };

/* --- lines ---------------------------------------------------------------------------------- */

/* Eight numbers at a time; the last ones overlap those before. */
QL_INLINE void spread_line(const uint8_t *x, int64_t columns, uint8_t flip, char *to) {
    uint16_t *number = (uint16_t *)(void *)to;
    for (int64_t i = 0; i < columns && columns >= 8; i += 8) {
        const int64_t at = ql_min(i, columns - 8);
        vst1q_u16(number + at, vmovl_u8(veor_u8(vld1_u8(x + at), vdup_n_u8(flip))));
    }
    for (int64_t i = 0; i < columns && columns < 8; i++)
        number[i] = x[i] ^ flip;
}

void ql_neon_spread(const ql_spreading *s) {
    for (int64_t plane = 0; plane < s->planes; plane++) {
        const uint8_t *x = s->x + plane * s->plane_step;
        char *to = s->to + plane * s->to_step;
        char *after = s->second == NULL ? to + s->pitch : s->second + plane * s->to_step;
        for (int64_t line = 0; line < s->lines; line++, x += s->line_step) {
            spread_line(x, s->columns, s->flip, to);
            char *done = to;
            to = after;
            after = s->second == NULL ? to + s->pitch : done + s->pitch;
        }
    }
}

/* --- sums ----------------------------------------------------------------------------------- */

/* Adds the products of eight numbers and weight number `which`. */
QL_INLINE void add_products(const int which, int16x8_t x_i16x8, int16x4_t w_i16x4,
                            int32x4_t sum_i32x4[2]) {
    sum_i32x4[0] = vmlal_lane_s16(sum_i32x4[0], vget_low_s16(x_i16x8), w_i16x4, which);
    sum_i32x4[1] = vmlal_high_lane_s16(sum_i32x4[1], x_i16x8, w_i16x4, which);
}

/* Adds those of one window of 16 outputs, of which `taps` weights count. */
QL_INLINE void add_window(const int step, const int taps, const char *x, int16x4_t w_i16x4,
                          int32x4_t sum_i32x4[4]) {
    const int16_t *number = (const int16_t *)(const void *)x;
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++, number += 8 * step, sum_i32x4 += 2) {
        int16x8x2_t x_i16x8;
        if (step == 2) {
            x_i16x8 = vld2q_s16(number);
        } else {
            x_i16x8.val[0] = vld1q_s16(number);
            x_i16x8.val[1] = taps == 2 ? vld1q_s16(number + 1) : x_i16x8.val[0];
        }
        add_products(0, x_i16x8.val[0], w_i16x4, sum_i32x4);
        if (taps == 2)
            add_products(1, x_i16x8.val[1], w_i16x4, sum_i32x4);
    }
}

QL_INLINE int16x4_t window_of(uint32_t weights) {
    return vreinterpret_s16_u32(vdup_n_u32(weights));
}

/* Whether the second weight of a window is 0, as that of the last one of an odd line is. */
QL_INLINE int is_single(uint32_t weights) {
    return weights <= UINT16_MAX;
}

/* The same for all windows. */
QL_INLINE void add_windows(const int step, const ql_channels *c, const char *x,
                           int32x4_t sum_i32x4[4]) {
    for (int64_t window = 0; window < c->windows; window++) {
        const int16x4_t w_i16x4 = window_of(c->weights[window]);
        if (is_single(c->weights[window]))
            add_window(step, 1, x + c->offsets[window], w_i16x4, sum_i32x4);
        else
            add_window(step, 2, x + c->offsets[window], w_i16x4, sum_i32x4);
    }
}

QL_INLINE void sum_channel(const int step, const ql_channels *c, int32_t *sums) {
    const int64_t count = (c->lines - 1) * c->pitch + c->width;
    const int32x4_t start_i32x4 = vdupq_n_s32(*c->start);
    for (int64_t i = 0; i < count; i += OUTPUTS) {
        int32x4_t s[4] = {start_i32x4, start_i32x4, start_i32x4, start_i32x4};
        add_windows(step, c, c->x + 2 * step * i, s);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            vst1q_s32(sums + i + 4 * v, s[v]);
    }
}

void ql_neon_channel_sums(const ql_channels *channels, int32_t *sums) {
    if (channels->step == 1)
        sum_channel(1, channels, sums);
    else
        sum_channel(2, channels, sums);
}

/* --- codes ---------------------------------------------------------------------------------- */

/* One channel: what its outputs are made from. */
typedef struct {
    int64_t offset[FEW];
    int16x4_t w_i16x4[FEW];
    int32x4_t start_i32x4;
    float multiplier[4]; /* all the same */
} source;

/* What is known where functions are expanded. */
typedef struct {
    int few;  /* whether there are FEW windows, of which every other one has a single weight */
    int step; /* 1 or 2 */
} form;

/* The codes of 16 outputs from x on. */
QL_INLINE uint8x16_t codes_at(const form f, const ql_channels *c, const ql_codes *codes,
                              const source *s, const char *x) {
    int32x4_t sum_i32x4[4] = {s->start_i32x4, s->start_i32x4, s->start_i32x4, s->start_i32x4};
    if (f.few) {
#pragma GCC unroll 6
        for (int i = 0; i < FEW; i++)
            add_window(f.step, i % 2 == 0 ? 2 : 1, x + s->offset[i], s->w_i16x4[i], sum_i32x4);
    } else {
        add_windows(f.step, c, x, sum_i32x4);
    }
    return codes_by(codes, sum_i32x4, s->multiplier, 0);
}

/* Two lines of up to eight outputs share a vector. */
QL_INLINE void convolve_pairs(const form f, const ql_channels *c, const ql_codes *codes,
                              const source *s, const char *x, uint8_t *y) {
    int64_t left = c->lines * c->width;
    for (; left > 0; x += 2 * f.step * OUTPUTS) {
        uint8_t both[OUTPUTS];
        vst1q_u8(both, codes_at(f, c, codes, s, x));
        for (int64_t i = 0; i < OUTPUTS && left > 0; i += 8, y += c->width, left -= c->width)
            memcpy(y, both + i, (size_t)c->width);
    }
}

/* Lines of some vectors each, of which the last one overlaps the one before, or, if there is none,
 * the line that follows. */
QL_INLINE void convolve_lines(const form f, const ql_channels *c, const ql_codes *codes,
                              const source *s, const char *x, uint8_t *y) {
    const int64_t last = ql_max(c->width - OUTPUTS, 0), number = 2 * f.step;
    int64_t left = c->lines * c->width;
    for (; left > 0; left -= c->width, x += number * c->pitch, y += c->width) {
        for (int64_t i = 0; i < last; i += OUTPUTS)
            vst1q_u8(y + i, codes_at(f, c, codes, s, x + number * i));
        store_first(codes_at(f, c, codes, s, x + number * last), left - last, y + last);
    }
}

QL_INLINE void convolve_channel(const form f, const ql_channels *c, const ql_codes *codes,
                                source *s, uint8_t *y) {
    for (int i = 0; f.few && i < FEW; i++) {
        s->offset[i] = c->offsets[i];
        s->w_i16x4[i] = window_of(c->weights[i]);
    }
    if (c->pitch == 8)
        convolve_pairs(f, c, codes, s, c->x, y);
    else
        convolve_lines(f, c, codes, s, c->x, y);
}

/* Whether every other window has a single weight, as those of a kernel of 3 x 3. */
static int are_threes(const ql_channels *c) {
    return c->windows == FEW && is_single(c->weights[1] | c->weights[3] | c->weights[5]);
}

void ql_neon_channel_codes(const ql_channels *channels, const ql_codes *codes, uint8_t *y,
                           int64_t y_step) {
    ql_channels c = *channels;
    source s;
    for (int64_t channel = 0; channel < channels->channels; channel++, y += y_step) {
        s.start_i32x4 = vdupq_n_s32(channels->start[channel]);
        vst1q_f32(s.multiplier, vdupq_n_f32(codes->multiplier[channel]));
        const int few = are_threes(&c);
        if (few && c.step == 1)
            convolve_channel((form){1, 1}, &c, codes, &s, y);
        else if (few)
            convolve_channel((form){1, 2}, &c, codes, &s, y);
        else if (c.step == 1)
            convolve_channel((form){0, 1}, &c, codes, &s, y);
        else
            convolve_channel((form){0, 2}, &c, codes, &s, y);
        c.x += c.x_step;
        c.weights += c.windows;
    }
}

#endif

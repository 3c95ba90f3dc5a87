/* Depthwise convolution with channels first for NEON with dot products: see csrc/channelwise.c.
 *
 *     sums[i] = start + sum over windows, j = 0..3 of x[offset + step * i + j] * w[j]
 *
 * 16 outputs have four vectors of sums. With a step of 1, the vector read n bytes further has the
 * windows of outputs n, n + 4, n + 8 and n + 12; with a step of 2, that at 2 * n those of n, n + 2,
 * n + 4 and n + 6. A kernel of 3 x 3 costs 12 sdot for 16 outputs. */
#include "../target.h"

#if QL_BUILDS_NEONDOT

#include "kernels.h"

QL_TARGET_BEGIN_NEONDOT

#include "../neon/codes.h"

enum { OUTPUTS = 16, FEW = 3 };

/* --- lines ---------------------------------------------------------------------------------- */

/* 16 or eight bytes at a time, of which the last ones overlap those before. */
QL_INLINE void spread_line(const uint8_t *x, int64_t columns, uint8x16_t flip_u8x16, uint8_t *to) {
    for (int64_t i = 0; i < columns && columns >= 16; i += 16) {
        const int64_t at = ql_min(i, columns - 16);
        vst1q_u8(to + at, veorq_u8(vld1q_u8(x + at), flip_u8x16));
    }
    for (int64_t i = 0; i < columns && columns < 16 && columns >= 8; i += 8) {
        const int64_t at = ql_min(i, columns - 8);
        vst1_u8(to + at, veor_u8(vld1_u8(x + at), vget_low_u8(flip_u8x16)));
    }
    for (int64_t i = 0; i < columns && columns < 8; i++)
        to[i] = x[i] ^ vgetq_lane_u8(flip_u8x16, 0);
}

void ql_neondot_spread(const ql_spreading *s) {
    const uint8x16_t flip_u8x16 = vdupq_n_u8(s->flip);
    for (int64_t plane = 0; plane < s->planes; plane++) {
        const uint8_t *x = s->x + plane * s->plane_step;
        uint8_t *to = (uint8_t *)s->to + plane * s->to_step;
        uint8_t *after = to + s->pitch;
        if (s->second != NULL)
            after = (uint8_t *)s->second + plane * s->to_step;
        for (int64_t line = 0; line < s->lines; line++, x += s->line_step) {
            spread_line(x, s->columns, flip_u8x16, to);
            uint8_t *done = to;
            to = after;
            after = s->second == NULL ? to + s->pitch : done + s->pitch;
        }
    }
}

/* --- sums ----------------------------------------------------------------------------------- */

/* Adds the products of one window of 16 outputs. */
QL_INLINE void add_window(const int step, const char *x, int8x16_t w_i8x16,
                          int32x4_t sum_i32x4[4]) {
    const int64_t further[2][4] = {{0, 1, 2, 3}, {0, 2, 16, 18}};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        sum_i32x4[i] =
            vdotq_s32(sum_i32x4[i], vld1q_s8((const int8_t *)x + further[step - 1][i]), w_i8x16);
}

QL_INLINE int8x16_t window_of(uint32_t weights) {
    return vreinterpretq_s8_u32(vdupq_n_u32(weights));
}

/* The same for all windows. */
QL_INLINE void add_windows(const int step, const ql_channels *c, const char *x,
                           int32x4_t sum_i32x4[4]) {
    for (int64_t window = 0; window < c->windows; window++)
        add_window(step, x + c->offsets[window], window_of(c->weights[window]), sum_i32x4);
}

QL_INLINE void sum_channel(const int step, const ql_channels *c, int32_t *sums) {
    const int64_t count = (c->lines - 1) * c->pitch + c->width;
    const int32x4_t start_i32x4 = vdupq_n_s32(*c->start);
    for (int64_t i = 0; i < count; i += OUTPUTS) {
        int32x4_t s[4] = {start_i32x4, start_i32x4, start_i32x4, start_i32x4};
        add_windows(step, c, c->x + step * i, s);
        if (step == 1) {
            vst4q_s32(sums + i, (int32x4x4_t){{s[0], s[1], s[2], s[3]}});
        } else {
            vst2q_s32(sums + i, (int32x4x2_t){{s[0], s[1]}});
            vst2q_s32(sums + i + 8, (int32x4x2_t){{s[2], s[3]}});
        }
    }
}

void ql_neondot_channel_sums(const ql_channels *channels, int32_t *sums) {
    if (channels->step == 1)
        sum_channel(1, channels, sums);
    else
        sum_channel(2, channels, sums);
}

/* --- codes ---------------------------------------------------------------------------------- */

/* One channel: what its outputs are made from. */
typedef struct {
    int64_t offset[FEW];
    int8x16_t w_i8x16[FEW];
    int32x4_t start_i32x4;
    float multiplier[4]; /* all the same */
} source;

/* The codes of 16 outputs from x on. */
QL_INLINE uint8x16_t codes_at(const int few, const int step, const ql_channels *c,
                              const ql_codes *codes, const source *s, const char *x) {
    int32x4_t sum_i32x4[4] = {s->start_i32x4, s->start_i32x4, s->start_i32x4, s->start_i32x4};
#pragma GCC unroll 3
    for (int i = 0; few && i < FEW; i++)
        add_window(step, x + s->offset[i], s->w_i8x16[i], sum_i32x4);
    if (!few)
        add_windows(step, c, x, sum_i32x4);
    static const uint8_t places[16] = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15};
    const uint8x16_t codes_u8x16 = codes_by(codes, sum_i32x4, s->multiplier, 0);
    return step == 1 ? woven(codes_u8x16) : vqtbl1q_u8(codes_u8x16, vld1q_u8(places));
}

/* Two lines of up to eight outputs share a vector. */
QL_INLINE void convolve_pairs(const int few, const int step, const ql_channels *c,
                              const ql_codes *codes, const source *s, const char *x, uint8_t *y) {
    int64_t left = c->lines * c->width;
    for (; left > 0; x += step * OUTPUTS) {
        uint8_t both[OUTPUTS];
        vst1q_u8(both, codes_at(few, step, c, codes, s, x));
        for (int64_t i = 0; i < OUTPUTS && left > 0; i += 8, y += c->width, left -= c->width)
            memcpy(y, both + i, (size_t)c->width);
    }
}

/* Lines of some vectors each, of which the last one overlaps the one before, or, if there is none,
 * the line that follows. */
QL_INLINE void convolve_lines(const int few, const int step, const ql_channels *c,
                              const ql_codes *codes, const source *s, const char *x, uint8_t *y) {
    const int64_t last = ql_max(c->width - OUTPUTS, 0), next = step * c->pitch;
    int64_t left = c->lines * c->width;
    for (; left > 0; left -= c->width, x += next, y += c->width) {
        for (int64_t i = 0; i < last; i += OUTPUTS)
            vst1q_u8(y + i, codes_at(few, step, c, codes, s, x + step * i));
        store_first(codes_at(few, step, c, codes, s, x + step * last), left - last, y + last);
    }
}

QL_INLINE void convolve_channels(const int few, const int step, const ql_channels *channels,
                                 const ql_codes *codes, uint8_t *y, int64_t y_step) {
    ql_channels c = *channels;
    source s;
    for (int i = 0; few && i < FEW; i++)
        s.offset[i] = c.offsets[i];
    for (int64_t channel = 0; channel < channels->channels; channel++, y += y_step) {
        s.start_i32x4 = vdupq_n_s32(channels->start[channel]);
        vst1q_f32(s.multiplier, vdupq_n_f32(codes->multiplier[channel]));
#pragma GCC unroll 3
        for (int i = 0; few && i < FEW; i++)
            s.w_i8x16[i] = window_of(c.weights[i]);
        if (c.pitch == 8)
            convolve_pairs(few, step, &c, codes, &s, c.x, y);
        else
            convolve_lines(few, step, &c, codes, &s, c.x, y);
        c.x += c.x_step;
        c.weights += c.windows;
    }
}

void ql_neondot_channel_codes(const ql_channels *channels, const ql_codes *codes, uint8_t *y,
                              int64_t y_step) {
    if (channels->windows == FEW && channels->step == 1)
        convolve_channels(1, 1, channels, codes, y, y_step);
    else if (channels->windows == FEW)
        convolve_channels(1, 2, channels, codes, y, y_step);
    else if (channels->step == 1)
        convolve_channels(0, 1, channels, codes, y, y_step);
    else
        convolve_channels(0, 2, channels, codes, y, y_step);
}

QL_TARGET_END

#endif

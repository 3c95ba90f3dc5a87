/* Depthwise convolution in plain C, of planes of two lines as int16: see csrc/depthwise.c. */
#include "kernels.h"

void ql_portable_interleave(const uint8_t *const *rows, int64_t columns, int64_t channels,
                            int64_t step, uint8_t flip, void *to) {
    uint32_t *restrict elements = to;
    for (int64_t column = 0; column < columns; column++, elements += channels) {
        const uint8_t *first = rows[0] + column * step,
                      *second = rows[rows[1] != NULL] + column * step;
        for (int64_t i = 0; i < channels; i++)
            elements[i] =
                (uint32_t)(uint8_t)(first[i] ^ flip) | (uint32_t)(uint8_t)(second[i] ^ flip) << 16;
    }
}

/* Adds the products of a strip, those of the two lines side by side: a loop that vectorizes. */
static void add_products(const int16_t *restrict x, const int16_t *restrict w,
                         int32_t *restrict sums) {
    for (int i = 0; i < 2 * QL_STRIP; i++)
        sums[i] += x[i] * w[i];
}

/* The sums of a strip at one pixel, whose first tap is at x; likewise. */
static void sum_strip(const ql_line *line, const char *x, const int16_t *w,
                      const int32_t *restrict start, int32_t *restrict sums) {
    int32_t products[2 * QL_STRIP] = {0};
    for (int64_t repeat = 0; repeat < line->repeats; repeat++)
        for (int64_t plane = 0; plane < line->planes; plane++)
            for (int64_t tap = 0; tap < line->taps; tap++, w += 2 * QL_STRIP)
                add_products((const int16_t *)(x + plane * line->plane_step + tap * line->tap_step),
                             w, products);
    for (int i = 0; i < QL_STRIP; i++)
        sums[i] = (int32_t)((uint32_t)start[i] + (uint32_t)products[2 * i] +
                            (uint32_t)products[2 * i + 1]);
}

void ql_portable_depthwise_codes(const ql_line *line, const ql_codes *codes, uint8_t *y,
                                 int64_t y_stride) {
    const int64_t elements = line->repeats * line->planes * line->taps;
    for (int64_t c = 0; c < line->channels; c += QL_STRIP)
        for (int64_t p = 0; p < line->pixels; p++) {
            int32_t strip[QL_STRIP];
            uint8_t code[QL_STRIP];
            sum_strip(line, line->x + 4 * c + p * line->pixel_step,
                      (const int16_t *)(line->w + 4 * c * elements), line->start + c, strip);
            ql_portable_codes_of_strip(codes, strip, codes->multiplier + c, code);
            memcpy(y + p * y_stride + c, code, (size_t)ql_min(QL_STRIP, line->channels - c));
        }
}

void ql_portable_depthwise(const ql_line *line, int32_t *sums, int64_t sums_stride) {
    const int64_t elements = line->repeats * line->planes * line->taps;
    for (int64_t c = 0; c < line->channels; c += QL_STRIP)
        for (int64_t p = 0; p < line->pixels; p++) {
            int32_t strip[QL_STRIP];
            sum_strip(line, line->x + 4 * c + p * line->pixel_step,
                      (const int16_t *)(line->w + 4 * c * elements), line->start + c, strip);
            memcpy(sums + p * sums_stride + c, strip,
                   (size_t)ql_min(QL_STRIP, line->channels - c) * sizeof *sums);
        }
}

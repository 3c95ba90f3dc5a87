/* Depthwise convolution of 3 x 3 in plain C, straight from the lines: see csrc/depthwise.c.
 *
 * Columns of the lines become numbers of 16 bits once, for all pixels and lines that see them; the
 * three of a pixel take turns in three places. Products of 16 channels by 16 weights, added to 16
 * sums, are what compilers vectorize. */
#include "kernels.h"

enum { ROWS = 3, TAPS = 3, MOST_LINES = 4 };

typedef struct {
    int16_t number[MOST_LINES][QL_STRIP];
} column;

/* A strip of the lines. */
typedef struct {
    const ql_square *lines;
    const uint8_t *row[MOST_LINES];
    int16_t weight[ROWS][TAPS][QL_STRIP];
} square;

/* From pairs of rows; all lines of output have the same. */
static void load_weights(const int16_t *pairs, square *s) {
    for (int row = 0; row < ROWS; row++)
        for (int tap = 0; tap < TAPS; tap++)
            for (int i = 0; i < QL_STRIP; i++)
                s->weight[row][tap][i] =
                    pairs[2 * ((row / 2 * TAPS + tap) * QL_STRIP + i) + row % 2];
}

static void load_numbers(const uint8_t *restrict bytes, uint8_t flip, int16_t *restrict to) {
    for (int i = 0; i < QL_STRIP; i++)
        to[i] = bytes[i] ^ flip;
}

/* A column, which may be padding. */
static void load_column(const square *s, int64_t at, column *to) {
    const ql_square *l = s->lines;
    for (int row = 0; row < l->lines + 2; row++)
        if (at >= 0 && at < l->width)
            load_numbers(s->row[row] + at * l->step, l->flip, to->number[row]);
        else
            for (int i = 0; i < QL_STRIP; i++)
                to->number[row][i] = l->zero;
}

/* The products of a row of the kernel. */
QL_INLINE void add_row(const int16_t *restrict first, const int16_t *restrict second,
                       const int16_t *restrict third, const int16_t (*restrict w)[QL_STRIP],
                       int32_t *restrict sums) {
    for (int i = 0; i < QL_STRIP; i++)
        sums[i] += first[i] * w[0][i] + second[i] * w[1][i] + third[i] * w[2][i];
}

/* The sums of a pixel of line number `line`, from three columns. */
static void sum_pixel(const square *s, int line, const column *first, const column *second,
                      const column *third, int32_t *sums) {
    for (int row = 0; row < ROWS; row++)
        add_row(first->number[line + row], second->number[line + row], third->number[line + row],
                s->weight[row], sums);
}

static void convolve_strip(const square *s, const int32_t *start, const ql_codes *codes,
                           const float *multiplier, uint8_t *y, int64_t y_stride, int64_t y_line) {
    const ql_square *l = s->lines;
    column columns[TAPS];
    int64_t loaded = 0;
    for (int64_t pixel = 0; pixel < l->pixels; pixel++, y += y_stride) {
        const int64_t at = pixel * l->stride;
        for (; loaded < at + TAPS; loaded++)
            load_column(s, l->first + loaded, &columns[loaded % TAPS]);
        for (int line = 0; line < l->lines; line++) {
            int32_t sums[QL_STRIP];
            memcpy(sums, start, sizeof sums);
            sum_pixel(s, line, &columns[at % TAPS], &columns[(at + 1) % TAPS],
                      &columns[(at + 2) % TAPS], sums);
            ql_portable_codes_of_strip(codes, sums, multiplier, y + line * y_line);
        }
    }
}

void ql_portable_depthwise_square(const ql_square *lines, const ql_codes *codes, uint8_t *y,
                                  int64_t y_stride, int64_t y_line) {
    square s = {.lines = lines};
    for (int64_t channel = 0; channel < lines->channels; channel += QL_STRIP) {
        for (int row = 0; row < lines->lines + 2; row++)
            s.row[row] = lines->row[row] + channel;
        load_weights((const int16_t *)(lines->w + channel * 2 * TAPS * 4), &s);
        convolve_strip(&s, lines->start + channel, codes, codes->multiplier + channel, y + channel,
                       y_stride, y_line);
    }
}

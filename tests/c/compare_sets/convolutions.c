/* Convolutions. */
#include "compare.h"

/* Channels that do not mix, each under a kernel of 3 x 3, in an image of several vectors. */
static void draw_square(ql_conv_shape *s) {
    static const int64_t widths[] = {2, 7, 16, 17, 31, 32, 48, 50, 64, 100};
    const int64_t channels = widths[draw() % COUNT(widths)], stride = 1 + draw_below(2);
    *s = (ql_conv_shape){.batch = 1, .channels = channels, .out_channels = channels};
    s->group = channels;
    for (int axis = 0; axis < 3; axis++) {
        s->kernel[axis] = axis == 0 ? 1 : 3;
        s->stride[axis] = axis == 0 ? 1 : stride;
        s->dilation[axis] = 1;
        s->pad[axis] = axis == 0 ? 0 : draw_below(3);
        s->in[axis] = axis == 0 ? 1 : 5 + draw_below(axis == 1 ? 24 : draw() % 2 ? 9 : 45);
        s->out[axis] = (s->in[axis] + 2 * s->pad[axis] - s->kernel[axis]) / s->stride[axis] + 1;
    }
}

/* Whole channels, in an image of several tiles of planes, blocks of which have many parts. */
static int64_t draw_planes(ql_conv_shape *s) {
    static const int64_t widths[] = {16, 17, 20, 33, 64, 65};
    const int64_t extent = draw() % 4 ? 3 : 1, stride = extent == 1 ? 1 + draw_below(2) : 1;
    const int64_t pad = draw_below(extent);
    *s = (ql_conv_shape){.batch = 1, .channels = widths[draw() % COUNT(widths)], .group = 1};
    s->out_channels = 1 + draw_below(40);
    for (int axis = 0; axis < 3; axis++) {
        s->kernel[axis] = axis == 0 ? 1 : extent;
        s->stride[axis] = axis == 0 ? 1 : stride;
        s->dilation[axis] = 1;
        s->pad[axis] = axis == 0 ? 0 : pad;
        s->in[axis] = axis == 0 ? 1 : 5 + draw_below(axis == 1 ? 6 : draw() % 4 ? 20 : 80);
        s->out[axis] = (s->in[axis] + 2 * s->pad[axis] - s->kernel[axis]) / s->stride[axis] + 1;
    }
    return extent * extent;
}

static int64_t draw_convolution(ql_conv_shape *s) {
    if (draw() % 4 == 0) {
        draw_square(s);
        return 9;
    }
    static const int64_t widths[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100};
    const int wide = draw() % 24 == 0; /* lines in several parts */
    const int64_t channels = widths[draw() % (wide ? 5 : COUNT(widths))];
    enum { WHOLE, TWO, DEPTHWISE, NARROW };
    const int kind = draw() % 4, equal = draw() % 2;
    const int64_t width = (int64_t)2 << (wide ? 0 : draw() % 4);
    *s = (ql_conv_shape){.batch = 1 + draw_below(2)};
    s->group = kind == WHOLE ? 1 : kind == TWO ? 2 : kind == NARROW ? 3 + draw_below(8) : channels;
    s->channels = kind == TWO      ? 2 * channels
                  : kind == NARROW ? s->group * (equal ? width : 1 + draw_below(6))
                                   : channels;
    const int64_t multiplier = draw() % 4 == 0 ? 1 + draw_below(4) : 1;
    s->out_channels = kind == DEPTHWISE ? channels * multiplier
                      : kind == NARROW  ? (equal ? s->channels : s->group * (1 + draw_below(9)))
                                        : s->group * (1 + draw_below(20));
    const int pointwise = draw() % 5 == 0, sparse = draw() % 16 == 0;
    for (int axis = 0; axis < 3; axis++) {
        const int one = pointwise || (axis == 0 && draw() % 2);
        s->kernel[axis] = one ? 1 : 1 + draw_below(kind == DEPTHWISE ? 6 : 3);
        s->stride[axis] = one ? 1 : 1 + draw_below(2);
        s->dilation[axis] = one ? 1 : 1 + draw_below(2);
        s->pad[axis] = one ? 0 : draw_below(3);
        s->in[axis] = axis == 0 && one ? 1 : 4 + draw_below(axis == 2 ? 14 : 3);
        if (axis == 2 && wide)
            s->in[axis] = 250 + draw_below(500);
        if (axis == 2 && sparse && !one) { /* few pixels of a line are used */
            s->dilation[axis] = draw() % 2 ? 1 : 20 + draw_below(200);
            s->pad[axis] = s->dilation[axis] * s->kernel[axis];
            s->stride[axis] = 1 + draw_below(150);
        }
        const int64_t reach = (s->kernel[axis] - 1) * s->dilation[axis] + 1;
        s->out[axis] = (s->in[axis] + 2 * s->pad[axis] - reach) / s->stride[axis] + 1;
        if (s->in[axis] + 2 * s->pad[axis] < reach)
            return 0;
    }
    return s->kernel[0] * s->kernel[1] * s->kernel[2];
}

/* The sum at one output position, axis by axis. */
static int64_t convolve_at(const ql_conv_shape *s, const uint8_t *x, int x_signed, int32_t x_zero,
                           const uint8_t *w, int w_signed, const int32_t *w_zero, int64_t image,
                           const int64_t at[3], int64_t o) {
    const int64_t in = s->channels / s->group, out = s->out_channels / s->group;
    int64_t sum = 0, tap = 0;
    const int64_t taps = s->kernel[0] * s->kernel[1] * s->kernel[2];
    for (int64_t td = 0; td < s->kernel[0]; td++)
        for (int64_t th = 0; th < s->kernel[1]; th++)
            for (int64_t tw = 0; tw < s->kernel[2]; tw++, tap++) {
                const int64_t d = at[0] * s->stride[0] - s->pad[0] + td * s->dilation[0];
                const int64_t h = at[1] * s->stride[1] - s->pad[1] + th * s->dilation[1];
                const int64_t v = at[2] * s->stride[2] - s->pad[2] + tw * s->dilation[2];
                if (d < 0 || d >= s->in[0] || h < 0 || h >= s->in[1] || v < 0 || v >= s->in[2])
                    continue;
                const uint8_t *pixel =
                    x + (((image * s->in[0] + d) * s->in[1] + h) * s->in[2] + v) * s->channels;
                for (int64_t c = 0; c < in; c++)
                    sum += (int64_t)(value_of(pixel[o / out * in + c], x_signed) - x_zero) *
                           (value_of(w[(o * in + c) * taps + tap], w_signed) - w_zero[o]);
            }
    return sum;
}

/* Codes to be added to results, one in three times; then rows have no factors. */
static const uint8_t *draw_residual(ql_output *output, int64_t count) {
    if (output->type == QL_INT32 || draw() % 3)
        return NULL;
    output->row_factor = output->row_divisor = NULL;
    output->residual_signed = draw() % 2;
    output->residual_zero_point = draw_code(output->residual_signed);
    output->residual_factor = draw() % 2 ? 0.5f : (float)draw_real();
    return output->residual = codes(count, output->residual_signed, ANY);
}

/* y[n][j][i] = x[n][i][j]. */
static void reorder(const uint8_t *x, uint8_t *y, int64_t batch, int64_t rows, int64_t columns,
                    int64_t size) {
    for (int64_t n = 0; n < batch; n++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++)
                memcpy(y + ((n * columns + j) * rows + i) * size,
                       x + ((n * rows + i) * columns + j) * size, (size_t)size);
}

/* `in_planes`: as convolutions with channels first take planes. */
static void compare_convolution(enum fill fill, int in_planes) {
    ql_conv_shape s;
    const int64_t taps = in_planes ? draw_planes(&s) : draw_convolution(&s);
    if (taps == 0)
        return;
    const int x_signed = draw() % 2, w_signed = in_planes || draw() % 2;
    const int64_t in = s.channels / s.group, pixels = s.out[0] * s.out[1] * s.out[2];
    describe("convolution of %lld channels to %lld in %lld groups, kernel %lld %lld %lld, width "
             "%lld, stride %lld, pad %lld, dilation %lld (x %s, w %s, fill %d)",
             (long long)s.channels, (long long)s.out_channels, (long long)s.group,
             (long long)s.kernel[0], (long long)s.kernel[1], (long long)s.kernel[2],
             (long long)s.in[2], (long long)s.stride[2], (long long)s.pad[2],
             (long long)s.dilation[2], x_signed ? "int8" : "uint8", w_signed ? "int8" : "uint8",
             fill);
    const uint8_t *x = codes(s.batch * s.in[0] * s.in[1] * s.in[2] * s.channels, x_signed, fill);
    const uint8_t *w = codes(s.out_channels * in * taps, w_signed, fill);
    const int32_t x_zero = draw() % 2 ? draw_zero_point(x_signed, fill) : 0;
    int32_t *w_zero = draw_zero_points(s.out_channels, w_signed, fill);
    if (in_planes || draw() % 2) /* weights that fit int8 without it */
        memset(w_zero, 0, (size_t)s.out_channels * sizeof *w_zero);
    const int64_t rows = s.batch * pixels;
    ql_output output = draw_output(rows, s.out_channels, in * taps, 0);
    output.row_step = 0;
    const uint8_t *residual = in_planes ? NULL : draw_residual(&output, rows * s.out_channels);

    int64_t *exact = malloc((size_t)(rows * s.out_channels) * sizeof *exact), *next = exact;
    for (int64_t image = 0; image < s.batch; image++)
        for (int64_t d = 0; d < s.out[0]; d++)
            for (int64_t h = 0; h < s.out[1]; h++)
                for (int64_t v = 0; v < s.out[2]; v++)
                    for (int64_t o = 0; o < s.out_channels; o++)
                        *next++ = convolve_at(&s, x, x_signed, x_zero, w, w_signed, w_zero, image,
                                              (int64_t[]){d, h, v}, o) +
                                  (output.bias == NULL ? 0 : output.bias[o]);

    ql_filter *filter = ql_filter_pack(w, w_signed, w_zero, &s, 1);
    if (filter == NULL)
        fail("not packed");
    uint8_t *unpacked = allocate(s.out_channels * in * taps);
    if (ql_filter_unpack(filter, unpacked, w_signed) != QL_OK ||
        memcmp(unpacked, w, (size_t)(s.out_channels * in * taps)) != 0)
        fail("weights were not unpacked");
    uint8_t *y = draw_result(&output, rows, s.out_channels, s.out_channels);
    const int64_t in_pixels = s.in[0] * s.in[1] * s.in[2], size = bytes_of(output.type);
    if (s.in[2] % 2) /* what a filter arranges for its first call, the next ones may not need */
        ql_conv(filter, x, x_signed, x_zero == 0, &s, 0, &output, residual, y);
    int status = ql_conv(filter, x, x_signed, x_zero, &s, 0, &output, residual, y);
    compare_result(&output, status, exact, rows, s.out_channels, y, s.out_channels);
    uint8_t *again = draw_result(&output, rows, s.out_channels, s.out_channels);
    if (ql_conv(filter, x, x_signed, x_zero, &s, 0, &output, residual, again) != status ||
        (status == QL_OK && memcmp(again, y, (size_t)(rows * s.out_channels * size)) != 0))
        fail("another call has another result");
    uint8_t *x_first = allocate(s.batch * in_pixels * s.channels);
    reorder(x, x_first, s.batch, in_pixels, s.channels, 1);
    uint8_t *first_residual = residual == NULL ? NULL : allocate(rows * s.out_channels);
    if (residual != NULL)
        reorder(residual, first_residual, s.batch, pixels, s.out_channels, 1);
    uint8_t *y_first = allocate(s.batch * pixels * s.out_channels * size);
    status = ql_conv(filter, x_first, x_signed, x_zero, &s, 1, &output, first_residual, y_first);
    reorder(y_first, y, s.batch, s.out_channels, pixels, size);
    compare_result(&output, status, exact, rows, s.out_channels, y, s.out_channels);
    ql_filter_free(filter);
    free(exact);
    release_all();
}

void compare_convolutions(void) {
    for (int i = 0; i < 150; i++)
        compare_convolution(i % 2 ? ANY : draw() % FILLS, 0);
    for (int i = 0; i < 8; i++)
        compare_convolution(i % 2 ? ANY : draw() % FILLS, 1);
}

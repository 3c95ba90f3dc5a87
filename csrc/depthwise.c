/* Depthwise convolutions with channels last: each channel has a kernel of its own, so that vectors
 * of channels are convolved, a few output pixels of a line at once. */
#include "core.h"

enum { PIXELS = 8 }; /* that a kernel is given at once */

struct ql_depthwise_filter {
    const ql_kernels *kernels;
    int64_t channels, taps;
    int16_t *weights;      /* [tap][channel], code less zero point */
    int32_t zero_points[]; /* of the channels */
};

int ql_is_depthwise(const ql_conv_shape *shape) {
    return shape->group > 1 && shape->channels == shape->group &&
           shape->out_channels == shape->group && ql_fits_int32(ql_taps(shape), 255, 255, NULL, 0);
}

/* --- weights -------------------------------------------------------------------------------- */

static int64_t size_of(int64_t channels, int64_t taps) {
    return (int64_t)sizeof(ql_depthwise_filter) + channels * (taps * 2 + 4);
}

ql_depthwise_filter *ql_depthwise_pack(const uint8_t *w, int is_signed, const int32_t *zero_points,
                                       const ql_conv_shape *shape) {
    const int64_t taps = ql_taps(shape), channels = shape->channels;
    ql_depthwise_filter *filter = ql_allocate((size_t)size_of(channels, taps));
    if (filter == NULL)
        return NULL;
    filter->kernels = ql_current_kernels();
    filter->channels = channels;
    filter->taps = taps;
    filter->weights = (int16_t *)(filter->zero_points + channels);
    memcpy(filter->zero_points, zero_points, (size_t)channels * 4);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t tap = 0; tap < taps; tap++) {
            const uint8_t byte = w[c * taps + tap];
            const int32_t code = is_signed ? (int8_t)byte : byte;
            filter->weights[tap * channels + c] = (int16_t)(code - zero_points[c]);
        }
    return filter;
}

void ql_depthwise_unpack(const ql_depthwise_filter *filter, uint8_t *w) {
    const int64_t taps = filter->taps, channels = filter->channels;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t tap = 0; tap < taps; tap++)
            w[c * taps + tap] =
                (uint8_t)(filter->weights[tap * channels + c] + filter->zero_points[c]);
}

void ql_depthwise_free(ql_depthwise_filter *filter) {
    ql_release(filter);
}

int64_t ql_depthwise_size(const ql_depthwise_filter *filter) {
    return size_of(filter->channels, filter->taps);
}

/* --- sums ----------------------------------------------------------------------------------- */

/* A convolution cut into chunks of lines of output pixels for the threads. */
typedef struct {
    const ql_depthwise_filter *filter;
    const uint8_t *x;
    uint8_t flip;
    int32_t zero_point; /* of flipped bytes */
    const ql_conv_shape *shape;
    const ql_output *output;
    void *y;
    int64_t lines, chunk_lines;
    ql_status status;
} depthwise;

/* Where the patch of an output pixel begins, which may be outside the image. */
typedef struct {
    int64_t image, corner[3];
} position;

static position position_of_line(const ql_conv_shape *s, int64_t line) {
    position at;
    at.corner[2] = -s->pad[2];
    for (int axis = 1; axis >= 0; axis--) {
        at.corner[axis] = line % s->out[axis] * s->stride[axis] - s->pad[axis];
        line /= s->out[axis];
    }
    at.image = line;
    return at;
}

/* The taps of one output pixel that lie inside the image: where their codes and weights begin. */
static int64_t taps_inside(const depthwise *d, const position *at, const uint8_t **x,
                           const int16_t **w) {
    const ql_conv_shape *s = d->shape;
    const int16_t *weights = d->filter->weights;
    int64_t count = 0;
    for (int64_t td = 0; td < s->kernel[0]; td++)
        for (int64_t th = 0; th < s->kernel[1]; th++) {
            const int64_t depth = at->corner[0] + td * s->dilation[0];
            const int64_t h = at->corner[1] + th * s->dilation[1];
            const int inside_line = ql_inside(depth, s->in[0]) && ql_inside(h, s->in[1]);
            const int64_t line = ((at->image * s->in[0] + depth) * s->in[1] + h) * s->in[2];
            for (int64_t tw = 0; tw < s->kernel[2]; tw++, weights += s->channels) {
                const int64_t v = at->corner[2] + tw * s->dilation[2];
                if (!inside_line || !ql_inside(v, s->in[2]))
                    continue;
                x[count] = d->x + (line + v) * s->channels;
                w[count++] = weights;
            }
        }
    return count;
}

/* Adds the bias to the sums of one pixel; QL_OVERFLOW if one does not fit: then the sum has another
 * sign than both of its terms. Looked at all together, so that the loop vectorizes. */
static int add_bias(int32_t *restrict sums, const int32_t *restrict bias, int64_t channels) {
    uint32_t overflow = 0;
    for (int64_t c = 0; bias != NULL && c < channels; c++) {
        const uint32_t sum = (uint32_t)sums[c] + (uint32_t)bias[c];
        overflow |= ((uint32_t)sums[c] ^ sum) & ((uint32_t)bias[c] ^ sum);
        sums[c] = (int32_t)sum;
    }
    return overflow >> 31 ? QL_OVERFLOW : QL_OK;
}

/* How many output pixels from this one on, in its line, have all their taps inside the line: they
 * read what this one reads, a stride further each. 1 at the borders. */
static int64_t alike(const ql_conv_shape *s, const position *at) {
    const int64_t last = s->in[2] - 1 - (s->kernel[2] - 1) * s->dilation[2];
    if (at->corner[2] < 0 || at->corner[2] > last)
        return 1;
    const int64_t column = (at->corner[2] + s->pad[2]) / s->stride[2];
    return ql_min((last - at->corner[2]) / s->stride[2] + 1, s->out[2] - column);
}

static int convolve_line(const depthwise *d, int64_t line, const uint8_t **x, const int16_t **w,
                         int32_t *sums) {
    const ql_kernels *kernels = d->filter->kernels;
    const ql_conv_shape *s = d->shape;
    position at = position_of_line(s, line);
    for (int64_t pixel = 0, pixels; pixel < s->out[2]; pixel += pixels) {
        const int64_t taps = taps_inside(d, &at, x, w);
        pixels = ql_min(alike(s, &at), PIXELS);
        at.corner[2] += pixels * s->stride[2];
        kernels->depthwise(sums, s->channels, pixels, taps, x, s->stride[2] * s->channels, d->flip,
                           d->zero_point, w);
        for (int64_t p = 0; p < pixels; p++) {
            const int status = add_bias(sums + p * s->channels, d->output->bias, s->channels);
            if (status != QL_OK)
                return status;
        }
        ql_finish(kernels, d->output, sums, s->channels, line * s->out[2] + pixel, pixels, 0,
                  s->channels, d->y, s->channels);
    }
    return QL_OK;
}

static void convolve_chunk(void *context, long chunk) {
    depthwise *d = context;
    const int64_t taps = d->filter->taps, first = chunk * d->chunk_lines;
    const int64_t pointers = taps * 2 * (int64_t)sizeof(void *);
    char *scratch = ql_allocate((size_t)(pointers + d->shape->channels * 4 * PIXELS));
    if (scratch == NULL) {
        ql_report(&d->status, QL_NO_MEMORY);
        return;
    }
    int status = QL_OK;
    for (int64_t line = first; line < ql_min(first + d->chunk_lines, d->lines) && status == QL_OK;
         line++)
        status = convolve_line(d, line, (const uint8_t **)scratch, (const int16_t **)scratch + taps,
                               (int32_t *)(scratch + pointers));
    ql_report(&d->status, status);
    ql_release(scratch);
}

int ql_depthwise_conv(const ql_depthwise_filter *filter, const uint8_t *x, int x_signed,
                      int32_t x_zero_point, const ql_conv_shape *shape, const ql_output *output,
                      void *y) {
    enum { CHUNK = 256 * 1024 }; /* products that are worth a chunk of their own */
    depthwise d = {.filter = filter,
                   .x = x,
                   .flip = ql_flip(x_signed, 0),
                   .zero_point = x_zero_point + ql_shift(x_signed, 0),
                   .shape = shape,
                   .output = output,
                   .y = y,
                   .lines = shape->batch * shape->out[0] * shape->out[1],
                   .status = {QL_OK}};
    if (d.lines * shape->out[2] == 0)
        return QL_OK;
    d.chunk_lines = CHUNK / (filter->taps * shape->channels * shape->out[2]) + 1;
    ql_run_chunks((long)ql_ceil_div(d.lines, d.chunk_lines), convolve_chunk, &d);
    return ql_reported(&d.status);
}

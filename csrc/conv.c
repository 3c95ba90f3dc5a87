/* Convolutions with channels last.
 *
 * A convolution is a product whose row for an output pixel is the patch of input under the kernel.
 * The rows are gathered while a block of them is loaded, so that no matrix of patches ever exists:
 * what a convolution needs besides input, output and weights is the block, 256 KiB or one tile of
 * rows. A tap outside the image has the code of the zero point, whose products are 0.
 *
 * Groups are separate products on slices of the channels. Depthwise convolutions (one input and
 * one output channel a group) run on vectors of channels instead, one output pixel at a time. */
#include "core.h"

struct ql_filter {
    const ql_kernels *kernels;
    ql_conv_shape shape;
    int64_t depth; /* products that one output sums */
    int64_t size;
    int16_t *depthwise;   /* [tap][channel], code less zero point; or NULL */
    int32_t *zero_points; /* of the channels, if depthwise */
    ql_matrix *groups[];  /* or none */
};

static int64_t taps_of(const ql_conv_shape *shape) {
    return shape->kernel[0] * shape->kernel[1] * shape->kernel[2];
}

static int is_depthwise(const ql_conv_shape *shape) {
    return shape->group > 1 && shape->channels == shape->group &&
           shape->out_channels == shape->group && ql_fits_int32(taps_of(shape), 255, 255, NULL, 0);
}

/* --- weights -------------------------------------------------------------------------------- */

static void pack_depthwise(ql_filter *filter, const uint8_t *w, int is_signed,
                           const int32_t *zero_points) {
    const int64_t taps = taps_of(&filter->shape), channels = filter->shape.channels;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t tap = 0; tap < taps; tap++) {
            const uint8_t byte = w[c * taps + tap];
            const int32_t code = is_signed ? (int8_t)byte : byte;
            filter->depthwise[tap * channels + c] = (int16_t)(code - zero_points[c]);
        }
}

static void unpack_depthwise(const ql_filter *filter, uint8_t *w) {
    const int64_t taps = taps_of(&filter->shape), channels = filter->shape.channels;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t tap = 0; tap < taps; tap++)
            w[c * taps + tap] =
                (uint8_t)(filter->depthwise[tap * channels + c] + filter->zero_points[c]);
}

/* Packs one group from (out, in, tap) order into products of (tap, in) order. */
static ql_matrix *pack_group(const ql_conv_shape *shape, const uint8_t *w, int is_signed,
                             const int32_t *zero_points, uint8_t *reordered) {
    const int64_t taps = taps_of(shape), in = shape->channels / shape->group;
    const int64_t out = shape->out_channels / shape->group;
    for (int64_t o = 0; o < out; o++)
        for (int64_t c = 0; c < in; c++)
            for (int64_t tap = 0; tap < taps; tap++)
                reordered[(tap * in + c) * out + o] = w[(o * in + c) * taps + tap];
    return ql_matrix_pack(reordered, taps * in, out, out, 1, is_signed, zero_points);
}

/* And back. */
static void unpack_group(const ql_filter *filter, int64_t group, uint8_t *w, int is_signed,
                         uint8_t *reordered) {
    const ql_conv_shape *shape = &filter->shape;
    const int64_t taps = taps_of(shape), out = shape->out_channels / shape->group;
    const int64_t in = shape->channels / shape->group;
    ql_matrix_unpack(filter->groups[group], reordered, is_signed);
    for (int64_t o = 0; o < out; o++)
        for (int64_t c = 0; c < in; c++)
            for (int64_t tap = 0; tap < taps; tap++)
                w[(o * in + c) * taps + tap] = reordered[(tap * in + c) * out + o];
}

ql_filter *ql_filter_pack(const void *w_, int is_signed, const int32_t *zero_points,
                          const ql_conv_shape *shape) {
    const uint8_t *w = w_;
    const int64_t taps = taps_of(shape), out = shape->out_channels / shape->group;
    const int64_t in = shape->channels / shape->group;
    const int depthwise = is_depthwise(shape);
    const int64_t groups = shape->out_channels > 0 ? shape->group : 0; /* that have anything */
    const int64_t extra = depthwise ? shape->channels * (taps * 2 + 4) : groups * 8;
    ql_filter *filter = ql_allocate(sizeof *filter + (size_t)extra);
    if (filter == NULL)
        return NULL;
    *filter = (ql_filter){
        .kernels = ql_current_kernels(),
        .shape = *shape,
        .depth = taps * in,
        .size = (int64_t)sizeof *filter + extra,
    };
    filter->shape.group = groups;
    if (depthwise) {
        filter->zero_points = (int32_t *)filter->groups;
        filter->depthwise = (int16_t *)(filter->zero_points + shape->channels);
        memcpy(filter->zero_points, zero_points, (size_t)shape->channels * 4);
        pack_depthwise(filter, w, is_signed, zero_points);
        return filter;
    }
    memset(filter->groups, 0, (size_t)groups * sizeof *filter->groups);
    uint8_t *reordered = ql_allocate((size_t)(filter->depth * out));
    int failed = reordered == NULL;
    for (int64_t g = 0; g < groups && !failed; g++) {
        filter->groups[g] = pack_group(shape, w + g * out * filter->depth, is_signed,
                                       zero_points + g * out, reordered);
        failed = filter->groups[g] == NULL;
        filter->size += failed ? 0 : filter->groups[g]->size;
    }
    ql_release(reordered);
    if (!failed)
        return filter;
    ql_filter_free(filter);
    return NULL;
}

int ql_filter_unpack(const ql_filter *filter, void *w, int is_signed) {
    const ql_conv_shape *shape = &filter->shape;
    if (filter->depthwise != NULL)
        unpack_depthwise(filter, w);
    if (filter->depthwise != NULL || shape->group == 0)
        return QL_OK;
    const int64_t size = shape->out_channels / shape->group * filter->depth;
    uint8_t *reordered = ql_allocate((size_t)size);
    if (reordered == NULL)
        return QL_NO_MEMORY;
    for (int64_t g = 0; g < shape->group; g++)
        unpack_group(filter, g, (uint8_t *)w + g * size, is_signed, reordered);
    ql_release(reordered);
    return QL_OK;
}

void ql_filter_free(ql_filter *filter) {
    if (filter == NULL)
        return;
    for (int64_t g = 0; filter->depthwise == NULL && g < filter->shape.group; g++)
        ql_matrix_free(filter->groups[g]);
    ql_release(filter);
}

int64_t ql_filter_size(const ql_filter *filter) {
    return filter->size;
}

/* --- patches -------------------------------------------------------------------------------- */

/* What gathering a row needs. */
typedef struct {
    const ql_conv_shape *shape;
    const uint8_t *x;
    int64_t first_channel, channels; /* of the group */
    uint8_t zero;                    /* the byte of the zero point */
} patches;

/* Where an output pixel's patch begins, which may be outside the image. */
typedef struct {
    int64_t image, corner[3];
} position;

static position position_of(const ql_conv_shape *s, int64_t pixel) {
    position at;
    for (int axis = 2; axis >= 0; axis--) {
        at.corner[axis] = pixel % s->out[axis] * s->stride[axis] - s->pad[axis];
        pixel /= s->out[axis];
    }
    at.image = pixel;
    return at;
}

/* Steps to the next output pixel. */
static void advance(const ql_conv_shape *s, position *at) {
    for (int axis = 2; axis >= 0; axis--) {
        at->corner[axis] += s->stride[axis];
        if (at->corner[axis] < s->out[axis] * s->stride[axis] - s->pad[axis])
            return;
        at->corner[axis] = -s->pad[axis];
    }
    at->image++;
}

static int inside(int64_t coordinate, int64_t extent) {
    return coordinate >= 0 && coordinate < extent;
}

/* Fills `count` elements with the zero point. */
static char *pad(const ql_kernels *kernels, const ql_rows *rows, char *to, int64_t count) {
    const uint8_t number = ((const patches *)rows->source)->zero ^ rows->flip;
    if (count == 0)
        return to;
    if (kernels->element_size == 1)
        memset(to, number, (size_t)count);
    else
        for (int64_t i = 0; i < count; i++)
            ((int16_t *)to)[i] = number;
    return to + count * kernels->element_size;
}

/* Loads a run; a short one, such as a pixel of three channels, without a call. */
static inline void load_run(const ql_kernels *kernels, char *to, const uint8_t *from, int64_t count,
                            uint8_t flip) {
    enum { SHORT = 16 };
    if (count >= SHORT)
        kernels->load(to, from, count, flip);
    else if (kernels->element_size == 1)
        for (int64_t k = 0; k < count; k++)
            ((uint8_t *)to)[k] = from[k] ^ flip;
    else
        for (int64_t k = 0; k < count; k++)
            ((int16_t *)to)[k] = from[k] ^ flip;
}

/* One row of the kernel: kernel[2] taps from (image, d, h, w) on. */
static char *gather_taps(const ql_rows *rows, const ql_kernels *kernels, const uint8_t *line,
                         int64_t w, char *to) {
    const patches *from = rows->source;
    const ql_conv_shape *s = from->shape;
    const int64_t taps = s->kernel[2], step = s->dilation[2], width = s->in[2];
    if (s->group == 1 && step == 1) { /* the taps lie side by side: padding, one copy, padding */
        const int64_t begin = ql_min(taps, ql_max(0, -w));
        const int64_t end = ql_max(begin, ql_min(taps, width - w));
        to = pad(kernels, rows, to, begin * s->channels);
        if (end > begin)
            load_run(kernels, to, line + (w + begin) * s->channels, (end - begin) * s->channels,
                     rows->flip);
        to += (end - begin) * s->channels * kernels->element_size;
        return pad(kernels, rows, to, (taps - end) * s->channels);
    }
    for (int64_t tap = 0; tap < taps; tap++, w += step) {
        if (!inside(w, width)) {
            to = pad(kernels, rows, to, from->channels);
            continue;
        }
        load_run(kernels, to, line + w * s->channels + from->first_channel, from->channels,
                 rows->flip);
        to += from->channels * kernels->element_size;
    }
    return to;
}

static void gather_patches(const ql_rows *rows, const ql_kernels *kernels, int64_t first,
                           int64_t count, char *panel, int64_t stride) {
    const patches *from = rows->source;
    const ql_conv_shape *s = from->shape;
    position at = position_of(s, first);
    for (int64_t i = 0; i < count; i++, advance(s, &at)) {
        char *to = panel + i * stride;
        for (int64_t td = 0; td < s->kernel[0]; td++)
            for (int64_t th = 0; th < s->kernel[1]; th++) {
                const int64_t d = at.corner[0] + td * s->dilation[0];
                const int64_t h = at.corner[1] + th * s->dilation[1];
                if (!inside(d, s->in[0]) || !inside(h, s->in[1])) {
                    to = pad(kernels, rows, to, s->kernel[2] * from->channels);
                    continue;
                }
                const int64_t line = (at.image * s->in[0] + d) * s->in[1] + h;
                to = gather_taps(rows, kernels, from->x + line * s->in[2] * s->channels,
                                 at.corner[2], to);
            }
    }
}

/* --- products ------------------------------------------------------------------------------- */

static int64_t pixels_of(const ql_conv_shape *shape) {
    return shape->batch * shape->out[0] * shape->out[1] * shape->out[2];
}

/* A kernel of one tap, without stride or padding, whose patches are the input itself. */
static int is_pointwise(const ql_conv_shape *s) {
    for (int axis = 0; axis < 3; axis++)
        if (s->kernel[axis] != 1 || s->stride[axis] != 1 || s->in[axis] != s->out[axis] ||
            s->pad[axis] != 0)
            return 0;
    return 1;
}

static int conv_groups(const ql_filter *filter, const ql_rows *common, const patches *all,
                       const ql_conv_shape *shape, const ql_output *output, char *y) {
    const int64_t in = shape->channels / shape->group, out = shape->out_channels / shape->group;
    for (int64_t g = 0; g < shape->group; g++) {
        patches mine = *all;
        mine.first_channel = g * in;
        mine.channels = in;
        ql_rows rows = *common;
        rows.source = &mine;
        if (is_pointwise(shape)) {
            rows.bytes = all->x + g * in;
            rows.stride = shape->channels;
        }
        const ql_output stage = ql_output_from(output, g * out);
        const int status =
            ql_product(filter->groups[g], NULL, &rows, &stage,
                       y + g * out * ql_size_of_result(output->type), shape->out_channels);
        if (status != QL_OK)
            return status;
    }
    return QL_OK;
}

/* The taps of one output pixel that lie inside the image: where their codes and weights begin. */
static int64_t taps_inside(const ql_filter *filter, const patches *from, const position *at,
                           const uint8_t **x, const int16_t **w) {
    const ql_conv_shape *s = from->shape;
    const int16_t *weights = filter->depthwise;
    int64_t count = 0;
    for (int64_t td = 0; td < s->kernel[0]; td++)
        for (int64_t th = 0; th < s->kernel[1]; th++) {
            const int64_t d = at->corner[0] + td * s->dilation[0];
            const int64_t h = at->corner[1] + th * s->dilation[1];
            const int inside_line = inside(d, s->in[0]) && inside(h, s->in[1]);
            const int64_t line = ((at->image * s->in[0] + d) * s->in[1] + h) * s->in[2];
            for (int64_t tw = 0; tw < s->kernel[2]; tw++, weights += s->channels) {
                const int64_t v = at->corner[2] + tw * s->dilation[2];
                if (!inside_line || !inside(v, s->in[2]))
                    continue;
                x[count] = from->x + (line + v) * s->channels;
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

enum { PIXELS = 8 }; /* that a depthwise kernel is given at once */

/* A depthwise convolution cut into chunks of output pixels for the threads. */
typedef struct {
    const ql_filter *filter;
    const ql_rows *rows;
    const ql_conv_shape *shape;
    const ql_output *output;
    void *y;
    int64_t chunk_pixels;
    ql_status status;
} depthwise;

/* How many output pixels from this one on, in its line, have all their taps inside the line: they
 * read what this one reads, a stride further each. 1 at the borders. */
static int64_t alike(const ql_conv_shape *s, const position *at) {
    const int64_t last = s->in[2] - 1 - (s->kernel[2] - 1) * s->dilation[2];
    if (at->corner[2] < 0 || at->corner[2] > last)
        return 1;
    const int64_t column = (at->corner[2] + s->pad[2]) / s->stride[2];
    return ql_min((last - at->corner[2]) / s->stride[2] + 1, s->out[2] - column);
}

static int convolve_pixels(const depthwise *d, int64_t first, int64_t last, const uint8_t **x,
                           const int16_t **w, int32_t *sums) {
    const ql_kernels *kernels = d->filter->kernels;
    const ql_conv_shape *s = d->shape;
    position at = position_of(s, first);
    for (int64_t pixel = first; pixel < last;) {
        const int64_t taps = taps_inside(d->filter, d->rows->source, &at, x, w);
        const int64_t pixels = ql_min(ql_min(alike(s, &at), PIXELS), last - pixel);
        kernels->depthwise(sums, s->channels, pixels, taps, x, s->stride[2] * s->channels,
                           d->rows->flip, d->rows->zero_point[0], w);
        for (int64_t p = 0; p < pixels; p++) {
            const int status = add_bias(sums + p * s->channels, d->output->bias, s->channels);
            if (status != QL_OK)
                return status;
            advance(s, &at);
        }
        ql_finish(kernels, d->output, sums, s->channels, pixel, pixels, 0, s->channels, d->y,
                  s->channels);
        pixel += pixels;
    }
    return QL_OK;
}

static void convolve_chunk(void *context, long chunk) {
    depthwise *c = context;
    const int64_t taps = taps_of(c->shape), first = chunk * c->chunk_pixels;
    const int64_t pointers = taps * 2 * (int64_t)sizeof(void *);
    char *scratch = ql_allocate((size_t)(pointers + c->shape->channels * 4 * PIXELS));
    if (scratch == NULL) {
        ql_report(&c->status, QL_NO_MEMORY);
        return;
    }
    ql_report(&c->status,
              convolve_pixels(c, first, ql_min(c->rows->count, first + c->chunk_pixels),
                              (const uint8_t **)scratch, (const int16_t **)scratch + taps,
                              (int32_t *)(scratch + pointers)));
    ql_release(scratch);
}

static int conv_depthwise(const ql_filter *filter, const ql_rows *rows, const ql_conv_shape *shape,
                          const ql_output *output, void *y) {
    enum { CHUNK = 256 * 1024 }; /* products that are worth a chunk of their own */
    depthwise c = {filter, rows, shape, output, y, 0, {QL_OK}};
    c.chunk_pixels = CHUNK / (taps_of(shape) * shape->channels) + 1;
    ql_run_chunks((long)ql_ceil_div(rows->count, c.chunk_pixels), convolve_chunk, &c);
    return ql_reported(&c.status);
}

int ql_conv(const ql_filter *filter, const void *x, int x_signed, int32_t x_zero_point,
            const ql_conv_shape *shape, const ql_output *output, void *y) {
    const patches all = {shape, x, 0, shape->channels, (uint8_t)x_zero_point};
    const int to_signed = filter->depthwise == NULL && filter->kernels->left_signed;
    const int32_t zero_point = x_zero_point + ql_shift(x_signed, to_signed);
    const ql_rows rows = {.count = pixels_of(shape),
                          .load = gather_patches,
                          .flip = ql_flip(x_signed, to_signed),
                          .zero_point = &zero_point,
                          .source = &all};
    if (rows.count == 0 || shape->out_channels == 0)
        return QL_OK;
    if (filter->depthwise != NULL)
        return conv_depthwise(filter, &rows, shape, output, y);
    return conv_groups(filter, &rows, &all, shape, output, y);
}

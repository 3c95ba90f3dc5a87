/* Convolutions with channels last.
 *
 * A convolution is a product whose row for an output pixel is the patch of input under the kernel.
 * The rows are gathered while a block of them is loaded, so that no matrix of patches ever exists:
 * what a convolution needs besides input, output and weights is the block, 256 KiB or one tile of
 * rows. A tap outside the image has the code of the zero point, whose products are 0.
 *
 * Groups are separate products on slices of the channels. Depthwise convolutions run on vectors of
 * channels instead (depthwise.c). */
#include "core.h"

struct ql_filter {
    const ql_kernels *kernels;
    ql_conv_shape shape;
    int64_t depth; /* products that one output sums */
    int64_t size;
    ql_depthwise_filter *depthwise; /* or NULL */
    ql_matrix *groups[];            /* or none */
};

/* --- weights -------------------------------------------------------------------------------- */

/* Packs one group from (out, in, tap) order into products of (tap, in) order. */
static ql_matrix *pack_group(const ql_conv_shape *shape, const uint8_t *w, int is_signed,
                             const int32_t *zero_points, uint8_t *reordered) {
    const int64_t taps = ql_taps(shape), in = shape->channels / shape->group;
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
    const int64_t taps = ql_taps(shape), out = shape->out_channels / shape->group;
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
    const int64_t out = shape->out_channels / shape->group;
    const int depthwise = ql_is_depthwise(shape);
    /* Those that have anything. */
    const int64_t groups = shape->out_channels > 0 && !depthwise ? shape->group : 0;
    const int64_t size = (int64_t)sizeof(ql_filter) + groups * (int64_t)sizeof(ql_matrix *);
    ql_filter *filter = ql_allocate((size_t)size);
    if (filter == NULL)
        return NULL;
    *filter = (ql_filter){
        .kernels = ql_current_kernels(),
        .shape = *shape,
        .depth = ql_taps(shape) * (shape->channels / shape->group),
        .size = size,
    };
    filter->shape.group = groups;
    memset(filter->groups, 0, (size_t)groups * sizeof *filter->groups);
    int failed = 0;
    if (depthwise) {
        filter->depthwise = ql_depthwise_pack(w, is_signed, zero_points, shape);
        failed = filter->depthwise == NULL;
        filter->size += failed ? 0 : ql_depthwise_size(filter->depthwise);
    }
    uint8_t *reordered = groups == 0 ? NULL : ql_allocate((size_t)(filter->depth * out));
    failed |= groups > 0 && reordered == NULL;
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
        ql_depthwise_unpack(filter->depthwise, w);
    if (shape->group == 0)
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
    ql_depthwise_free(filter->depthwise);
    for (int64_t g = 0; g < filter->shape.group; g++)
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
        if (!ql_inside(w, width)) {
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
                if (!ql_inside(d, s->in[0]) || !ql_inside(h, s->in[1])) {
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

int ql_conv(const ql_filter *filter, const void *x, int x_signed, int32_t x_zero_point,
            const ql_conv_shape *shape, const ql_output *output, void *y) {
    if (filter->depthwise != NULL)
        return ql_depthwise_conv(filter->depthwise, x, x_signed, x_zero_point, shape, output, y);
    const patches all = {shape, x, 0, shape->channels, (uint8_t)x_zero_point};
    const int to_signed = filter->kernels->left_signed;
    const int32_t zero_point = x_zero_point + ql_shift(x_signed, to_signed);
    const ql_rows rows = {.count = pixels_of(shape),
                          .load = gather_patches,
                          .flip = ql_flip(x_signed, to_signed),
                          .zero_point = &zero_point,
                          .source = &all};
    if (rows.count == 0 || shape->out_channels == 0)
        return QL_OK;
    return conv_groups(filter, &rows, &all, shape, output, y);
}

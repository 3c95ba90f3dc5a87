/* The weights of convolutions with channels first: see planes.c. */
#include "planes.h"

enum {
    FEW_CHANNELS = 16,  /* too few to fill a part of K */
    MANY_CHANNELS = 48, /* that are worth whole pixels */
    MOST_STRIDE = 2
};

static int64_t channels_of(const ql_conv_shape *shape) {
    return shape->channels / shape->group;
}

/* Whether places are pixels: of kernels whose tiles would lie across cache lines, and of a stride,
 * for which elements would have to be put side by side for each tap. */
static int is_of_pixels(const ql_kernels *kernels, const ql_conv_shape *shape) {
    return kernels->pixel_tile != NULL && ql_taps(shape) > 1 &&
           channels_of(shape) >= MANY_CHANNELS && shape->stride[1] <= MOST_STRIDE &&
           shape->stride[2] <= MOST_STRIDE;
}

/* Whether places are whole patches, which overlap: of few channels, as in first layers. */
static int is_of_patches(const ql_kernels *kernels, const ql_conv_shape *shape) {
    return kernels->pixel_tile != NULL && ql_taps(shape) > 1 && shape->group == 1 &&
           shape->channels < FEW_CHANNELS && shape->kernel[2] > shape->stride[2] &&
           shape->dilation[2] == 1;
}

int ql_planes_have_use(const ql_conv_shape *shape, int is_signed, const int32_t *zero_points) {
    const ql_kernels *kernels = ql_current_kernels();
    const int64_t taps = ql_taps(shape), channels = channels_of(shape);
    const int strided = shape->stride[1] > 1 || shape->stride[2] > 1;
    const int64_t most = kernels->plane_depth;
    if (ql_is_grouped(kernels, shape) && !is_of_pixels(kernels, shape))
        return 0;
    if (kernels->plane_tile == NULL || (most > 0 && taps * channels > most) ||
        shape->kernel[0] != 1 || shape->out_channels == 0 || channels == 0 ||
        (taps > 1 && (strided || channels < FEW_CHANNELS) && !is_of_pixels(kernels, shape) &&
         !is_of_patches(kernels, shape)))
        return 0;
    for (int64_t o = 0; o < shape->out_channels; o++)
        if (zero_points[o] != (is_signed ? 0 : 128))
            return 0;
    return 1;
}

/* Where the weight of (row, tap, channel) is; rows are counted with those between convolutions. The
 * products of a patch are in the order (column of the kernel, channel, line of it). */
static int64_t place_of(const ql_plane_filter *f, int64_t row, int64_t tap, int64_t channel) {
    if (f->overlap > 0) {
        channel =
            (tap % f->columns * f->channels + channel) * (f->taps / f->columns) + tap / f->columns;
        tap = 0;
    }
    const int64_t taps = f->overlap > 0 ? 1 : f->taps;
    const int64_t groups = f->of_pixels ? QL_PLANE_PART_GROUPS : f->groups;
    const int64_t group = channel / QL_PLANE_GROUP, rest = channel % QL_PLANE_GROUP;
    const int64_t part = group / groups * taps + tap, in_part = group % groups;
    const int64_t in_block = row % QL_STRIP;
    if (!f->of_pixels)
        return row / QL_STRIP * f->block_step + part * QL_PLANE_PART_SIZE +
               in_block * QL_PART_BYTES + in_part * QL_PLANE_GROUP + rest;
    const int64_t strips = QL_PLANE_ROWS / QL_STRIP, strip = row % QL_PLANE_ROWS / QL_STRIP;
    return row / QL_PLANE_ROWS * strips * f->block_step +
           (part * strips + strip) * QL_PLANE_PART_SIZE +
           (in_part * QL_STRIP + in_block) * QL_PLANE_GROUP + rest;
}

ql_plane_filter *ql_planes_pack(const uint8_t *w, int is_signed, const ql_conv_shape *shape) {
    const ql_kernels *kernels = ql_current_kernels();
    const int64_t taps = ql_taps(shape), channels = channels_of(shape);
    const int64_t rows = shape->out_channels / shape->group;
    const int64_t row_step = ql_ceil_div(rows, QL_PLANE_ROWS) * QL_PLANE_ROWS;
    const int of_patches = is_of_patches(kernels, shape);
    const int of_pixels = of_patches || is_of_pixels(kernels, shape);
    const int64_t groups = ql_ceil_div(channels * (of_patches ? taps : 1), QL_PLANE_GROUP);
    const int64_t parts = ql_ceil_div(groups, QL_PLANE_PART_GROUPS);
    const int64_t block_step = (of_patches ? 1 : taps) * parts * QL_PLANE_PART_SIZE;
    const int64_t weights = shape->group * row_step / QL_STRIP * block_step;
    const int64_t header = (int64_t)(sizeof(ql_plane_filter) + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
    const int64_t size = header + weights + shape->out_channels * (int64_t)sizeof(int64_t);
    char *memory = ql_allocate((size_t)size);
    if (memory == NULL)
        return NULL;
    ql_plane_filter *f = (ql_plane_filter *)memory;
    *f = (ql_plane_filter){
        .kernels = kernels,
        .size = size,
        .group = shape->group,
        .channels = channels,
        .rows = rows,
        .taps = taps,
        .row_step = row_step,
        .of_pixels = of_pixels,
        .columns = shape->kernel[2],
        .overlap = of_patches ? shape->stride[2] * shape->channels * shape->kernel[1] : 0,
        .groups = of_pixels ? 1 : ql_ceil_div(groups, parts),
        .parts = parts,
        .block_step = block_step,
        .sums = (int64_t *)(memory + header + weights),
        .weights = (int8_t *)(memory + header),
    };
    const uint8_t flip = ql_flip(is_signed, 1);
    memset(f->weights, 0, (size_t)weights);
    for (int64_t o = 0; o < shape->out_channels; o++) {
        f->sums[o] = 0;
        for (int64_t channel = 0; channel < channels; channel++)
            for (int64_t tap = 0; tap < taps; tap++) {
                const int8_t weight = (int8_t)(*w++ ^ flip);
                f->weights[place_of(f, ql_plane_row(f, o), tap, channel)] = weight;
                f->sums[o] += weight;
            }
    }
    return f;
}

void ql_planes_unpack(const ql_plane_filter *f, uint8_t *w, int is_signed) {
    const uint8_t flip = ql_flip(1, is_signed);
    for (int64_t o = 0; o < f->group * f->rows; o++)
        for (int64_t channel = 0; channel < f->channels; channel++)
            for (int64_t tap = 0; tap < f->taps; tap++)
                *w++ = (uint8_t)f->weights[place_of(f, ql_plane_row(f, o), tap, channel)] ^ flip;
}

void ql_planes_free(ql_plane_filter *filter) {
    ql_release(filter);
}

int64_t ql_planes_size(const ql_plane_filter *filter) {
    return filter->size;
}

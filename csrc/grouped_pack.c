/* The weights of convolutions of groups, packed: see grouped.c. */
#include "grouped.h"

enum {
    HEADER = 4 * QL_ALIGNMENT, /* of a filter, before its weights */
    MOST_IN_TILES = 64,        /* channels of a group */
    MOST_OUT_OF_TILES = 128
};

int ql_are_in_tiles(const ql_kernels *kernels, const ql_conv_shape *shape) {
    const int64_t width = shape->channels / shape->group, out = shape->out_channels / shape->group;
    const int is_narrow = width == out && (width == 2 || width == 4 || width == 8);
    return kernels->grouped_tiles != NULL && !is_narrow && ql_taps(shape) > 1 && width > 0 &&
           width <= MOST_IN_TILES && out > 0 && out <= MOST_OUT_OF_TILES;
}

/* The part of a weight that an element can be multiplied by. */
static int32_t part_of(int64_t numbers, int32_t weight) {
    return numbers == 2 ? weight : (int32_t)ql_max(-128, ql_min(127, weight));
}

static int32_t weight_at(const uint8_t *w, int64_t i, int is_signed, int32_t zero_point) {
    return (is_signed ? (int8_t)w[i] : w[i]) - zero_point;
}

/* How many parts the weights have. */
static int64_t count_repeats(int64_t numbers, const uint8_t *w, int is_signed,
                             const int32_t *zero_points, int64_t channels, int64_t depth) {
    int64_t most = 1;
    for (int64_t i = 0; i < channels * depth; i++) {
        int32_t weight = weight_at(w, i, is_signed, zero_points[i / depth]);
        int64_t parts = 1;
        for (; (weight -= part_of(numbers, weight)) != 0; parts++)
            ;
        most = ql_max(most, parts);
    }
    return most;
}

/* Where the first part of a weight is: it meets elements of its own place, or those `turns`
 * further. Of elements that are cut into two parts, the first has the even channels. */
static char *place_of_weight(const ql_grouped_filter *f, int64_t out, int64_t in, int64_t tap) {
    const int64_t channel = out / f->width * f->width + in;
    const int64_t element = out % QL_GROUPED_BLOCK / 4, from = channel % QL_GROUPED_BLOCK / 4;
    const int64_t vector = (from - element + f->turns) % f->turns * 4 + out % 4;
    const int64_t parts = 4 / f->numbers, number = channel % 4;
    return f->weights + out / QL_GROUPED_BLOCK * ql_bytes_of_block(f) + tap * ql_bytes_of_tap(f) +
           ((vector * parts + number % parts) * QL_GROUPED_ELEMENTS + element) * 4 +
           number / parts * parts;
}

/* The same in tiles. */
static char *place_in_tiles(const ql_grouped_filter *f, int64_t out, int64_t in, int64_t tap) {
    const int64_t group = out / f->out_width, slice = group / f->slice_groups;
    const int64_t in_slice = out - slice * f->slice_groups * f->out_width;
    const int64_t strip = slice * f->strips + in_slice / f->strip_outputs;
    const int64_t byte = tap % f->line_taps * f->apart + group % f->slice_groups * f->width + in;
    const int64_t piece = tap / f->line_taps * f->line_pieces + byte / QL_GROUPED_BLOCK;
    return f->weights + strip * ql_bytes_of_strip(f) + piece * QL_PIECE_BYTES +
           (byte % QL_GROUPED_BLOCK / 4 * QL_STRIP + in_slice % f->strip_outputs) * 4 + byte % 4;
}

static void put_weight(ql_grouped_filter *f, int64_t out, int64_t in, int64_t tap, int32_t weight) {
    char *to = f->in_tiles ? place_in_tiles(f, out, in, tap) : place_of_weight(f, out, in, tap);
    const int64_t step =
        f->in_tiles ? ql_count_pieces(f) * QL_PIECE_BYTES : f->taps * ql_bytes_of_tap(f);
    for (; weight != 0; to += step) {
        const int32_t part = part_of(f->numbers, weight);
        if (f->numbers == 2)
            *(int16_t *)(void *)to = (int16_t)part;
        else
            *(int8_t *)to = (int8_t)part;
        weight -= part;
    }
}

static void put_weights(ql_grouped_filter *f, const uint8_t *w, int is_signed,
                        const int32_t *zero_points) {
    const int64_t depth = f->width * f->taps;
    for (int64_t out = 0; out < f->out_channels; out++) {
        f->totals[out] = 0;
        for (int64_t i = 0; i < depth; i++) {
            const int32_t weight = weight_at(w, out * depth + i, is_signed, zero_points[out]);
            put_weight(f, out, i / f->taps, i % f->taps, weight);
            f->totals[out] += weight;
        }
    }
}

/* How groups are cut for vectors: 64 channels of input become 64 of output. */
static void cut_for_vectors(ql_grouped_filter *f) {
    f->turns = ql_max(f->width / 4, 1);
    f->slice = f->block_channels = f->block_outputs = QL_GROUPED_BLOCK;
    f->slices = 1;
    f->slice_groups = QL_GROUPED_BLOCK / f->width;
    f->apart = QL_GROUPED_BLOCK;
    f->line_pieces = f->line_taps;
    f->blocks = ql_ceil_div(f->channels, QL_GROUPED_BLOCK);
}

/* For tiles: as many groups as have 16 outputs together, and no more than 64 channels, are a slice,
 * or one that has more. Taps of a line of the kernel that follow one another share pieces. */
static void cut_for_tiles(ql_grouped_filter *f, int64_t groups, int64_t dilation) {
    const int64_t most = ql_min(QL_STRIP / f->out_width, QL_GROUPED_BLOCK / f->width);
    f->slice_groups = ql_max(ql_min(most, groups), 1);
    f->slice = f->slice_groups * f->width;
    const int64_t outputs = f->slice_groups * f->out_width;
    f->strips = ql_ceil_div(outputs, QL_STRIP);
    f->strip_outputs = ql_ceil_div(outputs, f->strips);
    const int64_t whole = ql_ceil_div(groups, f->slice_groups);
    f->slices = ql_min(ql_max(QL_GROUPED_BLOCK / ql_max(outputs, f->slice), 1), whole);
    f->blocks = ql_ceil_div(whole, f->slices);
    f->block_channels = f->slices * f->slice;
    f->block_outputs = f->slices * outputs;
    f->apart =
        dilation == 1 ? f->slice : ql_ceil_div(f->slice, QL_GROUPED_BLOCK) * QL_GROUPED_BLOCK;
    f->line_pieces = ql_ceil_div(f->line_taps * f->apart, QL_GROUPED_BLOCK);
}

ql_grouped_filter *ql_grouped_pack(const uint8_t *w, int is_signed, const int32_t *zero_points,
                                   const ql_conv_shape *shape) {
    const int64_t width = shape->channels / shape->group, taps = ql_taps(shape);
    const ql_kernels *kernels = ql_current_kernels();
    ql_grouped_filter plan = {
        .kernels = kernels,
        .in_tiles = ql_are_in_tiles(kernels, shape),
        .lines = shape->kernel[1],
        .line_taps = shape->kernel[2],
        .channels = shape->channels,
        .out_channels = shape->out_channels,
        .width = width,
        .out_width = shape->out_channels / shape->group,
        .taps = taps,
        .repeats = count_repeats(kernels->depthwise_rows, w, is_signed, zero_points,
                                 shape->out_channels, width * taps),
        .numbers = kernels->depthwise_rows,
    };
    if (plan.in_tiles)
        cut_for_tiles(&plan, shape->group, shape->dilation[2]);
    else
        cut_for_vectors(&plan);
    const int64_t weights = plan.blocks * ql_bytes_of_block(&plan),
                  codes = plan.out_channels * width * taps;
    plan.size = HEADER + weights + plan.out_channels * 4 + codes;
    _Static_assert(sizeof plan <= HEADER, "weights begin at a cache line");
    ql_grouped_filter *filter = ql_allocate((size_t)plan.size);
    if (filter == NULL)
        return NULL;
    *filter = plan;
    filter->weights = (char *)filter + HEADER;
    filter->totals = (int32_t *)(filter->weights + weights);
    filter->codes = (uint8_t *)(filter->totals + plan.out_channels);
    memset(filter->weights, 0, (size_t)weights);
    memcpy(filter->codes, w, (size_t)codes);
    put_weights(filter, w, is_signed, zero_points);
    return filter;
}

void ql_grouped_unpack(const ql_grouped_filter *f, uint8_t *w) {
    memcpy(w, f->codes, (size_t)(f->out_channels * f->width * f->taps));
}

void ql_grouped_free(ql_grouped_filter *filter) {
    ql_release(filter);
}

int64_t ql_grouped_size(const ql_grouped_filter *filter) {
    return filter->size;
}

/* The weights of convolutions of narrow groups, packed: see grouped.c. */
#include "grouped.h"

enum { HEADER = 3 * QL_ALIGNMENT /* of a filter, before its weights */ };

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

/* The place of a weight, in bytes, among those of a piece: that of its byte number `channel`, which
 * of a piece of one tap is the input channel. Of elements that are cut into two parts, the first
 * has the even channels. */
static int64_t place_in_piece(const ql_grouped_filter *f, int64_t out, int64_t channel) {
    const int64_t element = out / 4, from = channel / 4;
    if (f->in_tiles)
        return ((out / QL_STRIP * QL_GROUPED_ELEMENTS + from) * QL_STRIP + out % QL_STRIP) * 4 +
               channel % 4;
    const int64_t vector = (from - element + f->turns) % f->turns * 4 + out % 4;
    const int64_t parts = 4 / f->numbers, number = channel % 4;
    return ((vector * parts + number % parts) * QL_GROUPED_ELEMENTS + element) * 4 +
           number / parts * parts;
}

/* Puts the weight of (output channel, channel of its group, tap) where its element is met. */
static void put_weight(ql_grouped_filter *f, int64_t out, int64_t in, int64_t tap, int32_t weight) {
    const int64_t channel = (out / f->width * f->width + in) % f->slice;
    const int64_t apart =
        f->line_pieces < f->line_taps ? f->slice : QL_GROUPED_BLOCK; /* taps of a line */
    const int64_t byte = tap % f->line_taps * apart + channel;
    const int64_t piece = tap / f->line_taps * f->line_pieces + byte / QL_GROUPED_BLOCK;
    const int64_t place = place_in_piece(f, out % QL_GROUPED_BLOCK, byte % QL_GROUPED_BLOCK);
    for (int64_t repeat = 0; weight != 0; repeat++) {
        const int32_t part = part_of(f->numbers, weight);
        char *to = f->weights + out / QL_GROUPED_BLOCK * ql_bytes_of_block(f) +
                   (repeat * ql_count_pieces(f) + piece) * ql_bytes_of_piece(f) + place;
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
    for (int64_t out = 0; out < f->channels; out++) {
        f->totals[out] = 0;
        for (int64_t i = 0; i < depth; i++) {
            const int32_t weight = weight_at(w, out * depth + i, is_signed, zero_points[out]);
            put_weight(f, out, i / f->taps, i % f->taps, weight);
            f->totals[out] += weight;
        }
    }
}

ql_grouped_filter *ql_grouped_pack(const uint8_t *w, int is_signed, const int32_t *zero_points,
                                   const ql_conv_shape *shape) {
    const int64_t width = shape->channels / shape->group, taps = ql_taps(shape);
    const ql_kernels *kernels = ql_current_kernels();
    const int in_tiles = ql_are_in_tiles(kernels, width);
    const int64_t slice = in_tiles ? ql_max(width, QL_STRIP) : QL_GROUPED_BLOCK;
    const int64_t line_taps = shape->kernel[2],
                  pieces = ql_ceil_div(line_taps * slice, QL_GROUPED_BLOCK);
    ql_grouped_filter plan = {
        .kernels = kernels,
        .in_tiles = in_tiles,
        .slice = slice,
        .lines = shape->kernel[1],
        .line_taps = line_taps,
        .line_pieces = shape->dilation[2] == 1 ? pieces : line_taps,
        .channels = shape->channels,
        .width = width,
        .turns = in_tiles ? QL_GROUPED_ELEMENTS : ql_max(width / 4, 1),
        .taps = taps,
        .repeats = count_repeats(kernels->depthwise_rows, w, is_signed, zero_points,
                                 shape->channels, width * taps),
        .numbers = kernels->depthwise_rows,
        .blocks = ql_ceil_div(shape->channels, QL_GROUPED_BLOCK),
    };
    const int64_t weights = plan.blocks * ql_bytes_of_block(&plan),
                  codes = plan.channels * width * taps;
    plan.size = HEADER + weights + plan.channels * 4 + codes;
    _Static_assert(sizeof plan <= HEADER, "weights begin at a cache line");
    ql_grouped_filter *filter = ql_allocate((size_t)plan.size);
    if (filter == NULL)
        return NULL;
    *filter = plan;
    filter->weights = (char *)filter + HEADER;
    filter->totals = (int32_t *)(filter->weights + weights);
    filter->codes = (uint8_t *)(filter->totals + plan.channels);
    memset(filter->weights, 0, (size_t)weights);
    memcpy(filter->codes, w, (size_t)codes);
    put_weights(filter, w, is_signed, zero_points);
    return filter;
}

void ql_grouped_unpack(const ql_grouped_filter *f, uint8_t *w) {
    memcpy(w, f->codes, (size_t)(f->channels * f->width * f->taps));
}

void ql_grouped_free(ql_grouped_filter *filter) {
    ql_release(filter);
}

int64_t ql_grouped_size(const ql_grouped_filter *filter) {
    return filter->size;
}

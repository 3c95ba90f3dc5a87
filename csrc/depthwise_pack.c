/* Weights of depthwise convolutions, packed as depthwise.c explains. */
#include "depthwise.h"

enum { BLOCKS = 3 }; /* of a kernel of 3 x 3 */

/* The bytes of the weights of a line in blocks. */
static int64_t size_of_blocks(const ql_depthwise_filter *f) {
    return BLOCKS * 4 * ql_ceil_div(f->channels * f->multiplier, QL_STRIP) * QL_STRIP;
}

static int has_blocks(const ql_depthwise_filter *f, const ql_conv_shape *s) {
    return f->kernels->square_blocks && f->repeats == 1 && ql_depthwise_square_lines(s) > 0 &&
           s->stride[2] == 2;
}

/* How many planes line number `line` of a bundle reads. */
static int64_t planes_of_line(const ql_depthwise_filter *f, int64_t line) {
    const int64_t last = (line * f->step + f->rows - 1) / f->kernels->depthwise_rows;
    return last - ql_depthwise_first_plane(f, line) + 1;
}

/* Chooses how many lines share planes: those that cost the least for each line, a dot product as
 * much as a shuffle, of which interleaving takes two. Those that come straight from lines of input
 * need not share planes. */
static void choose_bundle(ql_depthwise_filter *f, const ql_conv_shape *s) {
    const int64_t rows = f->kernels->depthwise_rows;
    const int64_t square = ql_depthwise_square_lines(s);
    const int64_t most = square > 0 ? square : s->kernel[0] == 1 && s->dilation[1] == 1 ? rows : 1;
    double least = 0;
    for (int64_t lines = 1; lines <= most; lines++) {
        ql_depthwise_filter next = *f;
        next.lines = lines;
        next.planes = ql_ceil_div((lines - 1) * f->step + f->rows, rows);
        next.reach = 0;
        for (int64_t line = 0; line < lines; line++)
            next.reach = ql_max(next.reach, planes_of_line(&next, line));
        const double cost = (double)(next.reach * f->taps) +
                            2 * (double)(next.planes * s->stride[2]) / (double)lines;
        if (lines == 1 || cost < least) {
            least = cost;
            *f = next;
        }
    }
}

static int32_t weight_at(const uint8_t *w, int64_t i, int is_signed, int32_t zero_point) {
    return (is_signed ? (int8_t)w[i] : w[i]) - zero_point;
}

/* The part of a weight that an element of a plane can be multiplied by. */
static int32_t part_of(const ql_depthwise_filter *f, int32_t weight) {
    return f->kernels->depthwise_rows == 2 ? weight : (int32_t)ql_max(-128, ql_min(127, weight));
}

/* How many parts the weights have. */
static int64_t count_repeats(const ql_depthwise_filter *f, const uint8_t *w, int is_signed,
                             const int32_t *zero_points) {
    const int64_t depth = f->rows * f->taps;
    int64_t most = 1;
    for (int64_t i = 0; i < f->channels * f->multiplier * depth; i++) {
        int32_t weight = weight_at(w, i, is_signed, zero_points[i / depth]);
        int64_t parts = 1;
        for (; (weight -= part_of(f, weight)) != 0; parts++)
            ;
        most = ql_max(most, parts);
    }
    return most;
}

/* Channels that stand together: a group of 16 for each lane of a vector, or half of that, and so
 * on down to a strip. */
typedef struct {
    int64_t first, width;
} stretch;

static stretch stretch_of(const ql_depthwise_filter *f, int64_t channel) {
    int64_t width = QL_STRIP * f->kernels->depthwise_lanes;
    while (width > QL_STRIP && channel / width * width + width > f->channels * f->multiplier)
        width /= 2;
    return (stretch){channel / width * width, width};
}

/* In a group, the first vector has the first four channels of each lane's 16, and so on. A strip is
 * in its own order. */
static inline void put_group_in_order(const int lanes, const char *entries, char *to) {
    enum { FOUR = 4 * sizeof(int32_t), VECTORS = QL_STRIP / 4 };
    for (int vector = 0; vector < VECTORS; vector++)
        for (int lane = 0; lane < lanes; lane++)
            memcpy(to + (vector * lanes + lane) * FOUR, entries + (lane * VECTORS + vector) * FOUR,
                   FOUR);
}

void ql_depthwise_put_in_order(const ql_depthwise_filter *f, const void *entries, void *to) {
    const int64_t channels = f->channels * f->multiplier;
    int64_t width = QL_STRIP * f->kernels->depthwise_lanes;
    for (int64_t first = 0; first < channels; first += width) {
        while (width > QL_STRIP && first + width > channels)
            width /= 2;
        const char *from = (const char *)entries + first * 4;
        char *group = (char *)to + first * 4;
        if (width == 4 * QL_STRIP)
            put_group_in_order(4, from, group);
        else if (width == 2 * QL_STRIP)
            put_group_in_order(2, from, group);
        else
            memcpy(group, from, (size_t)ql_min(width, channels - first) * 4);
    }
}

/* Puts a weight where convolutions with channels first have it. */
static void put_in_windows(ql_depthwise_filter *f, int64_t channel, int64_t row, int64_t tap,
                           int32_t weight) {
    for (int64_t repeat = 0; weight != 0; repeat++) {
        const int32_t part = part_of(f, weight);
        weight -= part;
        ql_channelwise_put(f->windows, channel, row, tap, repeat, part);
    }
}

/* Puts one weight of 3 x 3 where both of two lines with a stride of 2 have it. The two rows that a
 * line does not share with the other one are a block of two columns, [column][row], and another one
 * of which the kernel has only the first column; the row that both see is the last block. */
static void put_in_blocks(ql_depthwise_filter *f, int64_t place, int64_t row, int64_t tap,
                          int32_t weight) {
    const stretch s = stretch_of(f, place);
    for (int64_t line = 0; line < 2; line++) {
        const int is_shared = row == (line == 0 ? 2 : 0);
        const int64_t block = is_shared ? 2 : tap / 2;
        const int64_t number = is_shared ? tap : tap % 2 * 2 + row - line;
        const int64_t element = s.first * BLOCKS + block * s.width + place - s.first;
        ((int8_t *)f->blocks)[line * size_of_blocks(f) + 4 * element + number] = (int8_t)weight;
    }
}

/* Puts one weight where each line of a bundle has it. */
static void put_weight(ql_depthwise_filter *f, int64_t place, int64_t row, int64_t tap,
                       int32_t weight) {
    const int64_t rows = f->kernels->depthwise_rows;
    const stretch s = stretch_of(f, place);
    for (int64_t repeat = 0; weight != 0; repeat++) {
        const int32_t part = part_of(f, weight);
        weight -= part;
        for (int64_t line = 0; line < f->lines; line++) {
            const int64_t at = line * f->step + row - ql_depthwise_first_plane(f, line) * rows;
            const int64_t depth = (repeat * f->reach + at / rows) * f->taps + tap;
            const int64_t element =
                s.first * f->repeats * f->reach * f->taps + depth * s.width + place - s.first;
            char *to = f->weights + line * f->line_size + 4 * element;
            if (rows == 2)
                ((int16_t *)to)[at % rows] = (int16_t)part;
            else
                ((int8_t *)to)[at % rows] = (int8_t)part;
        }
    }
}

/* `channels` has room for an entry of each channel and of each place. */
static void put_weights(ql_depthwise_filter *f, const uint8_t *w, int is_signed,
                        const int32_t *zero_points, uint32_t *channels) {
    const int64_t count = f->channels * f->multiplier, depth = f->rows * f->taps;
    uint32_t *at_place = channels + count;
    for (int64_t i = 0; i < count; i++)
        channels[i] = (uint32_t)i;
    ql_depthwise_put_in_order(f, channels, at_place);
    for (int64_t place = 0; place < count; place++) {
        const int64_t channel = at_place[place];
        int32_t total = 0;
        for (int64_t i = 0; i < depth; i++) {
            const int32_t weight =
                weight_at(w, channel * depth + i, is_signed, zero_points[channel]);
            put_weight(f, place, i / f->taps, i % f->taps, weight);
            if (f->blocks != NULL)
                put_in_blocks(f, place, i / f->taps, i % f->taps, weight);
            if (f->windows != NULL)
                put_in_windows(f, channel, i / f->taps, i % f->taps, weight);
            total += weight;
        }
        f->totals[channel] = total;
    }
}

/* A filter is one block: plan, what the first call arranges, and from a cache line on weights. */
enum {
    PLAN = (sizeof(ql_depthwise_filter) + QL_ALIGNMENT - 1) / QL_ALIGNMENT * QL_ALIGNMENT,
    HEAD = PLAN + (sizeof(ql_depthwise_first) + QL_ALIGNMENT - 1) / QL_ALIGNMENT * QL_ALIGNMENT
};

ql_depthwise_filter *ql_depthwise_pack(const uint8_t *w, int is_signed, const int32_t *zero_points,
                                       const ql_conv_shape *shape) {
    ql_depthwise_filter plan = {
        .kernels = ql_current_kernels(),
        .channels = shape->channels,
        .multiplier = shape->out_channels / shape->channels,
        .rows = shape->kernel[0] * shape->kernel[1],
        .taps = shape->kernel[2],
        .step = shape->stride[1],
    };
    choose_bundle(&plan, shape);
    plan.repeats = count_repeats(&plan, w, is_signed, zero_points);
    const int64_t out = shape->out_channels, codes = out * ql_taps(shape);
    const int64_t strips = ql_ceil_div(out, QL_STRIP);
    plan.line_size = strips * plan.repeats * plan.reach * plan.taps * QL_STRIP * 4;
    const int64_t weights = plan.lines * plan.line_size, room = strips * QL_STRIP * 4;
    const int64_t blocks = has_blocks(&plan, shape) ? 2 * size_of_blocks(&plan) : 0;
    plan.size = HEAD + weights + blocks + 6 * room + out * 4 + codes;
    ql_depthwise_filter *filter = ql_allocate((size_t)plan.size);
    uint32_t *channels = ql_allocate((size_t)out * 2 * sizeof *channels);
    const int has_windows = ql_has_windows(plan.kernels, shape);
    if (has_windows)
        plan.windows = ql_channelwise_room(plan.kernels, shape, plan.repeats);
    if (filter != NULL && channels != NULL && (plan.windows != NULL || !has_windows)) {
        *filter = plan;
        filter->weights = (char *)filter + HEAD;
        filter->first = (ql_depthwise_first *)((char *)filter + PLAN);
        if (blocks > 0)
            filter->blocks = filter->weights + weights;
        char *memory = filter->weights + weights + blocks;
        *filter->first = (ql_depthwise_first){.start = (int32_t *)memory,
                                              .arranged = (float *)(memory + room),
                                              .bias = (int32_t *)(memory + 2 * room),
                                              .multiplier = (float *)(memory + 3 * room),
                                              .addend = (float *)(memory + 4 * room),
                                              .fused_start = (int32_t *)(memory + 5 * room)};
        filter->totals = (int32_t *)(memory + 6 * room);
        filter->codes = (uint8_t *)(filter->totals + out);
        memset(filter->weights, 0, (size_t)(weights + blocks));
        memcpy(filter->codes, w, (size_t)codes);
        put_weights(filter, w, is_signed, zero_points, channels);
    } else {
        ql_channelwise_free(plan.windows);
        ql_release(filter);
        filter = NULL;
    }
    ql_release(channels);
    return filter;
}

void ql_depthwise_unpack(const ql_depthwise_filter *f, uint8_t *w) {
    memcpy(w, f->codes, (size_t)(f->channels * f->multiplier * f->rows * f->taps));
}

void ql_depthwise_free(ql_depthwise_filter *filter) {
    if (filter != NULL)
        ql_channelwise_free(filter->windows);
    ql_release(filter);
}

int64_t ql_depthwise_size(const ql_depthwise_filter *filter) {
    return filter->size + ql_channelwise_size(filter->windows);
}

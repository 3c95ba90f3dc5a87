/* Depthwise convolutions with channels last: channels do not mix, each has kernels of its own.
 *
 * The rows of the kernel are taken `depthwise_rows` at a time: that many lines of input are
 * interleaved into a plane, whose elements hold what one channel of one column has in these lines,
 * so that a dot product of two or four numbers does the work. A plane serves all taps of a row, and
 * where the rows of several output lines overlap (one under another, stride 1), all of these: a
 * kernel of 3 x 3 on planes of four lines makes two output lines from each. Weights are packed for
 * each line of such a bundle, at other rows of the planes, with zeros in the rest.
 *
 * Of kernels of 3 x 3 that make codes, whole groups of channels may go straight from the lines to
 * the codes, their elements never leaving the registers; planes are for the rest of the channels.
 *
 *     sum of (x - zx) * (w - zw)  =  sum of x * (w - zw)  -  zx * sum of (w - zw)
 *
 * Padding has the code zx, so that the last term belongs to the channel; with the bias it is what
 * sums start from. Weights less their zero point may need nine bits: where planes are of bytes,
 * they are split, and the planes are gone through again for what is left.
 *
 * Beside input, output and weights a thread needs the planes of a bundle, cut into tiles of columns
 * and blocks of channels that fit SCRATCH_BYTES, if a tile of LEAST_TILE pixels and BLOCK_CHANNELS
 * does. Where channels are first and their planes are not convolved as they are (channelwise.c),
 * COPIED_CHANNELS of an image at a time have them last in a copy, and the output that they make is
 * copied back. */
#include "core.h"

enum {
    SCRATCH_BYTES = 24 * 1024, /* of planes: they stay in the first cache */
    LEAST_TILE = 16,           /* pixels, before channels are cut instead */
    BLOCK_CHANNELS = 64,       /* a block is a multiple of */
    MOST_COLUMNS = 4096,       /* that such a tile sees: other convolutions are sparse */
    COPIED_CHANNELS = 64,      /* of an image with channels first, at once */
    MOST_ROWS = 4              /* of a plane */
};

struct ql_depthwise_filter {
    const ql_kernels *kernels;
    int64_t size;
    int64_t channels, multiplier;   /* of the input; output channels for each */
    int64_t rows, taps;             /* of the kernel; taps in each row */
    int64_t lines, step;            /* of a bundle; input lines between them */
    int64_t planes, reach, repeats; /* of a bundle; of one of its lines; times through them */
    char *weights;                  /* [line][stretch][repeat][plane][tap][channel], 4 bytes each */
    int64_t line_size;              /* bytes */
    int32_t *totals;                /* of each output channel's weights */
    uint8_t *codes;                 /* as they were given */
    ql_channelwise_filter *windows; /* for channels first, or NULL */
};

/* The columns of input that so many pixels of a line see. */
static int64_t columns_of(const ql_conv_shape *s, int64_t pixels) {
    return (pixels - 1) * s->stride[2] + (s->kernel[2] - 1) * s->dilation[2] + 1;
}

int ql_is_depthwise(const ql_conv_shape *shape) {
    return shape->group > 1 && shape->channels == shape->group && shape->out_channels > 0 &&
           columns_of(shape, LEAST_TILE) <= MOST_COLUMNS &&
           ql_fits_int32(ql_taps(shape), 255, 255, NULL, 0);
}

/* --- weights -------------------------------------------------------------------------------- */

/* The planes that line number `line` of a bundle begins in and reads. */
static int64_t first_plane(const ql_depthwise_filter *f, int64_t line) {
    return line * f->step / f->kernels->depthwise_rows;
}

static int64_t planes_of_line(const ql_depthwise_filter *f, int64_t line) {
    const int64_t last = (line * f->step + f->rows - 1) / f->kernels->depthwise_rows;
    return last - first_plane(f, line) + 1;
}

/* Chooses how many lines share planes: those that cost the least for each line, a dot product as
 * much as a shuffle, of which interleaving takes two. */
static void choose_bundle(ql_depthwise_filter *f, const ql_conv_shape *s) {
    const int64_t rows = f->kernels->depthwise_rows;
    const int64_t most = s->kernel[0] == 1 && s->dilation[1] == 1 ? rows : 1;
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

/* Puts an entry of each channel, of four bytes, where planes have the channel. In a group, vectors
 * follow one another that have, of the 16 channels of each lane, the even ones of the first and of
 * the second half, then the odd ones. A strip is in its own order. */
static void put_in_order(const ql_depthwise_filter *f, const uint32_t *entries, uint32_t *to) {
    const int64_t channels = f->channels * f->multiplier;
    for (int64_t first = 0, width; first < channels; first += width) {
        width = stretch_of(f, first).width;
        const int64_t lanes = width / QL_STRIP, count = ql_min(width, channels - first);
        for (int64_t i = 0; lanes == 1 && i < count; i++)
            to[first + i] = entries[first + i];
        for (int64_t vector = 0; lanes > 1 && vector < 4; vector++)
            for (int64_t lane = 0; lane < lanes; lane++) {
                const uint32_t *from =
                    entries + first + lane * QL_STRIP + vector % 2 * 8 + vector / 2;
                for (int64_t i = 0; i < 4; i++)
                    to[first + (vector * lanes + lane) * 4 + i] = from[2 * i];
            }
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

/* Puts one weight where each line of a bundle has it. */
static void put_weight(ql_depthwise_filter *f, int64_t place, int64_t row, int64_t tap,
                       int32_t weight) {
    const int64_t rows = f->kernels->depthwise_rows;
    const stretch s = stretch_of(f, place);
    for (int64_t repeat = 0; weight != 0; repeat++) {
        const int32_t part = part_of(f, weight);
        weight -= part;
        for (int64_t line = 0; line < f->lines; line++) {
            const int64_t at = line * f->step + row - first_plane(f, line) * rows;
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
    put_in_order(f, channels, at_place);
    for (int64_t place = 0; place < count; place++) {
        const int64_t channel = at_place[place];
        int32_t total = 0;
        for (int64_t i = 0; i < depth; i++) {
            const int32_t weight =
                weight_at(w, channel * depth + i, is_signed, zero_points[channel]);
            put_weight(f, place, i / f->taps, i % f->taps, weight);
            if (f->windows != NULL)
                put_in_windows(f, channel, i / f->taps, i % f->taps, weight);
            total += weight;
        }
        f->totals[channel] = total;
    }
}

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
    const int64_t weights = plan.lines * plan.line_size;
    plan.size = QL_ALIGNMENT * 2 + weights + out * 4 + codes;
    _Static_assert(sizeof plan <= QL_ALIGNMENT * 2, "weights begin at a cache line");
    ql_depthwise_filter *filter = ql_allocate((size_t)plan.size);
    uint32_t *channels = ql_allocate((size_t)out * 2 * sizeof *channels);
    const int has_windows = ql_has_windows(plan.kernels, shape);
    if (has_windows)
        plan.windows = ql_channelwise_room(plan.kernels, shape, plan.repeats);
    if (filter != NULL && channels != NULL && (plan.windows != NULL || !has_windows)) {
        *filter = plan;
        filter->weights = (char *)filter + QL_ALIGNMENT * 2;
        filter->totals = (int32_t *)(filter->weights + weights);
        filter->codes = (uint8_t *)(filter->totals + out);
        memset(filter->weights, 0, (size_t)weights);
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

/* --- a call --------------------------------------------------------------------------------- */

/* A convolution cut into items, bundles of lines by tiles of pixels, for the threads. */
typedef struct {
    const ql_depthwise_filter *filter;
    const uint8_t *x;
    uint8_t flip, zero; /* of bytes of x; the byte of the zero point */
    const ql_conv_shape *shape;
    const ql_output *output;
    const uint8_t *residual; /* laid out like y, or NULL */
    char *y;
    int64_t first_channel, channels; /* of input, that x has, and y the output channels of */
    int32_t *start;                  /* what sums start from, for whole strips */
    int fits;       /* whether that includes the bias, because all sums fit int32 with it */
    int in_windows; /* whether channels that are first stay so */
    ql_codes codes; /* what becomes of them, if has_codes: then no sums are stored */
    int has_codes;
    int64_t bundles, tiles, chunk_items;
    int64_t tile, columns; /* pixels; columns of input that they see, up to QL_PIXELS more */
    int64_t squares;       /* channels that need no planes, the first ones */
    int64_t block;         /* channels of input */
    int64_t plane_step;    /* bytes */
    ql_status status;
} convolution;

/* A thread's memory. */
typedef struct {
    char *memory, *planes;
    int32_t *sums;
    uint8_t *padding;  /* a line of the zero point's byte */
    uint8_t *repeated; /* lines with each byte as often as output channels need it */
} workspace;

/* An item: where its output begins. */
typedef struct {
    int64_t image, depth, line, pixel;
    int64_t lines, pixels;
} place;

static int64_t whole_pixels(int64_t pixels) {
    return ql_ceil_div(pixels, QL_PIXELS) * QL_PIXELS;
}

/* How many channels are done without planes: groups, and half a group where planes would serve one
 * line only, if codes come of kernels of 3 x 3. */
static int64_t count_squares(const convolution *c) {
    const ql_depthwise_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    const int is_square = s->kernel[0] == 1 && s->kernel[1] == 3 && s->kernel[2] == 3 &&
                          s->dilation[1] == 1 && s->dilation[2] == 1 && s->stride[2] <= 2 &&
                          f->planes == 1 && f->lines <= 3 - s->stride[2];
    if (f->kernels->depthwise_square == NULL || !c->has_codes || !is_square || f->repeats > 1 ||
        f->multiplier > 1)
        return 0;
    const int64_t unit = s->stride[2] == 2 ? BLOCK_CHANNELS / 2 : BLOCK_CHANNELS;
    return c->channels / unit * unit;
}

/* Cuts lines into tiles until their planes fit, then channels into blocks. */
static void cut(convolution *c) {
    const ql_depthwise_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    const int64_t column = f->planes * f->multiplier * 4; /* bytes for a channel */
    c->squares = count_squares(c);
    c->tile = s->out[2];
    c->block = ql_max(c->channels - c->squares, 1);
    while (columns_of(s, whole_pixels(c->tile)) * c->block * column > SCRATCH_BYTES &&
           c->tile > LEAST_TILE)
        c->tile = ql_ceil_div(c->tile / 2, QL_PIXELS) * QL_PIXELS;
    c->columns = columns_of(s, whole_pixels(c->tile));
    c->tiles = ql_ceil_div(s->out[2], c->tile);
    if (c->columns * c->block * column > SCRATCH_BYTES) {
        const int64_t most = ql_max(SCRATCH_BYTES / (c->columns * column), BLOCK_CHANNELS);
        const int64_t blocks = ql_ceil_div(c->block, most / BLOCK_CHANNELS * BLOCK_CHANNELS);
        c->block = ql_ceil_div(ql_ceil_div(c->block, blocks), BLOCK_CHANNELS) * BLOCK_CHANNELS;
    }
    c->plane_step = (c->columns * c->block * f->multiplier + QL_STRIP) * 4;
    c->bundles = s->batch * s->out[0] * ql_ceil_div(s->out[1], f->lines);
}

static place place_of(const convolution *c, int64_t item) {
    const ql_conv_shape *s = c->shape;
    const int64_t bundles = ql_ceil_div(s->out[1], c->filter->lines); /* of an image */
    place at;
    at.pixel = item % c->tiles * c->tile;
    item /= c->tiles;
    at.line = item % bundles * c->filter->lines;
    item /= bundles;
    at.depth = item % s->out[0];
    at.image = item / s->out[0];
    at.lines = ql_min(c->filter->lines, s->out[1] - at.line);
    at.pixels = ql_min(c->tile, s->out[2] - at.pixel);
    return at;
}

/* --- planes --------------------------------------------------------------------------------- */

/* The line of input that row `row` of a bundle's kernels meets, or NULL outside of the image. */
static const uint8_t *line_at(const convolution *c, const place *at, int64_t row) {
    const ql_conv_shape *s = c->shape;
    const int64_t rows = s->kernel[0] == 1 ? c->filter->planes * MOST_ROWS : s->kernel[1];
    const int64_t d = at->depth * s->stride[0] - s->pad[0] + row / rows * s->dilation[0];
    const int64_t h = at->line * s->stride[1] - s->pad[1] + row % rows * s->dilation[1];
    if (!ql_inside(d, s->in[0]) || !ql_inside(h, s->in[1]))
        return NULL;
    return c->x + ((at->image * s->in[0] + d) * s->in[1] + h) * s->in[2] * c->channels;
}

static void fill(uint32_t *to, uint32_t element, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        to[i] = element;
}

/* Copies each byte of `columns` columns once for each output channel. */
static void repeat_bytes(const uint8_t *x, int64_t step, int64_t columns, int64_t channels,
                         int64_t times, uint8_t *to) {
    for (int64_t column = 0; column < columns; column++, x += step)
        for (int64_t c = 0; c < channels; c++, to += times)
            for (int64_t i = 0; i < times; i++)
                to[i] = x[c];
}

/* One plane of a block of channels. */
static void gather_plane(const convolution *c, const workspace *w, const place *at, int64_t plane,
                         int64_t channel, int64_t channels, uint32_t *to) {
    const ql_depthwise_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    const int64_t width = channels * f->multiplier, rows = f->kernels->depthwise_rows;
    const int64_t first = at->pixel * s->stride[2] - s->pad[2];
    const int64_t columns = columns_of(s, at->pixels);
    const int64_t begin = ql_min(columns, ql_max(0, -first));
    const int64_t end = ql_max(begin, ql_min(columns, s->in[2] - first));
    const uint8_t zero = c->zero ^ c->flip;
    const uint32_t padding = rows == 2 ? zero * 0x10001u : zero * 0x1010101u;
    const uint8_t *from[MOST_ROWS];
    for (int64_t row = 0; row < rows; row++) {
        if (plane * rows + row >= f->rows + (f->lines - 1) * f->step) {
            from[row] = NULL;
            continue;
        }
        const uint8_t *line = line_at(c, at, plane * rows + row);
        from[row] = line == NULL
                        ? w->padding
                        : line + (first + begin) * c->channels + channel - c->first_channel;
        if (line == NULL || f->multiplier == 1)
            continue;
        uint8_t *repeated = w->repeated + row * c->columns * width;
        repeat_bytes(from[row], c->channels, end - begin, channels, f->multiplier, repeated);
        from[row] = repeated;
    }
    fill(to, padding, begin * width);
    if (begin < end)
        f->kernels->interleave(from, end - begin, width, f->multiplier == 1 ? c->channels : width,
                               c->flip, to + begin * width);
    fill(to + end * width, padding, (columns - end) * width);
}

/* --- sums ----------------------------------------------------------------------------------- */

/* If one does not fit, the sum has another sign than both of its terms. Looked at all together, so
 * that the loop vectorizes. */
int ql_add_bias(int32_t *restrict sums, const int32_t *restrict bias, int64_t channels) {
    uint32_t overflow = 0;
    for (int64_t c = 0; c < channels; c++) {
        const uint32_t sum = (uint32_t)sums[c] + (uint32_t)bias[c];
        overflow |= ((uint32_t)sums[c] ^ sum) & ((uint32_t)bias[c] ^ sum);
        sums[c] = (int32_t)sum;
    }
    return overflow >> 31 ? QL_OVERFLOW : QL_OK;
}

/* Channels of a line of output, from sums in memory, to element `to` of y and on. */
static int finish_line(const convolution *c, const workspace *w, const ql_line *line,
                       int64_t channel, int64_t to) {
    const ql_kernels *kernels = c->filter->kernels;
    ql_output output = ql_output_from(c->output, channel);
    output.residual = c->residual == NULL ? NULL : c->residual + to;
    kernels->depthwise(line, w->sums, line->channels);
    int status = QL_OK;
    for (int64_t p = 0; !c->fits && p < line->pixels && status == QL_OK; p++)
        status = ql_add_bias(w->sums + p * line->channels, output.bias, line->channels);
    if (status == QL_OK)
        ql_finish(kernels, &output, w->sums, line->channels, 0, line->pixels, 0, line->channels,
                  c->y + to * ql_size_of_result(output.type), c->channels * c->filter->multiplier);
    return status;
}

/* The output channels of a block of input channels. */
static int convolve_block(const convolution *c, const workspace *w, const place *at,
                          int64_t channel, int64_t channels) {
    const ql_depthwise_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    const int64_t first = channel * f->multiplier, width = channels * f->multiplier;
    for (int64_t plane = 0; plane < f->planes; plane++)
        gather_plane(c, w, at, plane, channel, channels,
                     (uint32_t *)(w->planes + plane * c->plane_step));
    ql_line line = {.plane_step = c->plane_step,
                    .tap_step = s->dilation[2] * width * 4,
                    .pixel_step = s->stride[2] * width * 4,
                    .planes = f->reach,
                    .taps = f->taps,
                    .repeats = f->repeats,
                    .start = c->start + first,
                    .pixels = at->pixels,
                    .channels = width};
    const int64_t depth = f->repeats * f->reach * f->taps; /* elements of a channel */
    const int64_t y_stride = c->channels * f->multiplier;
    ql_codes codes = c->codes;
    codes.multiplier = c->has_codes ? codes.multiplier + first : NULL;
    for (int64_t i = 0; i < at->lines; i++) {
        const int64_t out_line = (at->image * s->out[0] + at->depth) * s->out[1] + at->line + i;
        const int64_t pixel = out_line * s->out[2] + at->pixel;
        line.x = w->planes + first_plane(f, i) * c->plane_step;
        line.w = f->weights + i * f->line_size + first * depth * 4;
        const int64_t to = pixel * y_stride + first - c->first_channel * f->multiplier;
        int status = QL_OK;
        if (c->has_codes)
            f->kernels->depthwise_codes(&line, &codes, (uint8_t *)c->y + to, y_stride);
        else
            status = finish_line(c, w, &line, first, to);
        if (status != QL_OK)
            return status;
    }
    return QL_OK;
}

/* The groups of a bundle of lines of a kernel of 3 x 3, without planes. */
static void convolve_squares(const convolution *c, const workspace *w, const place *at) {
    const ql_depthwise_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    ql_square square = {.first = at->pixel * s->stride[2] - s->pad[2],
                        .width = s->in[2],
                        .flip = c->flip,
                        .zero = c->zero ^ c->flip,
                        .stride = s->stride[2],
                        .pixels = at->pixels,
                        .channels = c->squares,
                        .lines = (int)at->lines,
                        .w = f->weights + c->first_channel * 3 * 4,
                        .w_step = f->line_size,
                        .start = c->start + c->first_channel};
    for (int64_t row = 0; row < at->lines + 2; row++) {
        const uint8_t *line = line_at(c, at, row);
        square.row[row] = line == NULL ? w->padding : line;
        square.column_step[row] = line == NULL ? 0 : c->channels;
        square.group_step[row] = line == NULL ? 0 : BLOCK_CHANNELS;
    }
    const int64_t line = (at->image * s->out[0] + at->depth) * s->out[1] + at->line;
    ql_codes codes = c->codes;
    codes.multiplier += c->first_channel;
    f->kernels->depthwise_square(&square, &codes,
                                 (uint8_t *)c->y + (line * s->out[2] + at->pixel) * c->channels,
                                 c->channels, s->out[2] * c->channels);
}

static int convolve_item(const convolution *c, const workspace *w, int64_t item) {
    const place at = place_of(c, item);
    int status = QL_OK;
    const int64_t last = c->first_channel + c->channels;
    if (c->squares)
        convolve_squares(c, w, &at);
    for (int64_t channel = c->first_channel + c->squares; channel < last && status == QL_OK;
         channel += c->block)
        status = convolve_block(c, w, &at, channel, ql_min(c->block, last - channel));
    return status;
}

static int borrow_workspace(const convolution *c, workspace *w) {
    const ql_depthwise_filter *f = c->filter;
    const int64_t width = c->block * f->multiplier;
    const int64_t planes = (f->planes + 1) * c->plane_step;
    const int64_t sums = c->has_codes ? 0 : c->tile * width * 4;
    const int64_t padding = c->columns * ql_max(c->channels, width) + BLOCK_CHANNELS;
    const int64_t repeated = f->multiplier == 1 ? 0 : MOST_ROWS * c->columns * width;
    w->memory = ql_borrow((size_t)(planes + sums + padding + repeated));
    if (w->memory == NULL)
        return QL_NO_MEMORY;
    w->planes = w->memory;
    w->sums = (int32_t *)(w->planes + planes);
    w->padding = (uint8_t *)(w->planes + planes + sums);
    w->repeated = w->padding + padding;
    memset(w->padding, c->zero, (size_t)padding);
    return QL_OK;
}

static void convolve_chunk(void *context, long chunk) {
    convolution *c = context;
    workspace w;
    int status = borrow_workspace(c, &w);
    const int64_t first = chunk * c->chunk_items;
    const int64_t last = ql_min(first + c->chunk_items, c->bundles * c->tiles);
    for (int64_t item = first; item < last && status == QL_OK; item++)
        status = convolve_item(c, &w, item);
    ql_report(&c->status, status);
    ql_return(w.memory);
}

static int64_t pixels_of(const int64_t extent[3]) {
    return extent[0] * extent[1] * extent[2];
}

/* Some channels of an image with channels first, in copies of input and output with channels
 * last. */
static int convolve_copy(const convolution *c, const workspace *w, char *copy, int64_t image,
                         int64_t channel) {
    const ql_depthwise_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    const int64_t pixels = pixels_of(s->in), out = pixels_of(s->out);
    const int64_t size = ql_size_of_result(c->output->type);
    convolution part = *c;
    part.first_channel = channel;
    part.channels = ql_min(c->channels, s->channels - channel);
    part.x = (uint8_t *)copy;
    part.y = copy + COPIED_CHANNELS * pixels;
    const int64_t width = part.channels * f->multiplier;
    const int64_t first = (image * s->out_channels + channel * f->multiplier) * out;
    ql_transpose_part(f->kernels, c->x + (image * s->channels + channel) * pixels, pixels,
                      part.channels, pixels, copy, part.channels, 1);
    if (c->residual != NULL) {
        char *residual = part.y + COPIED_CHANNELS * f->multiplier * out * size;
        ql_transpose_part(f->kernels, c->residual + first, out, width, out, residual, width, 1);
        part.residual = (uint8_t *)residual;
    }
    int status = QL_OK;
    for (int64_t item = 0; item < c->bundles / s->batch * c->tiles && status == QL_OK; item++)
        status = convolve_item(&part, w, item);
    if (status == QL_OK)
        ql_transpose_part(f->kernels, part.y, width, out, width, c->y + first * size, out, size);
    return status;
}

static void convolve_copies(void *context, long chunk) {
    convolution *c = context;
    const ql_conv_shape *s = c->shape;
    const int64_t size =
        (ql_size_of_result(c->output->type) + (c->residual != NULL)) * c->filter->multiplier;
    const int64_t blocks = ql_ceil_div(s->channels, COPIED_CHANNELS);
    const int64_t first = chunk * c->chunk_items;
    const int64_t last = ql_min(first + c->chunk_items, blocks * s->batch);
    workspace w;
    int status = borrow_workspace(c, &w);
    char *copy =
        ql_borrow((size_t)(COPIED_CHANNELS * (pixels_of(s->in) + pixels_of(s->out) * size)));
    if (copy == NULL)
        status = QL_NO_MEMORY;
    for (int64_t item = first; item < last && status == QL_OK; item++)
        status = convolve_copy(c, &w, copy, item / blocks, item % blocks * COPIED_CHANNELS);
    ql_report(&c->status, status);
    ql_return(copy);
    ql_return(w.memory);
}

int64_t ql_largest_sum(int64_t depth, const int32_t *bias, int64_t channels) {
    int32_t least = 0, most = 0;
    for (int64_t i = 0; bias != NULL && i < channels; i++) {
        least = bias[i] < least ? bias[i] : least;
        most = bias[i] > most ? bias[i] : most;
    }
    return depth * 255 * 255 + ql_max(most, -(int64_t)least);
}

int ql_makes_codes(const ql_output *o, int64_t channels, int64_t largest) {
    if (o->code_step || o->residual || ql_size_of_result(o->type) != 1 || o->row_factor != NULL ||
        o->row_divisor != NULL)
        return 0;
    const float most = 0x1p30f / (float)largest;
    int within = 1;
    for (int64_t i = 0; i < channels; i++)
        within &= (o->multiplier[i] <= most) & (o->multiplier[i] >= -most);
    return within;
}

ql_codes ql_codes_of(const ql_output *o, const float *multiplier) {
    const int32_t shift = ql_shift(o->type == QL_INT8, 0);
    return (ql_codes){.multiplier = multiplier,
                      .zero_point = *o->zero_point + shift,
                      .lower = *o->lower + shift,
                      .upper = *o->upper + shift,
                      .flip = ql_flip(0, o->type == QL_INT8)};
}

/* Puts an entry of each channel in the order of planes, or leaves that of channels to windows. */
static void arrange(const convolution *c, const uint32_t *entries, uint32_t *to) {
    if (c->in_windows)
        memcpy(to, entries, (size_t)c->shape->out_channels * sizeof *to);
    else
        put_in_order(c->filter, entries, to);
}

/* What sums start from and are multiplied by; `scratch` has room for an entry of each channel. */
static void prepare_channels(convolution *c, int64_t largest, int32_t zero_point,
                             uint32_t *multiplier, uint32_t *scratch) {
    const ql_output *o = c->output;
    const int64_t channels = c->shape->out_channels;
    c->has_codes = c->filter->kernels->depthwise_codes != NULL && c->fits &&
                   ql_makes_codes(o, channels, largest);
    for (int64_t i = 0; i < channels; i++)
        scratch[i] = 0 - (uint32_t)zero_point * (uint32_t)c->filter->totals[i];
    for (int64_t i = 0; c->fits && o->bias != NULL && i < channels; i++)
        scratch[i] += (uint32_t)o->bias[i];
    arrange(c, scratch, (uint32_t *)c->start);
    if (!c->has_codes)
        return;
    memcpy(scratch, o->multiplier, (size_t)channels * sizeof *scratch);
    arrange(c, scratch, multiplier);
    c->codes = ql_codes_of(o, (const float *)multiplier);
}

/* The convolution as one of channels that are first. */
static ql_channelwise channelwise_of(const convolution *c) {
    return (ql_channelwise){.filter = c->filter->windows,
                            .kernels = c->filter->kernels,
                            .x = c->x,
                            .flip = c->flip,
                            .zero = c->zero,
                            .shape = c->shape,
                            .output = c->output,
                            .start = c->start,
                            .codes = c->has_codes ? &c->codes : NULL,
                            .y = c->y};
}

/* Cuts the work for the threads, and does it. */
static void convolve(convolution *c, int channels_first) {
    const ql_conv_shape *s = c->shape;
    c->channels = channels_first ? ql_min(s->channels, COPIED_CHANNELS) : s->channels;
    cut(c);
    const int64_t blocks = ql_ceil_div(s->channels, c->channels);
    const int64_t items = channels_first ? blocks * s->batch : c->bundles * c->tiles;
    const int64_t products = s->batch * pixels_of(s->out) * ql_taps(s) * s->out_channels / items;
    c->chunk_items = c->filter->kernels->small / 8 / ql_max(products, 1) + 1;
    ql_run_chunks((long)ql_ceil_div(items, c->chunk_items),
                  channels_first ? convolve_copies : convolve_chunk, c);
}

int ql_depthwise_conv(const ql_depthwise_filter *filter, const uint8_t *x, int x_signed,
                      int32_t x_zero_point, const ql_conv_shape *shape, int channels_first,
                      const ql_output *output, void *y) {
    const int to_signed = filter->kernels->depthwise_signed;
    convolution c = {.filter = filter,
                     .x = x,
                     .flip = ql_flip(x_signed, to_signed),
                     .zero = (uint8_t)x_zero_point,
                     .shape = shape,
                     .output = output,
                     .residual = output->residual,
                     .y = y,
                     .status = {QL_OK}};
    if (shape->batch * shape->out[0] * shape->out[1] * shape->out[2] == 0)
        return QL_OK;
    const int64_t largest = ql_largest_sum(ql_taps(shape), output->bias, shape->out_channels);
    c.fits = largest <= INT32_MAX;
    ql_channelwise by_channel = channelwise_of(&c);
    c.in_windows =
        channels_first && by_channel.filter != NULL && c.fits && ql_is_channelwise(&by_channel);
    const int64_t whole = ql_ceil_div(shape->out_channels, QL_STRIP) * QL_STRIP;
    uint32_t *memory = ql_allocate((size_t)whole * 3 * sizeof *memory);
    if (memory == NULL)
        return QL_NO_MEMORY;
    memset(memory, 0, (size_t)whole * 2 * sizeof *memory);
    c.start = (int32_t *)memory;
    prepare_channels(&c, largest, x_zero_point + ql_shift(x_signed, to_signed), memory + whole,
                     memory + 2 * whole);
    if (c.in_windows) {
        by_channel = channelwise_of(&c);
        ql_report(&c.status, ql_channelwise_conv(&by_channel));
    } else {
        convolve(&c, channels_first);
    }
    ql_release(memory);
    return ql_reported(&c.status);
}

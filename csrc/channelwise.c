/* Depthwise convolutions with channels first: each channel's plane by itself.
 *
 * The products of an output under one line of the kernel are a dot product of neighbouring numbers:
 * of a window of four bytes, or of two int16, or of several. A vector of such elements, read at any
 * address, holds every fourth (or second) window of a line, and those read a number further on hold
 * the ones that follow: nothing is shuffled. A step of two between outputs leaves out every other
 * one of these vectors.
 *
 * Lines are copied first, with their padding, which has the code of the zero point, and so that
 * what pads a line on the right pads the next one on the left. Short lines of 8, 16 or 32 columns
 * with their padding share vectors; the bytes of several are spread, and their codes gathered, by
 * two shuffles. Where the kernel moves by several lines, copies stand by the rest of their number,
 * so that lines of output follow one another in each.
 *
 *     sum of (x - zx) * (w - zw)  =  sum of x * (w - zw)  -  zx * sum of (w - zw)
 *
 * The last term belongs to the channel; with the bias it is what sums start from. Weights less
 * their zero point may need nine bits: where numbers are bytes, they are split, and windows are
 * multiplied again with what is left.
 *
 * Of bytes that are numbers as they are, with a step of two, whole lines need no copy: only the
 * first window of each reaches into padding, whose weights are left out there, and what padding
 * adds is in what those sums start from. Lines above and below that are padded, and the last
 * channels, behind which there is nothing to be read, are copied all the same.
 *
 * Beside input, output and weights a thread needs bands of lines of some channels: BAND_BYTES, or
 * up to MOST_BYTES for those of one line of output; and the sums of a band if they are not made
 * codes at once. */
#include "core.h"

enum {
    BAND_BYTES = 12 * 1024, /* they stay in the first cache, beside what they are copied from */
    MOST_BYTES = 128 * 1024,
    MOST_LINES = 64,          /* under a kernel */
    EXCESS = 8 * QL_TOGETHER, /* bytes that can be read beyond the lines */
    PIECE = 4 * QL_STRIP      /* columns of sums that are finished together */
};

struct ql_channelwise_filter {
    int64_t rows, across, repeats; /* windows of a channel: lines, in each of them, times */
    int64_t numbers;               /* of a window */
    int64_t dilation;              /* of taps in a line */
    int64_t multiplier;            /* output channels for each of the input */
    int64_t size;
    ql_kept_gathering kept;
    uint32_t weights[]; /* [output channel][repeat][row][window] */
};

/* --- weights -------------------------------------------------------------------------------- */

/* Columns from the first tap of a line of the kernel to the last one. */
static int64_t reach_of(const ql_conv_shape *s) {
    return (s->kernel[2] - 1) * s->dilation[2] + 1;
}

int ql_has_windows(const ql_kernels *kernels, const ql_conv_shape *s) {
    return kernels->channel_sums != NULL && s->kernel[0] == 1 && s->dilation[2] <= 2 &&
           s->kernel[1] <= MOST_LINES && s->dilation[1] <= MOST_LINES / s->kernel[1];
}

ql_channelwise_filter *ql_channelwise_room(const ql_kernels *kernels, const ql_conv_shape *s,
                                           int64_t repeats) {
    const int64_t across = ql_ceil_div(reach_of(s), kernels->depthwise_rows);
    const int64_t weights = s->out_channels * repeats * s->kernel[1] * across * 4;
    const int64_t size = (int64_t)sizeof(ql_channelwise_filter) + weights;
    ql_channelwise_filter *filter = ql_allocate((size_t)size);
    if (filter == NULL)
        return NULL;
    *filter = (ql_channelwise_filter){
        .rows = s->kernel[1],
        .across = across,
        .repeats = repeats,
        .numbers = kernels->depthwise_rows,
        .dilation = s->dilation[2],
        .multiplier = s->out_channels / s->channels,
        .size = size,
    };
    memset(filter->weights, 0, (size_t)weights);
    return filter;
}

static int64_t windows_of(const ql_channelwise_filter *f) {
    return f->repeats * f->rows * f->across;
}

void ql_channelwise_put(ql_channelwise_filter *f, int64_t channel, int64_t row, int64_t tap,
                        int64_t repeat, int32_t weight) {
    const int64_t column = tap * f->dilation;
    const int64_t window = (repeat * f->rows + row) * f->across + column / f->numbers;
    uint32_t *to = f->weights + channel * windows_of(f) + window;
    if (f->numbers == 2)
        ((int16_t *)to)[column % 2] = (int16_t)weight;
    else
        ((int8_t *)to)[column % 4] = (int8_t)weight;
}

ql_kept_gathering *ql_channelwise_kept(const ql_channelwise_filter *filter) {
    return (ql_kept_gathering *)&filter->kept;
}

int ql_has_whole_weights(const ql_channelwise_filter *f) {
    return f->numbers == 4 && f->repeats == 1;
}

const uint32_t *ql_channelwise_weights(const ql_channelwise_filter *f, int64_t channel) {
    return f->weights + channel * windows_of(f);
}

void ql_channelwise_free(ql_channelwise_filter *filter) {
    ql_release(filter);
}

int64_t ql_channelwise_size(const ql_channelwise_filter *filter) {
    return filter == NULL ? 0 : filter->size;
}

/* --- bands ---------------------------------------------------------------------------------- */

/* A convolution cut into items: each band of lines of an image, some channels of it at a time. */
typedef struct {
    const ql_channelwise *call;
    int64_t columns;    /* of an input line that the kernel meets */
    int64_t out_pitch;  /* of lines of results */
    int64_t pitch;      /* of copied lines, in bytes */
    int64_t margin;     /* before the lines of a phase, in bytes */
    int64_t more;       /* lines of a phase that a band of one line sees, less one */
    int64_t phases;     /* copies of lines, by the rest of their number */
    int64_t lines;      /* of output in a band */
    int64_t bands;      /* of an image */
    int64_t block;      /* channels of input */
    int64_t blocks;     /* of an image */
    int64_t number;     /* bytes of a number */
    int in_place;       /* whether most lines are read where they are: then there are no bands */
    int64_t begin, end; /* lines of output that are, of the first */
    int64_t planes;     /* of all images */
    int64_t chunk_items;
    ql_status status;
} cut;

static int64_t align(int64_t bytes) {
    return ql_ceil_div(bytes, QL_ALIGNMENT) * QL_ALIGNMENT;
}

/* Bytes from one phase of a channel to the next, and from one channel to the next. */
static int64_t phase_step(const cut *c, int64_t lines) {
    return c->margin + align((lines + c->more) * c->pitch);
}

static int64_t channel_step(const cut *c, int64_t lines) {
    return c->phases * phase_step(c, lines);
}

/* Short lines are so far apart that vectors have a whole number of them, others begin where cache
 * lines do. */
static int64_t comfortable(int64_t pitch) {
    for (int64_t whole = 8; whole < QL_TOGETHER; whole *= 2)
        if (pitch <= whole)
            return whole;
    return align(pitch);
}

/* Whether outputs two steps apart can be made of bytes where they are, as far as lines are neither
 * padded above or below, nor on the right, and there is enough to be read behind. */
static void find_lines_in_place(cut *c) {
    const ql_channelwise *call = c->call;
    const ql_conv_shape *s = call->shape;
    const int64_t width = s->in[2], plane = s->in[1] * width, all = s->batch * s->channels;
    const int64_t seen = (s->out[2] - 1) * 2 + reach_of(s);
    if (!call->kernels->channels_in_place || call->codes == NULL || call->flip != 0 ||
        c->number != 1 || windows_of(call->filter) != 3 || s->kernel[1] != 3 ||
        call->filter->multiplier != 1 || s->dilation[1] != 1 || s->stride[1] != 2 ||
        s->stride[2] != 2 || s->pad[2] > 2 || s->pad[1] > 2 || seen - s->pad[2] > width ||
        c->out_pitch < QL_TOGETHER / 2 || c->out_pitch > QL_TOGETHER)
        return;
    c->begin = ql_ceil_div(s->pad[1] + (s->pad[2] > 0), 2);
    c->end = ql_min(s->out[1], ql_max(s->in[1] - 1 + s->pad[1], 0) / 2);
    const int64_t read = (2 * c->end - s->pad[1] + 3) * width + 3 * QL_TOGETHER;
    c->planes = all + 1 - ql_ceil_div(read, plane);
    c->in_place = c->end - c->begin > s->out[1] / 2 && c->planes > 0;
}

/* How lines are copied. Padding on the right of one is that of the next one on the left. */
static cut lines_of_cut(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    const int64_t seen = (s->out[2] - 1) * s->stride[2] + reach_of(s);
    const int64_t columns = ql_max(0, ql_min(s->in[2], seen - s->pad[2]));
    const int64_t gap = ql_max(s->pad[2], seen - s->pad[2] - columns);
    const int64_t below = (s->kernel[1] - 1) * s->dilation[1];
    cut c = {
        .call = call,
        .columns = columns,
        .out_pitch = comfortable(ql_max(ql_ceil_div(columns + gap, s->stride[2]), s->out[2])),
        .more = below / s->stride[1],
        .phases = ql_min(s->stride[1], below + 1),
        .number = 4 / call->filter->numbers,
    };
    c.pitch = c.out_pitch * s->stride[2] * c.number;
    c.margin = align(gap * c.number) + QL_TOGETHER;
    return c;
}

static cut cut_of(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    cut c = lines_of_cut(call);
    const int64_t most = (BAND_BYTES - channel_step(&c, 0)) / (c.phases * c.pitch);
    c.bands = ql_ceil_div(s->out[1], ql_max(1, ql_min(s->out[1], most)));
    c.lines = ql_ceil_div(s->out[1], c.bands);
    c.bands = ql_ceil_div(s->out[1], c.lines);
    find_lines_in_place(&c);
    if (c.in_place)
        c.bands = c.lines = 1;
    c.block = ql_max(1, ql_min(s->channels, BAND_BYTES / channel_step(&c, c.lines)));
    c.blocks = ql_ceil_div(s->channels, c.block);
    c.block = ql_ceil_div(s->channels, c.blocks);
    c.blocks = ql_ceil_div(s->channels, c.block);
    return c;
}

/* Whether channels that are first are faster than in copies that have them last: not where there
 * are few results of a plane, nor many windows, which serve fewer outputs of lines far apart. */
static int has_gain(const cut *c) {
    const ql_conv_shape *s = c->call->shape;
    const ql_kernels *kernels = c->call->kernels;
    const int64_t windows = windows_of(c->call->filter), most = kernels->channel_windows;
    if (s->out[1] * s->out[2] < kernels->channel_results)
        return 0;
    if (most == 0 || windows <= most || s->stride[2] > 1)
        return 1;
    return windows == kernels->windows_together && c->out_pitch <= QL_TOGETHER / 2 &&
           4 * s->out[2] >= 3 * c->out_pitch;
}

int ql_is_channelwise(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    if (s->in[0] != 1 || s->out[0] != 1 || s->pad[0] != 0 || s->stride[2] > 2 ||
        ql_max(s->in[2], s->out[2]) + s->pad[2] + reach_of(s) > MOST_BYTES)
        return 0;
    const cut c = lines_of_cut(call);
    return channel_step(&c, 1) <= MOST_BYTES && has_gain(&c);
}

/* --- lines to vectors and back -------------------------------------------------------------- */

enum { LANE = 16, LANES = 4, NONE = 128 };

/* The line in place number `place` of a vector of `together`. */
static int64_t line_in(int64_t place, int64_t together, int64_t phases) {
    return phases == 1 ? place : place % (together / 2) * 2 + place / (together / 2);
}

/* Of lines of `columns` bytes each, which follow one another, a vector of them, `pitch` apart;
 * whether words and lanes can do that. */
static int plan_spreading(int64_t columns, int64_t pitch, int64_t phases, ql_regrouping *r) {
    const int64_t together = QL_TOGETHER / pitch;
    if (together < 2 || phases > 2 || (phases == 2 && pitch < LANE) ||
        (pitch >= LANE && columns >= LANE && columns % 2))
        return 0;
    for (int64_t lane = 0; lane < LANES; lane++) {
        const int64_t column = lane * LANE % pitch;
        const int64_t line = line_in(lane * LANE / pitch, together, phases);
        const int64_t first = line * columns + column;
        for (int64_t i = 0; i < LANE / 2; i++)
            r->word[lane * LANE / 2 + i] = (uint16_t)((first / 2 + i) % 32);
        for (int64_t i = 0; i < LANE; i++) {
            const int64_t at = (column + i) % pitch;
            const int64_t further = pitch < LANE ? i / pitch * columns + at : i + first % 2;
            r->byte[lane * LANE + i] = (uint8_t)(at < columns && further < LANE ? further : NONE);
        }
    }
    return 1;
}

/* And lines of `columns` results that are `pitch` apart one after the other. */
static int plan_gathering(int64_t columns, int64_t pitch, ql_regrouping *r) {
    if (QL_TOGETHER / pitch < 2 || (pitch >= LANE && columns % 2))
        return 0;
    memset(r, 0, sizeof *r);
    for (int64_t lane = 0; lane < LANES; lane++) {
        const int64_t column = lane * LANE % pitch;
        const int64_t first = lane * LANE / pitch * columns + column;
        const int64_t bytes =
            pitch < LANE ? LANE / pitch * columns : ql_max(0, ql_min(LANE, columns - column));
        for (int64_t i = 0; i < bytes; i++)
            r->byte[lane * LANE + i] =
                (uint8_t)(pitch < LANE ? i / columns * pitch + i % columns : i);
        for (int64_t i = 0; i < bytes / 2; i++)
            r->word[first / 2 + i] = (uint16_t)(lane * LANE / 2 + i);
    }
    return 1;
}

/* --- a call --------------------------------------------------------------------------------- */

/* A thread's memory. */
typedef struct {
    char *lines;
    int32_t *sums;
    int64_t *offsets; /* of windows, in bytes; then those of lines where they are */
    int spreads, gathers;
    ql_regrouping spreading, gathering;
    float multiplier[PIECE], bias[PIECE]; /* a channel's, for each column */
} workspace;

/* The channels of an item, in a band. */
typedef struct {
    int64_t image, channel, channels;
    int64_t line, lines;
} place;

static void find_windows(const cut *c, int64_t *offsets) {
    const ql_channelwise_filter *f = c->call->filter;
    const ql_conv_shape *s = c->call->shape;
    for (int64_t i = 0; i < windows_of(f); i++) {
        const int64_t line = i / f->across % f->rows * s->dilation[1];
        offsets[i] = line % s->stride[1] * phase_step(c, c->lines) +
                     line / s->stride[1] * c->pitch + i % f->across * 4;
        offsets[windows_of(f) + i] = line * s->in[2] + i % f->across * 4;
    }
}

static int64_t bytes_of_lines(const cut *c, int64_t channels) {
    return channels * channel_step(c, c->lines) + c->margin + EXCESS;
}

static void pad_lines(const cut *c, int64_t channels, char *lines) {
    const uint8_t zero = c->call->zero ^ c->call->flip;
    if (c->number == 1)
        memset(lines, zero, (size_t)bytes_of_lines(c, channels));
    else
        for (int64_t i = 0; i < bytes_of_lines(c, channels) / 2; i++)
            ((int16_t *)lines)[i] = zero;
}

/* Where the first line of a phase goes. */
static char *lines_of(const cut *c, const workspace *w, int64_t phase) {
    return w->lines + phase * phase_step(c, c->lines) + c->margin;
}

/* Copies the lines that a place sees; those outside of the image are padding. */
static void copy_lines(const cut *c, const workspace *w, const place *at) {
    const ql_conv_shape *s = c->call->shape;
    const int64_t step = s->stride[1], width = s->in[2], held = c->lines + c->more;
    const int64_t plane = s->in[1] * width, top = at->line * step - s->pad[1];
    const uint8_t *x = c->call->x + (at->image * s->channels + at->channel) * plane;
    ql_spreading copy = {
        .plane_step = plane,
        .planes = at->channels,
        .columns = c->columns,
        .flip = c->call->flip,
        .zero = c->call->zero ^ c->call->flip,
        .to_step = channel_step(c, c->lines),
        .pitch = c->pitch,
    };
    if (w->spreads) {
        const int64_t first = ql_max(top, 0), phase = (first - top) % c->phases;
        copy.x = x + first * width;
        copy.line_step = width;
        copy.lines = ql_min(s->in[1], top + c->phases * held) - first;
        copy.to = lines_of(c, w, phase) + (first - top) / c->phases * c->pitch;
        if (c->phases == 2)
            copy.second = lines_of(c, w, 1 - phase) + ((first - top) / 2 + phase) * c->pitch;
        copy.regrouping = &w->spreading;
        if (copy.lines > 0)
            c->call->kernels->spread(&copy);
        return;
    }
    for (int64_t phase = 0; phase < c->phases; phase++) {
        const int64_t start = top + phase;
        const int64_t first = start < 0 ? ql_ceil_div(-start, step) : 0;
        copy.lines = ql_min(held, ql_ceil_div(ql_max(s->in[1] - start, 0), step)) - first;
        copy.x = x + (start + first * step) * width;
        copy.line_step = step * width;
        copy.to = lines_of(c, w, phase) + first * c->pitch;
        if (copy.lines > 0)
            c->call->kernels->spread(&copy);
    }
}

/* Sums of a channel of output, with the channel's parameters for each column, to element `to`. */
static void finish_lines(const cut *c, workspace *w, int64_t channel, int64_t lines, int64_t to) {
    const ql_channelwise *call = c->call;
    const int64_t width = call->shape->out[2], size = ql_size_of_result(call->output->type);
    ql_output stage = *call->output;
    for (int64_t i = 0; i < PIECE; i++) {
        w->multiplier[i] = stage.multiplier == NULL ? 0 : stage.multiplier[channel];
        w->bias[i] = stage.bias_real == NULL ? 0 : stage.bias_real[channel];
    }
    stage.bias = NULL;
    stage.multiplier = w->multiplier;
    stage.bias_real = stage.bias_real == NULL ? NULL : w->bias;
    for (int64_t first = 0; first < width; first += PIECE) {
        const int64_t at = to + first;
        stage.residual = call->output->residual == NULL ? NULL : call->output->residual + at;
        ql_finish(call->kernels, &stage, w->sums + first, c->out_pitch, 0, lines, 0,
                  ql_min(PIECE, width - first), (char *)call->y + at * size, width);
    }
}

/* Channels of output, `x_step` apart in the copied lines from x on. */
static void convolve_channels(const cut *c, workspace *w, const place *at, const char *x,
                              int64_t x_step, int64_t channel, int64_t channels) {
    const ql_channelwise *call = c->call;
    const ql_conv_shape *s = call->shape;
    const int64_t windows = windows_of(call->filter), plane = s->out[1] * s->out[2];
    const int64_t to = (at->image * s->out_channels + channel) * plane + at->line * s->out[2];
    ql_channels some = {
        .x = x,
        .x_step = x_step,
        .offsets = w->offsets,
        .weights = ql_channelwise_weights(call->filter, channel),
        .windows = windows,
        .step = s->stride[2],
        .start = call->start + channel,
        .channels = channels,
        .lines = at->lines,
        .width = s->out[2],
        .pitch = c->out_pitch,
        .regrouping = w->gathers ? &w->gathering : NULL,
    };
    if (call->codes != NULL) {
        const ql_codes codes = ql_codes_from(call->codes, channel);
        call->kernels->channel_codes(&some, &codes, (uint8_t *)call->y + to, plane);
        return;
    }
    for (int64_t i = 0; i < channels; i++) {
        call->kernels->channel_sums(&some, w->sums);
        finish_lines(c, w, channel + i, at->lines, to + i * plane);
        some.x += x_step;
        some.weights += windows;
        some.start++;
    }
}

static void convolve_place(const cut *c, workspace *w, const place *at) {
    const int64_t multiplier = c->call->filter->multiplier, step = channel_step(c, c->lines);
    const char *x = lines_of(c, w, 0) - c->call->shape->pad[2] * c->number;
    copy_lines(c, w, at);
    if (multiplier == 1) {
        convolve_channels(c, w, at, x, step, at->channel, at->channels);
        return;
    }
    for (int64_t i = 0; i < at->channels; i++)
        convolve_channels(c, w, at, x + i * step, 0, (at->channel + i) * multiplier, multiplier);
}

/* Lines of output number `begin` to `end` of some channels, from copies. */
static void convolve_lines(const cut *c, workspace *w, place at, int64_t begin, int64_t end) {
    for (at.line = begin; at.line < end; at.line += at.lines) {
        at.lines = ql_min(c->lines, end - at.line);
        pad_lines(c, at.channels, w->lines);
        convolve_place(c, w, &at);
    }
}

/* Lines of output of some channels, from where those of input are. */
static void convolve_in_place(const cut *c, const workspace *w, const place *at) {
    const ql_channelwise *call = c->call;
    const ql_conv_shape *s = call->shape;
    const int64_t in = s->in[1] * s->in[2], out = s->out[1] * s->out[2];
    const int64_t plane = at->image * s->channels + at->channel;
    const int64_t first = (c->begin * 2 - s->pad[1]) * s->in[2] - s->pad[2];
    const int64_t windows = windows_of(call->filter);
    const ql_channels some = {
        .x = (const char *)call->x + plane * in + first,
        .x_step = in,
        .offsets = w->offsets + windows,
        .weights = ql_channelwise_weights(call->filter, at->channel),
        .windows = windows,
        .step = 2,
        .start = call->start + at->channel,
        .channels = at->channels,
        .lines = c->end - c->begin,
        .width = s->out[2],
        .pitch = c->out_pitch,
        .regrouping = w->gathers ? &w->gathering : NULL,
        .line = 2 * s->in[2],
        .inside = ~(uint32_t)0 << 8 * s->pad[2],
        .zero = call->zero,
    };
    const ql_codes codes = ql_codes_from(call->codes, at->channel);
    call->kernels->channel_codes(&some, &codes,
                                 (uint8_t *)call->y + plane * out + c->begin * s->out[2], out);
}

/* Channels of an image, of which most lines are read where they are; of the last ones, none. */
static void convolve_block(const cut *c, workspace *w, place at) {
    const ql_conv_shape *s = c->call->shape;
    const int64_t left = c->planes - at.image * s->channels - at.channel;
    const int64_t channels = at.channels;
    at.channels = ql_max(0, ql_min(channels, left));
    if (at.channels > 0) {
        convolve_in_place(c, w, &at);
        convolve_lines(c, w, at, 0, c->begin);
        convolve_lines(c, w, at, c->end, s->out[1]);
    }
    at.channel += at.channels;
    at.channels = channels - at.channels;
    if (at.channels > 0)
        convolve_lines(c, w, at, 0, s->out[1]);
}

static void convolve_items(const cut *c, workspace *w, int64_t first, int64_t last) {
    const ql_conv_shape *s = c->call->shape;
    for (int64_t item = first; item < last; item++) {
        const int64_t block = item % c->blocks, band = item / c->blocks % c->bands;
        const place at = {
            .image = item / c->blocks / c->bands,
            .channel = block * c->block,
            .channels = ql_min(c->block, s->channels - block * c->block),
            .line = band * c->lines,
            .lines = ql_min(c->lines, s->out[1] - band * c->lines),
        };
        if (c->in_place) {
            convolve_block(c, w, at);
            continue;
        }
        if (item == first || (block == 0 && c->bands > 1))
            pad_lines(c, c->block, w->lines);
        convolve_place(c, w, &at);
    }
}

static void convolve_chunk(void *context, long chunk) {
    cut *c = context;
    const ql_conv_shape *s = c->call->shape;
    const int64_t lines = align(bytes_of_lines(c, c->block));
    const int64_t sums = c->call->codes == NULL ? (c->lines * c->out_pitch + QL_TOGETHER) * 4 : 0;
    workspace w;
    w.lines = ql_borrow((size_t)(lines + align(sums) + windows_of(c->call->filter) * 16));
    if (w.lines == NULL) {
        ql_report(&c->status, QL_NO_MEMORY);
        return;
    }
    w.sums = (int32_t *)(w.lines + lines);
    w.offsets = (int64_t *)(w.lines + lines + align(sums));
    const int whole = c->columns == s->in[2] && s->stride[1] == c->phases && c->number == 1;
    w.spreads = whole && plan_spreading(c->columns, c->pitch, c->phases, &w.spreading);
    w.gathers = plan_gathering(s->out[2], c->out_pitch, &w.gathering);
    find_windows(c, w.offsets);
    const int64_t first = chunk * c->chunk_items;
    convolve_items(c, &w, first, ql_min(first + c->chunk_items, s->batch * c->bands * c->blocks));
    ql_return(w.lines);
}

int ql_channelwise_conv(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    cut c = cut_of(call);
    const int64_t items = s->batch * c.bands * c.blocks;
    const int64_t products = s->batch * s->out[1] * s->out[2] * s->out_channels * ql_taps(s);
    c.chunk_items = ql_depthwise_chunk(call->kernels, items, products);
    ql_run_chunks((long)ql_ceil_div(items, c.chunk_items), convolve_chunk, &c);
    return ql_reported(&c.status);
}

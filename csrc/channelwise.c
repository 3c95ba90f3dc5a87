/* Depthwise convolutions with channels first: each channel's plane by itself.
 *
 * The products of an output under one line of the kernel are a dot product of neighbouring numbers:
 * of a window of four bytes, or of two int16, or of several. A vector of such elements, read at any
 * address, holds every fourth (or second) window of a line, and those read a number further on hold
 * the ones that follow: nothing is shuffled. A step of two between outputs leaves out every other
 * one of these vectors.
 *
 * Lines are copied first, with their padding, which has the code of the zero point, and so close
 * that what pads a line on the right pads the next one on the left. Then the outputs of all lines
 * are computed as if they were of one line, with a few in between that are none, and vectors are
 * full however short lines are. Where the kernel moves by several lines, copies stand by the rest
 * of their number, so that this holds there too.
 *
 *     sum of (x - zx) * (w - zw)  =  sum of x * (w - zw)  -  zx * sum of (w - zw)
 *
 * The last term belongs to the channel; with the bias it is what sums start from. Weights less
 * their zero point may need nine bits: where numbers are bytes, they are split, and windows are
 * multiplied again with what is left.
 *
 * Beside input, output and weights a thread needs a band of lines and its results: BAND_BYTES, or
 * up to MOST_BYTES for one line of output. */
#include "core.h"

enum {
    BAND_BYTES = 32 * 1024, /* they stay in the first cache */
    MOST_BYTES = 128 * 1024,
    MOST_LINES = 64,          /* under a kernel */
    LEAST_COLUMNS = 20,       /* shorter lines are faster as channels that are last */
    EXCESS = 4 * QL_TOGETHER, /* numbers that can be read beyond the lines */
    PIECE = 4 * QL_STRIP      /* columns of sums that are finished together */
};

struct ql_channelwise_filter {
    int64_t rows, across, repeats; /* windows of a channel: lines, in each of them, times */
    int64_t numbers;               /* of a window */
    int64_t dilation;              /* of taps in a line */
    int64_t multiplier;            /* output channels for each of the input */
    int64_t size;
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

void ql_channelwise_free(ql_channelwise_filter *filter) {
    ql_release(filter);
}

int64_t ql_channelwise_size(const ql_channelwise_filter *filter) {
    return filter == NULL ? 0 : filter->size;
}

/* --- bands ---------------------------------------------------------------------------------- */

/* A convolution cut into items: each band of lines of an image, channel by channel. */
typedef struct {
    const ql_channelwise *call;
    int64_t columns;   /* of an input line that the kernel meets */
    int64_t pitch;     /* of lines in a copy, in numbers: a multiple of the stride */
    int64_t out_pitch; /* of lines of results */
    int64_t more;      /* lines that a band of one line sees of each phase, less one */
    int64_t phases;    /* copies of lines, by the rest of their number */
    int64_t lines;     /* of output in a band */
    int64_t bands;     /* of an image */
    int64_t number;    /* bytes of a number */
    int64_t result;    /* bytes of what a band's results are kept in */
    int64_t chunk_items;
    ql_status status;
} cut;

static int64_t held(const cut *c) {
    return c->lines + c->more;
}

static int64_t numbers_held(const cut *c) {
    return c->phases * held(c) * c->pitch;
}

static int64_t bytes_of_band(const cut *c, int64_t lines) {
    return c->phases * (lines + c->more) * c->pitch * c->number + lines * c->out_pitch * c->result;
}

/* Padding on the right of one line is that of the next one on the left. */
static cut cut_of(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    const int64_t seen = (s->out[2] - 1) * s->stride[2] + reach_of(s);
    const int64_t columns = ql_max(0, ql_min(s->in[2], seen - s->pad[2]));
    const int64_t gap = ql_max(s->pad[2], seen - s->pad[2] - columns);
    const int64_t pitch = ql_max(columns + gap, s->out[2] * s->stride[2]);
    const int64_t below = (s->kernel[1] - 1) * s->dilation[1];
    cut c = {
        .call = call,
        .columns = columns,
        .out_pitch = ql_ceil_div(pitch, s->stride[2]),
        .more = below / s->stride[1],
        .phases = ql_min(s->stride[1], below + 1),
        .number = 4 / call->filter->numbers,
        .result = call->codes != NULL ? 1 : 4,
    };
    c.pitch = c.out_pitch * s->stride[2];
    const int64_t for_one = bytes_of_band(&c, 1) - bytes_of_band(&c, 0);
    const int64_t most = (BAND_BYTES - bytes_of_band(&c, 0)) / for_one;
    c.bands = ql_ceil_div(s->out[1], ql_max(1, ql_min(s->out[1], most)));
    c.lines = ql_ceil_div(s->out[1], c.bands);
    c.bands = ql_ceil_div(s->out[1], c.lines);
    return c;
}

int ql_is_channelwise(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    if (s->in[0] != 1 || s->out[0] != 1 || s->pad[0] != 0 || s->stride[2] > 2 ||
        s->out[2] < LEAST_COLUMNS ||
        ql_max(s->in[2], s->out[2]) + s->pad[2] + reach_of(s) > MOST_BYTES)
        return 0;
    const cut c = cut_of(call);
    return bytes_of_band(&c, 1) <= MOST_BYTES;
}

/* --- a call --------------------------------------------------------------------------------- */

/* A thread's memory. */
typedef struct {
    char *lines;
    void *results;
    int64_t *offsets;                     /* of windows, in bytes */
    float multiplier[PIECE], bias[PIECE]; /* a channel's, for each column */
} workspace;

static void find_windows(const cut *c, int64_t *offsets) {
    const ql_channelwise_filter *f = c->call->filter;
    const ql_conv_shape *s = c->call->shape;
    for (int64_t i = 0; i < windows_of(f); i++) {
        const int64_t line = i / f->across % f->rows * s->dilation[1];
        const int64_t place = line % s->stride[1] * held(c) + line / s->stride[1];
        offsets[i] = (place * c->pitch + i % f->across * f->numbers) * c->number;
    }
}

static void pad_lines(const cut *c, char *lines) {
    const int64_t count = numbers_held(c) + EXCESS;
    const uint8_t zero = c->call->zero ^ c->call->flip;
    if (c->number == 1)
        memset(lines, zero, (size_t)count);
    else
        for (int64_t i = 0; i < count; i++)
            ((int16_t *)lines)[i] = zero;
}

/* Copies the lines that output lines from `line` on see of a plane; those outside are padding. */
static void copy_lines(const cut *c, const uint8_t *plane, int64_t line, char *lines) {
    const ql_channelwise *call = c->call;
    const ql_conv_shape *s = call->shape;
    const int64_t step = s->stride[1], width = s->in[2];
    for (int64_t phase = 0; phase < c->phases; phase++) {
        const int64_t top = line * step - s->pad[1] + phase;
        const int64_t first = top < 0 ? ql_ceil_div(-top, step) : 0;
        const int64_t end = ql_min(held(c), ql_ceil_div(ql_max(s->in[1] - top, 0), step));
        const uint8_t *x = plane + (top + first * step) * width;
        char *to = lines + ((phase * held(c) + first) * c->pitch + s->pad[2]) * c->number;
        if (c->number == 1 && call->flip == 0) {
            call->kernels->copy_runs(to, c->pitch, (const char *)x, step * width, end - first,
                                     c->columns);
            continue;
        }
        for (int64_t i = first; i < end; i++, x += step * width, to += c->pitch * c->number)
            call->kernels->load(to, x, c->columns, call->flip);
    }
}

/* Sums of `lines` lines of a channel of output, with the channel's parameters for each column. */
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
        ql_finish(call->kernels, &stage, (int32_t *)w->results + first, c->out_pitch, 0, lines, 0,
                  ql_min(PIECE, width - first), (char *)call->y + at * size, width);
    }
}

/* A channel of output of a band, from its copied lines. */
static void convolve_channel(const cut *c, workspace *w, int64_t image, int64_t channel,
                             int64_t line) {
    const ql_channelwise *call = c->call;
    const ql_conv_shape *s = call->shape;
    const int64_t lines = ql_min(c->lines, s->out[1] - line), width = s->out[2];
    const int64_t to = ((image * s->out_channels + channel) * s->out[1] + line) * width;
    const ql_channel x = {
        .x = w->lines,
        .offsets = w->offsets,
        .weights = call->filter->weights + channel * windows_of(call->filter),
        .windows = windows_of(call->filter),
        .step = s->stride[2],
        .start = call->start[channel],
        .count = (lines - 1) * c->out_pitch + width,
    };
    if (call->codes == NULL) {
        call->kernels->channel_sums(&x, w->results);
        finish_lines(c, w, channel, lines, to);
        return;
    }
    ql_codes codes = *call->codes;
    codes.multiplier += channel;
    call->kernels->channel_codes(&x, &codes, w->results);
    call->kernels->copy_runs((char *)call->y + to, width, w->results, c->out_pitch, lines, width);
}

static void convolve_items(const cut *c, workspace *w, int64_t first, int64_t last) {
    const ql_conv_shape *s = c->call->shape;
    const int64_t multiplier = c->call->filter->multiplier;
    for (int64_t item = first; item < last; item++) {
        const int64_t channel = item % s->channels, band = item / s->channels % c->bands;
        const int64_t image = item / s->channels / c->bands;
        if (channel == 0 || item == first)
            pad_lines(c, w->lines);
        copy_lines(c, c->call->x + (image * s->channels + channel) * s->in[1] * s->in[2],
                   band * c->lines, w->lines);
        for (int64_t i = 0; i < multiplier; i++)
            convolve_channel(c, w, image, channel * multiplier + i, band * c->lines);
    }
}

static void convolve_chunk(void *context, long chunk) {
    cut *c = context;
    const ql_conv_shape *s = c->call->shape;
    const int64_t lines = ql_ceil_div((numbers_held(c) + EXCESS) * c->number, QL_ALIGNMENT);
    const int64_t results =
        ql_ceil_div((c->lines * c->out_pitch + QL_TOGETHER) * c->result, QL_ALIGNMENT);
    const int64_t offsets = windows_of(c->call->filter) * (int64_t)sizeof(int64_t);
    workspace w;
    w.lines = ql_borrow((size_t)((lines + results) * QL_ALIGNMENT + offsets));
    if (w.lines == NULL) {
        ql_report(&c->status, QL_NO_MEMORY);
        return;
    }
    w.results = w.lines + lines * QL_ALIGNMENT;
    w.offsets = (int64_t *)(w.lines + (lines + results) * QL_ALIGNMENT);
    find_windows(c, w.offsets);
    const int64_t first = chunk * c->chunk_items;
    convolve_items(c, &w, first, ql_min(first + c->chunk_items, s->batch * c->bands * s->channels));
    ql_return(w.lines);
}

int ql_channelwise_conv(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    cut c = cut_of(call);
    const int64_t items = s->batch * c.bands * s->channels;
    const int64_t products = c.lines * s->out[2] * ql_taps(s) * call->filter->multiplier;
    c.chunk_items = call->kernels->small / 8 / products + 1;
    ql_run_chunks((long)ql_ceil_div(items, c.chunk_items), convolve_chunk, &c);
    return ql_reported(&c.status);
}

/* Convolutions of groups.
 *
 * Vectors take groups that have as many channels out as in: 2, 4, 8 or 16. Of 64 channels of a
 * pixel, each four are an element, and a dot product of one with four weights is what they add to
 * one output. So four vectors of sums, the first for every fourth channel from the first on and so
 * on, take all that elements of their own place add; then elements are turned around within groups
 * of two or of four, until each has met all outputs of its group. Nothing is multiplied with zeros,
 * except by groups of two, of which two share an element.
 *
 * Tile units take groups of other widths, too. They multiply pieces of 64 bytes with weights of a
 * strip of 16 outputs. For them the channels that some outputs see, a slice of a pixel, stand apart
 * from the rest of it: so the taps of a line of the kernel follow one another, and a piece has
 * several of them.
 *
 *     sum of (x - zx) * (w - zw)  =  sum of x * (w - zw)  -  zx * sum of (w - zw)
 *
 * The last term belongs to the channel; with the bias it is what sums start from. Weights less
 * their zero point may need nine bits: they are split, and there are more taps for what is left.
 *
 * A block of channels of the lines of input under a band of output is copied, with padding, which
 * has the code of the zero point; that is what a thread needs beside input, output and weights:
 * BAND_BYTES, or more for one tile of a line. Where channels are first, they become last on the
 * way, and those of the results first again. */
#include "grouped.h"

enum {
    BLOCK = QL_GROUPED_BLOCK,
    ELEMENTS = QL_GROUPED_ELEMENTS,
    ROWS = QL_GROUPED_ROWS,
    BAND_BYTES = 64 * 1024, /* of copied lines */
    LEAST_TILE = 16,        /* pixels of a line */
    MOST_TILE = 128,
    MOST_COLUMNS = 512, /* that LEAST_TILE pixels see: other convolutions are sparse */
    MOST_LINES = 64     /* under a kernel */
};

int ql_is_grouped(const ql_kernels *kernels, const ql_conv_shape *s) {
    const int64_t width = s->group > 1 ? s->channels / s->group : 0;
    const int is_narrow =
        s->channels == s->out_channels && (width == 2 || width == 4 || width == 8 || width == 16);
    return kernels->grouped != NULL && s->group > 1 && (is_narrow || ql_are_in_tiles(kernels, s)) &&
           s->kernel[0] == 1 && ql_grouped_seen(s, 2, LEAST_TILE) <= MOST_COLUMNS &&
           ql_grouped_seen(s, 1, 1) <= MOST_LINES &&
           ql_fits_int32(ql_taps(s) * width, 255, 255, NULL, 0);
}

/* --- a call --------------------------------------------------------------------------------- */

static void cut(ql_grouped_call *c) {
    const ql_conv_shape *s = c->shape;
    c->tile = ql_min(s->out[2], MOST_TILE);
    const int64_t pixel = c->filter->block_channels;
    while (c->tile > LEAST_TILE &&
           ql_grouped_seen(s, 2, c->tile) * ql_grouped_seen(s, 1, 1) * pixel > BAND_BYTES)
        c->tile = ql_max(LEAST_TILE, c->tile / 2);
    c->tiles = ql_ceil_div(s->out[2], c->tile);
    c->tile = ql_ceil_div(s->out[2], c->tiles);
    c->tiles = ql_ceil_div(s->out[2], c->tile);
    c->columns = ql_grouped_seen(s, 2, c->tile);
    c->lines = 1;
    while (c->lines < s->out[1] &&
           ql_grouped_seen(s, 1, c->lines + 1) * c->columns * pixel <= BAND_BYTES)
        c->lines++;
    c->bands = ql_ceil_div(s->out[1], c->lines);
    c->lines = ql_ceil_div(s->out[1], c->bands);
    c->bands = ql_ceil_div(s->out[1], c->lines);
    c->held = ql_grouped_seen(s, 1, c->lines);
    c->rows = ql_ceil_div(c->tile, ql_ceil_div(c->tile, ROWS));
}

static ql_grouped_part part_of(const ql_grouped_call *c, int64_t item) {
    const ql_conv_shape *s = c->shape;
    const ql_grouped_filter *f = c->filter;
    ql_grouped_part at;
    at.channel = item % f->blocks * f->block_channels;
    at.output = item % f->blocks * f->block_outputs;
    item /= f->blocks;
    at.pixel = item % c->tiles * c->tile;
    item /= c->tiles;
    at.line = item % c->bands * c->lines;
    item /= c->bands;
    at.depth = item % s->out[0];
    at.image = item / s->out[0];
    at.channels = ql_min(f->block_channels, s->channels - at.channel);
    at.outputs = ql_min(f->block_outputs, s->out_channels - at.output);
    at.pixels = ql_min(c->tile, s->out[2] - at.pixel);
    at.lines = ql_min(c->lines, s->out[1] - at.line);
    return at;
}

int ql_finish_grouped(const ql_grouped_call *c, const ql_grouped_room *w, int32_t *sums,
                      int64_t sums_stride, int64_t pixels, int64_t output, int64_t outputs,
                      int64_t first) {
    ql_output stage = ql_output_from(c->output, output);
    if (stage.residual != NULL)
        stage.residual =
            c->channels_first ? (uint8_t *)w->residual + first : c->output->residual + first;
    int status = QL_OK;
    for (int64_t p = 0; !c->fits && p < pixels && status == QL_OK; p++)
        status = ql_add_bias(sums + p * sums_stride, stage.bias, outputs);
    char *y = c->channels_first ? w->results : c->y;
    if (status == QL_OK)
        ql_finish(c->filter->kernels, &stage, sums, sums_stride, 0, pixels, 0, outputs,
                  y + first * ql_size_of_result(stage.type), ql_grouped_step(c));
    return status;
}

static int convolve_lines(const ql_grouped_call *c, const ql_grouped_room *w,
                          const ql_grouped_part *at) {
    const ql_grouped_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    ql_grouped_line line = {.offsets = w->offsets,
                            .taps = f->taps * f->repeats,
                            .turns = f->turns,
                            .pixel_step = s->stride[2] * BLOCK,
                            .w = f->weights + at->channel / BLOCK * ql_bytes_of_block(f),
                            .start = c->start + at->channel,
                            .pixels = at->pixels,
                            .channels = at->channels};
    ql_codes codes = c->codes;
    if (c->has_codes)
        codes = ql_codes_from(&codes, at->channel);
    uint8_t *y = (uint8_t *)(c->channels_first ? w->results : c->y);
    int status = QL_OK;
    for (int64_t i = 0; i < at->lines && status == QL_OK; i++) {
        const int64_t first = ql_grouped_first(c, at, i);
        line.x = w->lines + i * s->stride[1] * c->columns * BLOCK;
        f->kernels->grouped(&line, w->sums, c->has_codes ? &codes : NULL, y + first,
                            ql_grouped_step(c));
        if (!c->has_codes)
            status = ql_finish_grouped(c, w, w->sums, BLOCK, at->pixels, at->channel, at->channels,
                                       first);
    }
    return status;
}

static int convolve_item(const ql_grouped_call *c, const ql_grouped_room *w, int64_t item) {
    const ql_grouped_part at = part_of(c, item);
    ql_copy_grouped(c, w, &at);
    if (c->channels_first && c->output->residual != NULL)
        ql_transpose_grouped(c, w, &at, 0);
    const int status =
        c->filter->in_tiles ? ql_convolve_grouped_tiles(c, w, &at) : convolve_lines(c, w, &at);
    if (status == QL_OK && c->channels_first)
        ql_transpose_grouped(c, w, &at, 1);
    return status;
}

/* Where the pieces of a kernel begin in the lines of a slice, in bytes. */
static void find_pieces(const ql_grouped_call *c, int64_t *offsets) {
    const ql_grouped_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    for (int64_t i = 0; i < ql_count_pieces(f) * f->repeats; i++) {
        const int64_t piece = i % ql_count_pieces(f), byte = piece % f->line_pieces * BLOCK;
        const int64_t line = piece / f->line_pieces * s->dilation[1];
        const int64_t column = byte / f->apart * s->dilation[2];
        offsets[i] = (line * c->columns + column) * f->slice + byte % f->apart;
    }
}

static int borrow_workspace(const ql_grouped_call *c, ql_grouped_room *w) {
    const ql_grouped_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    const int64_t item = c->channels_first ? c->lines * c->tile * f->block_outputs : 0;
    const int64_t pixels = c->held * c->columns * f->slices + ROWS * s->stride[2];
    const int64_t lines = ql_ceil_div(pixels * f->slice, BLOCK) * BLOCK + 2 * BLOCK;
    const int64_t of_tiles = QL_GROUPED_PLACES * ROWS * QL_STRIP;
    const int64_t of_line = c->has_codes ? 0 : c->tile * BLOCK;
    const int64_t sums = (f->in_tiles ? of_tiles : of_line) * (int64_t)sizeof(int32_t);
    const int64_t results = item * ql_size_of_result(c->output->type);
    const int64_t residual = c->output->residual == NULL ? 0 : item;
    const int64_t loaded = ql_loads_together(c) ? c->held * s->in[2] * f->block_channels : 0;
    const int64_t offsets = ql_count_pieces(f) * f->repeats * (int64_t)sizeof(int64_t);
    const int64_t strips = f->slices * f->strips * (int64_t)sizeof *w->strips;
    const int64_t places = c->lines * ql_ceil_div(c->tile, c->rows) * (int64_t)sizeof *w->places;
    w->memory =
        ql_borrow((size_t)(lines + sums + offsets + strips + places + results + residual + loaded));
    if (w->memory == NULL)
        return QL_NO_MEMORY;
    w->lines = w->memory;
    w->sums = (int32_t *)(w->lines + lines);
    w->offsets = (int64_t *)(w->lines + lines + sums);
    w->strips = (ql_grouped_strip *)((char *)w->offsets + offsets);
    w->places = (ql_grouped_place *)((char *)w->strips + strips);
    w->results = (char *)w->places + places;
    w->residual = w->results + results;
    w->loaded = w->residual + residual;
    find_pieces(c, w->offsets);
    return QL_OK;
}

static int64_t items_of(const ql_grouped_call *c) {
    const ql_conv_shape *s = c->shape;
    return s->batch * s->out[0] * c->bands * c->tiles * c->filter->blocks;
}

static void convolve_chunk(void *context, long chunk) {
    ql_grouped_call *c = context;
    ql_grouped_room w;
    int status = borrow_workspace(c, &w);
    const int64_t first = chunk * c->chunk_items;
    const int64_t last = ql_min(first + c->chunk_items, items_of(c));
    const ql_kernels *kernels = c->filter->kernels;
    if (c->filter->in_tiles)
        kernels->prepare_grouped(c->rows, c->rolls);
    for (int64_t item = first; item < last && status == QL_OK; item++)
        status = convolve_item(c, &w, item);
    if (c->filter->in_tiles)
        kernels->release();
    ql_report(&c->status, status);
    ql_return(w.memory);
}

/* Puts an entry of each channel in the order of vectors; tiles leave them in their own. */
static void put_in_order(const ql_grouped_filter *f, const void *entries, void *to) {
    const char *from = entries;
    char *ordered = to;
    if (f->in_tiles)
        memcpy(to, entries, (size_t)f->out_channels * 4);
    for (int64_t i = 0; !f->in_tiles && i < f->channels; i++)
        memcpy(ordered + (i / BLOCK * BLOCK + i % 4 * ELEMENTS + i % BLOCK / 4) * 4, from + i * 4,
               4);
}

/* So many sums have entries: those of whole blocks of vectors, or of whole strips. */
static int64_t whole_outputs(const ql_grouped_filter *f) {
    return f->in_tiles ? f->out_channels + QL_STRIP : f->blocks * BLOCK;
}

/* Whether each line of the kernel is one piece of weights, of three, and lines are neighbours. */
static int can_roll(const ql_grouped_call *c) {
    const ql_grouped_filter *f = c->filter;
    return f->in_tiles && f->lines == 3 && f->line_pieces == 1 && f->repeats == 1 &&
           c->shape->stride[1] == 1 && c->shape->dilation[1] == 1;
}

/* What sums start from and are multiplied by; `scratch` has room for an entry of each channel. */
static void prepare_channels(ql_grouped_call *c, int32_t zero_point, int32_t *start,
                             float *multiplier, int32_t *scratch) {
    const ql_output *o = c->output;
    const int64_t channels = c->shape->out_channels, whole = whole_outputs(c->filter);
    const int64_t largest = ql_largest_sum(ql_taps(c->shape) * c->filter->width, o->bias, channels);
    c->fits = largest <= INT32_MAX;
    c->has_codes = c->fits && ql_makes_codes(o, channels, largest);
    ql_start_sums(c->filter->totals, c->fits ? o->bias : NULL, zero_point, channels, scratch);
    const int64_t last = ql_min(whole, BLOCK); /* entries, where those beyond channels are */
    memset(start + whole - last, 0, (size_t)last * sizeof *start);
    put_in_order(c->filter, scratch, start);
    c->start = start;
    if (!c->has_codes)
        return;
    memset(multiplier + whole - last, 0, (size_t)last * sizeof *multiplier);
    put_in_order(c->filter, o->multiplier, multiplier);
    c->codes = ql_codes_of(o, multiplier);
    c->rolls = can_roll(c);
}

int ql_grouped_conv(const ql_grouped_filter *filter, const uint8_t *x, int x_signed,
                    int32_t x_zero_point, const ql_conv_shape *shape, int channels_first,
                    const ql_output *output, void *y) {
    const int to_signed = filter->kernels->depthwise_signed;
    ql_grouped_call c = {.filter = filter,
                         .x = x,
                         .flip = ql_flip(x_signed, to_signed),
                         .zero = (uint8_t)x_zero_point ^ ql_flip(x_signed, to_signed),
                         .shape = shape,
                         .channels_first = channels_first,
                         .output = output,
                         .y = y,
                         .status = {QL_OK}};
    if (shape->batch * shape->out[0] * shape->out[1] * shape->out[2] == 0)
        return QL_OK;
    cut(&c);
    const int64_t whole = whole_outputs(filter);
    char *memory = ql_borrow((size_t)whole * 3 * sizeof(int32_t));
    if (memory == NULL)
        return QL_NO_MEMORY;
    int32_t *start = (int32_t *)memory, *scratch = start + whole;
    prepare_channels(&c, x_zero_point + ql_shift(x_signed, to_signed), start,
                     (float *)(scratch + whole), scratch);
    const int64_t products =
        c.lines * c.tile * ql_taps(shape) * filter->width * filter->block_outputs;
    c.chunk_items = filter->kernels->small / 8 / ql_max(products, 1) + 1;
    ql_run_chunks((long)ql_ceil_div(items_of(&c), c.chunk_items), convolve_chunk, &c);
    ql_return(memory);
    return ql_reported(&c.status);
}

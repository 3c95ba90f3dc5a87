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
    PLACES = QL_GROUPED_PLACES,
    BAND_BYTES = 64 * 1024, /* of copied lines */
    LEAST_TILE = 16,        /* pixels of a line */
    MOST_TILE = 128,
    MOST_COLUMNS = 512, /* that LEAST_TILE pixels see: other convolutions are sparse */
    MOST_LINES = 64,    /* under a kernel */
    SHORT_LINE = 16,    /* columns: fewer are transposed together */
    THICK_SLICE = 16,   /* channels */
};

/* Columns of input under so many pixels of a line, and lines under so many lines. */
static int64_t seen(const ql_conv_shape *s, int axis, int64_t outputs) {
    return (outputs - 1) * s->stride[axis] + (s->kernel[axis] - 1) * s->dilation[axis] + 1;
}

int ql_is_grouped(const ql_kernels *kernels, const ql_conv_shape *s) {
    const int64_t width = s->group > 1 ? s->channels / s->group : 0;
    const int is_narrow =
        s->channels == s->out_channels && (width == 2 || width == 4 || width == 8 || width == 16);
    return kernels->grouped != NULL && s->group > 1 && (is_narrow || ql_are_in_tiles(kernels, s)) &&
           s->kernel[0] == 1 && seen(s, 2, LEAST_TILE) <= MOST_COLUMNS &&
           seen(s, 1, 1) <= MOST_LINES && ql_fits_int32(ql_taps(s) * width, 255, 255, NULL, 0);
}

/* --- a call --------------------------------------------------------------------------------- */

/* A convolution cut into items for the threads: blocks of channels of a tile of a band of lines. */
typedef struct {
    const ql_grouped_filter *filter;
    const uint8_t *x;
    uint8_t flip, zero; /* of bytes of x; the number that padding has */
    const ql_conv_shape *shape;
    int channels_first;
    const ql_output *output;
    char *y;
    const int32_t *start; /* what sums start from, in the order of vectors */
    int fits;             /* whether that includes the bias, because all sums fit int32 with it */
    ql_codes codes;       /* what becomes of them, if has_codes: then no sums are stored */
    int has_codes;
    int rolls; /* whether tiles of input are multiplied for three lines of output at a time */
    int64_t tile, rows, lines; /* pixels of a line; of those in a tile unit's; lines of a band */
    int64_t tiles, bands;
    int64_t columns, held; /* of input under them */
    int64_t chunk_items;
    ql_status status;
} convolution;

/* What an item makes. */
typedef struct {
    int64_t image, depth;
    int64_t line, lines, pixel, pixels, channel, channels, output, outputs;
} place;

/* A thread's memory. */
typedef struct {
    char *memory, *lines;
    char *loaded;             /* short lines that had channels first */
    int64_t *offsets;         /* of pieces */
    int32_t *sums;            /* of a line, or of tiles */
    ql_grouped_strip *strips; /* of tiles */
    ql_grouped_place *places;
    char *results, *residual; /* of an item, before channels are first */
} workspace;

static void cut(convolution *c) {
    const ql_conv_shape *s = c->shape;
    c->tile = ql_min(s->out[2], MOST_TILE);
    const int64_t pixel = c->filter->block_channels;
    while (c->tile > LEAST_TILE && seen(s, 2, c->tile) * seen(s, 1, 1) * pixel > BAND_BYTES)
        c->tile = ql_max(LEAST_TILE, c->tile / 2);
    c->tiles = ql_ceil_div(s->out[2], c->tile);
    c->tile = ql_ceil_div(s->out[2], c->tiles);
    c->tiles = ql_ceil_div(s->out[2], c->tile);
    c->columns = seen(s, 2, c->tile);
    c->lines = 1;
    while (c->lines < s->out[1] && seen(s, 1, c->lines + 1) * c->columns * pixel <= BAND_BYTES)
        c->lines++;
    c->bands = ql_ceil_div(s->out[1], c->lines);
    c->lines = ql_ceil_div(s->out[1], c->bands);
    c->bands = ql_ceil_div(s->out[1], c->lines);
    c->held = seen(s, 1, c->lines);
    c->rows = ql_ceil_div(c->tile, ql_ceil_div(c->tile, ROWS));
}

static place place_of(const convolution *c, int64_t item) {
    const ql_conv_shape *s = c->shape;
    const ql_grouped_filter *f = c->filter;
    place at;
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

/* Channels of short lines, and those of several thin slices, become last all at once; others line
 * by line, where they belong. */
static int loads_together(const convolution *c) {
    const int is_short = c->shape->in[2] < SHORT_LINE;
    const int is_thin = c->filter->slices > 1 && c->filter->slice < THICK_SLICE && c->tiles == 1;
    return c->channels_first && (is_short || is_thin);
}

/* What an item sees of the image: lines `first` to `last` of those under it, columns `begin` to
 * `end`; x is the first of these pixels. */
typedef struct {
    int64_t lines, first, last, columns, begin, end;
    const uint8_t *x;
} view;

static view view_of(const convolution *c, const place *at) {
    const ql_conv_shape *s = c->shape;
    const int64_t width = s->in[2], plane = s->in[0] * s->in[1] * width;
    const int64_t d = at->depth * s->stride[0] - s->pad[0];
    const int64_t top = at->line * s->stride[1] - s->pad[1];
    const int64_t left = at->pixel * s->stride[2] - s->pad[2];
    view v = {.lines = seen(s, 1, at->lines), .columns = seen(s, 2, at->pixels)};
    v.begin = ql_min(v.columns, ql_max(0, -left));
    v.end = ql_max(v.begin, ql_min(v.columns, width - left));
    v.first = ql_min(v.lines, ql_max(0, -top));
    v.last = ql_max(v.first, ql_min(v.lines, s->in[1] - top));
    if (v.begin == v.end || !ql_inside(d, s->in[0]))
        v.last = v.first;
    if (v.first == v.last)
        return v;
    const int64_t pixel = (d * s->in[1] + top + v.first) * width + left + v.begin;
    v.x = c->x + at->image * s->channels * plane +
          (c->channels_first ? at->channel * plane + pixel : pixel * s->channels + at->channel);
    return v;
}

/* A slice of one line of those that are seen, pixel after pixel. */
static void copy_line(const convolution *c, const workspace *w, const view *v, int64_t line,
                      int64_t channel, int64_t channels, char *to) {
    const ql_conv_shape *s = c->shape;
    const ql_kernels *kernels = c->filter->kernels;
    const int64_t width = s->in[2], plane = s->in[0] * s->in[1] * width;
    const int64_t columns = v->end - v->begin, i = line - v->first, slice = c->filter->slice;
    const int64_t block = c->filter->block_channels;
    const char *x = (const char *)v->x;
    if (loads_together(c))
        kernels->copy_runs(to, slice, w->loaded + i * width * block + channel, block, columns,
                           channels);
    else if (c->channels_first)
        ql_transpose_part(kernels, x + i * width + channel * plane, plane, channels, columns, to,
                          slice, 1);
    else
        kernels->copy_runs(to, slice, x + i * width * s->channels + channel, s->channels, columns,
                           channels);
    for (int64_t byte = 0; c->flip && byte < columns * slice; byte++)
        to[byte] ^= (char)c->flip;
}

/* A slice of the lines that an item sees, with what pads them. */
static void copy_slice(const convolution *c, const workspace *w, const view *v, int64_t channel,
                       int64_t channels, char *lines) {
    const int64_t slice = c->filter->slice;
    for (int64_t i = 0; i < v->lines; i++) {
        char *to = lines + i * c->columns * slice;
        if (i < v->first || i >= v->last) {
            memset(to, c->zero, (size_t)(v->columns * slice));
            continue;
        }
        memset(to, c->zero, (size_t)(v->begin * slice));
        copy_line(c, w, v, i, channel, channels, to + v->begin * slice);
        memset(to + v->end * slice, c->zero, (size_t)((v->columns - v->end) * slice));
    }
}

/* Bytes from one slice of the lines to the next. */
static int64_t slice_step(const convolution *c) {
    return c->held * c->columns * c->filter->slice;
}

/* Copies the lines of input that an item sees. */
static void copy_lines(const convolution *c, const workspace *w, const place *at) {
    const ql_conv_shape *s = c->shape;
    const view v = view_of(c, at);
    if (loads_together(c) && v.first < v.last)
        ql_transpose_part(c->filter->kernels, v.x, s->in[0] * s->in[1] * s->in[2], at->channels,
                          (v.last - v.first - 1) * s->in[2] + v.end - v.begin, w->loaded,
                          c->filter->block_channels, 1);
    const int64_t slice = c->filter->slice;
    for (int64_t channel = 0; channel < at->channels; channel += slice)
        copy_slice(c, w, &v, channel, ql_min(slice, at->channels - channel),
                   w->lines + channel / slice * slice_step(c));
}

/* Where results of an item go, or come from, by line: to the array, or to be transposed. */
static int64_t first_of(const convolution *c, const place *at, int64_t line) {
    const ql_conv_shape *s = c->shape;
    if (c->channels_first)
        return line * at->pixels * c->filter->block_outputs;
    const int64_t lines = (at->image * s->out[0] + at->depth) * s->out[1] + at->line + line;
    return (lines * s->out[2] + at->pixel) * s->out_channels + at->output;
}

/* From one pixel's results to the next one's. */
static int64_t y_stride_of(const convolution *c) {
    return c->channels_first ? c->filter->block_outputs : c->shape->out_channels;
}

/* Sums of neighbouring pixels, finished: `outputs` of each from output channel `output` on, whose
 * results begin at element `first`. */
static int finish_sums(const convolution *c, const workspace *w, int32_t *sums, int64_t sums_stride,
                       int64_t pixels, int64_t output, int64_t outputs, int64_t first) {
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
                  y + first * ql_size_of_result(stage.type), y_stride_of(c));
    return status;
}

/* The elements of an item's first line in the array with channels first. */
static int64_t element_of(const convolution *c, const place *at, int64_t line) {
    const ql_conv_shape *s = c->shape;
    const int64_t plane = s->out[0] * s->out[1] * s->out[2];
    return (at->image * s->out_channels + at->output) * plane +
           (at->depth * s->out[1] + at->line + line) * s->out[2] + at->pixel;
}

/* Transposes results, or the residual to them: lines that are whole in one go. */
static void transpose_lines(const convolution *c, const workspace *w, const place *at,
                            int to_results) {
    const ql_conv_shape *s = c->shape;
    const ql_kernels *kernels = c->filter->kernels;
    const int64_t plane = s->out[0] * s->out[1] * s->out[2];
    const int64_t size = ql_size_of_result(c->output->type);
    const int64_t together = at->pixels == s->out[2] ? at->lines : 1;
    const int64_t pixels = together * at->pixels, block = c->filter->block_outputs;
    for (int64_t line = 0; line < at->lines; line += together) {
        const int64_t element = element_of(c, at, line), place = line * at->pixels * block;
        if (to_results)
            ql_transpose_part(kernels, w->results + place * size, block, pixels, at->outputs,
                              c->y + element * size, plane, size);
        else
            ql_transpose_part(kernels, c->output->residual + element, plane, at->outputs, pixels,
                              w->residual + place, block, 1);
    }
}

/* --- in vectors --- */

static int convolve_lines(const convolution *c, const workspace *w, const place *at) {
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
        const int64_t first = first_of(c, at, i);
        line.x = w->lines + i * s->stride[1] * c->columns * BLOCK;
        f->kernels->grouped(&line, w->sums, c->has_codes ? &codes : NULL, y + first,
                            y_stride_of(c));
        if (!c->has_codes)
            status =
                finish_sums(c, w, w->sums, BLOCK, at->pixels, at->channel, at->channels, first);
    }
    return status;
}

/* --- in tiles --- */

/* The first result of an item, if they are bytes. */
static uint8_t *first_result(const convolution *c, const workspace *w, const place *at) {
    return (uint8_t *)(c->channels_first ? w->results : c->y) + first_of(c, at, 0);
}

/* The strips of a block that there are. */
static int64_t find_strips(const convolution *c, const workspace *w, const place *at) {
    const ql_grouped_filter *f = c->filter;
    const int64_t of_slice = f->slice_groups * f->out_width, pieces = ql_bytes_of_strip(f);
    uint8_t *y = first_result(c, w, at);
    int64_t count = 0;
    for (int64_t slice = 0; slice * of_slice < at->outputs; slice++)
        for (int64_t strip = 0; strip < f->strips; strip++) {
            const int64_t in_slice = strip * f->strip_outputs, first = slice * of_slice + in_slice;
            const int64_t number = (at->output / of_slice + slice) * f->strips + strip;
            const int64_t rest = ql_min(of_slice - in_slice, at->outputs - first);
            if (rest > 0)
                w->strips[count++] = (ql_grouped_strip){
                    .x = w->lines + slice * slice_step(c),
                    .w = f->weights + number * pieces,
                    .start = c->start + at->output + first,
                    .multiplier = c->has_codes ? c->codes.multiplier + at->output + first : NULL,
                    .y = y + first,
                    .outputs = ql_min(rest, f->strip_outputs),
                };
        }
    return count;
}

/* The tiles of an item, line by line; the last of a line overlaps the one before. */
static int64_t find_places(const convolution *c, const workspace *w, const place *at,
                           int64_t rows) {
    const ql_conv_shape *s = c->shape;
    const int64_t slice = c->filter->slice;
    int64_t count = 0;
    for (int64_t line = 0; line < at->lines; line++)
        for (int64_t i = 0; i < at->pixels; i += rows) {
            const int64_t pixel = ql_min(i, at->pixels - rows);
            w->places[count++] = (ql_grouped_place){
                .x = (line * s->stride[1] * c->columns + pixel * s->stride[2]) * slice,
                .y = first_of(c, at, line) - first_of(c, at, 0) + pixel * y_stride_of(c),
            };
        }
    return count;
}

/* Sums of up to PLACES tiles from number `place` on, finished, but those that overlap others. */
static int finish_tiles(const convolution *c, const workspace *w, const place *at,
                        const ql_grouped_tiles_item *all, int64_t strip, int64_t place) {
    const int64_t of_line = ql_ceil_div(at->pixels, all->rows);
    const int64_t output = all->strips[strip].y - first_result(c, w, at);
    ql_grouped_tiles_item part = *all;
    part.strips += strip;
    part.strip_count = 1;
    part.places += place;
    part.place_count = ql_min(PLACES, all->place_count - place);
    c->filter->kernels->grouped_tiles(&part, 0, NULL, w->sums);
    int status = QL_OK;
    for (int64_t i = 0; i < part.place_count && status == QL_OK; i++) {
        const int is_last = (place + i) % of_line == of_line - 1;
        const int64_t skipped = is_last ? of_line * all->rows - at->pixels : 0;
        const int64_t first = first_of(c, at, 0) + part.places[i].y + output;
        status = finish_sums(c, w, w->sums + (i * ROWS + skipped) * QL_STRIP, QL_STRIP,
                             all->rows - skipped, at->output + output, part.strips->outputs,
                             first + skipped * all->y_step);
    }
    return status;
}

static int convolve_tiles(const convolution *c, const workspace *w, const place *at) {
    const ql_grouped_filter *f = c->filter;
    const int64_t rows = ql_min(c->rows, at->pixels);
    const ql_grouped_tiles_item item = {
        .strips = w->strips,
        .places = w->places,
        .strip_count = find_strips(c, w, at),
        .place_count = find_places(c, w, at, rows),
        .rows = rows,
        .line_places = ql_ceil_div(at->pixels, rows),
        .line_step = c->columns * f->slice,
        .offsets = w->offsets,
        .pieces = ql_count_pieces(f) * f->repeats,
        .x_step = c->shape->stride[2] * f->slice,
        .y_step = y_stride_of(c),
    };
    if (c->has_codes)
        f->kernels->grouped_tiles(&item, c->rolls, &c->codes, w->sums);
    int status = QL_OK;
    for (int64_t strip = 0; !c->has_codes && strip < item.strip_count; strip++)
        for (int64_t i = 0; i < item.place_count && status == QL_OK; i += PLACES)
            status = finish_tiles(c, w, at, &item, strip, i);
    return status;
}

/* --- items --- */

static int convolve_item(const convolution *c, const workspace *w, int64_t item) {
    const place at = place_of(c, item);
    copy_lines(c, w, &at);
    if (c->channels_first && c->output->residual != NULL)
        transpose_lines(c, w, &at, 0);
    const int status = c->filter->in_tiles ? convolve_tiles(c, w, &at) : convolve_lines(c, w, &at);
    if (status == QL_OK && c->channels_first)
        transpose_lines(c, w, &at, 1);
    return status;
}

/* Where the pieces of a kernel begin in the lines of a slice, in bytes. */
static void find_pieces(const convolution *c, int64_t *offsets) {
    const ql_grouped_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    for (int64_t i = 0; i < ql_count_pieces(f) * f->repeats; i++) {
        const int64_t piece = i % ql_count_pieces(f), byte = piece % f->line_pieces * BLOCK;
        const int64_t line = piece / f->line_pieces * s->dilation[1];
        const int64_t column = byte / f->apart * s->dilation[2];
        offsets[i] = (line * c->columns + column) * f->slice + byte % f->apart;
    }
}

static int borrow_workspace(const convolution *c, workspace *w) {
    const ql_grouped_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    const int64_t item = c->channels_first ? c->lines * c->tile * f->block_outputs : 0;
    const int64_t pixels = c->held * c->columns * f->slices + ROWS * s->stride[2];
    const int64_t lines = ql_ceil_div(pixels * f->slice, BLOCK) * BLOCK + 2 * BLOCK;
    const int64_t of_tiles = PLACES * ROWS * QL_STRIP, of_line = c->has_codes ? 0 : c->tile * BLOCK;
    const int64_t sums = (f->in_tiles ? of_tiles : of_line) * (int64_t)sizeof(int32_t);
    const int64_t results = item * ql_size_of_result(c->output->type);
    const int64_t residual = c->output->residual == NULL ? 0 : item;
    const int64_t loaded = loads_together(c) ? c->held * s->in[2] * f->block_channels : 0;
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

static int64_t items_of(const convolution *c) {
    const ql_conv_shape *s = c->shape;
    return s->batch * s->out[0] * c->bands * c->tiles * c->filter->blocks;
}

static void convolve_chunk(void *context, long chunk) {
    convolution *c = context;
    workspace w;
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
static int rolls(const convolution *c) {
    const ql_grouped_filter *f = c->filter;
    return f->in_tiles && f->lines == 3 && f->line_pieces == 1 && f->repeats == 1 &&
           c->shape->stride[1] == 1 && c->shape->dilation[1] == 1;
}

/* What sums start from and are multiplied by; `scratch` has room for an entry of each channel. */
static void prepare_channels(convolution *c, int32_t zero_point, int32_t *start, float *multiplier,
                             int32_t *scratch) {
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
    c->rolls = rolls(c);
}

int ql_grouped_conv(const ql_grouped_filter *filter, const uint8_t *x, int x_signed,
                    int32_t x_zero_point, const ql_conv_shape *shape, int channels_first,
                    const ql_output *output, void *y) {
    const int to_signed = filter->kernels->depthwise_signed;
    convolution c = {.filter = filter,
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

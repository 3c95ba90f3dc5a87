/* Depthwise convolutions with channels last: channels do not mix, each has kernels of its own.
 *
 * The rows of the kernel are taken `depthwise_rows` at a time: that many lines of input are
 * interleaved into a plane, whose elements hold what one channel of one column has in these lines,
 * so that a dot product of two or four numbers does the work. A plane serves all taps of a row, and
 * where the rows of several output lines overlap (one under another, stride 1), all of these: a
 * kernel of 3 x 3 on planes of four lines makes two output lines from each. Weights are packed for
 * each line of such a bundle, at other rows of the planes, with zeros in the rest.
 *
 * Of kernels of 3 x 3 that make codes, whole strips of channels may go straight from the lines to
 * the codes, their elements never leaving the registers; planes are for the rest of the channels.
 *
 *     sum of (x - zx) * (w - zw)  =  sum of x * (w - zw)  -  zx * sum of (w - zw)
 *
 * Padding has the code zx, so that the last term belongs to the channel; with the bias it is what
 * sums start from. Weights less their zero point may need nine bits: where planes are of bytes,
 * they are split, and the planes are gone through again for what is left.
 *
 * Beside input, output and weights a thread needs a tile's line of padding and the planes of a
 * bundle, cut into tiles of columns and blocks of channels that fit SCRATCH_BYTES, if a tile of
 * LEAST_TILE pixels and BLOCK_CHANNELS does. Where channels are first and their planes are not
 * convolved as they are (channelwise.c), COPIED_CHANNELS of an image at a time have them last in a
 * copy, and the output that they make is copied back. */
#include "depthwise.h"

enum {
    SCRATCH_BYTES = 24 * 1024, /* of planes: they stay in the first cache */
    LEAST_TILE = 16,           /* pixels, before channels are cut instead */
    BLOCK_CHANNELS = 64,       /* a block is a multiple of */
    MOST_COLUMNS = 4096,       /* that such a tile sees: other convolutions are sparse */
    COPIED_CHANNELS = 64,      /* of an image with channels first, at once */
    MOST_ROWS = 4              /* of a plane */
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
    const int32_t *start;            /* what sums start from, for whole strips */
    int fits;       /* whether that includes the bias, because all sums fit int32 with it */
    int in_windows; /* whether channels that are first stay so */
    ql_codes codes; /* what becomes of them, if has_codes: then no sums are stored */
    int has_codes;
    int64_t bundles, tiles, chunk_items;
    int64_t tile, columns; /* pixels; columns of input that they see, up to QL_PIXELS more */
    int64_t squares;       /* channels that need no planes, the first ones */
    int64_t lines;         /* of an item: a bundle, or several */
    int in_blocks;         /* whether those have weights in blocks */
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

/* How many channels are done without planes: whole strips, if codes come of kernels of 3 x 3. */
static int64_t count_squares(const convolution *c) {
    const ql_depthwise_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    const int fits = f->planes * f->kernels->depthwise_rows == MOST_ROWS &&
                     f->lines <= ql_depthwise_square_lines(s);
    if (!c->has_codes || !fits || f->repeats > 1 || f->multiplier > 1)
        return 0;
    return c->channels / QL_STRIP * QL_STRIP;
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
    /* An axis of a single result has a stride of 1, whatever the weights were packed for. */
    c->in_blocks = c->squares > 0 && f->blocks != NULL && s->stride[2] == 2;
    c->lines = c->in_blocks && s->stride[1] == 2 ? 2 : f->lines;
    c->bundles = s->batch * s->out[0] * ql_ceil_div(s->out[1], c->lines);
}

static place place_of(const convolution *c, int64_t item) {
    const ql_conv_shape *s = c->shape;
    const int64_t bundles = ql_ceil_div(s->out[1], c->lines); /* of an image */
    place at;
    at.pixel = item % c->tiles * c->tile;
    item /= c->tiles;
    at.line = item % bundles * c->lines;
    item /= bundles;
    at.depth = item % s->out[0];
    at.image = item / s->out[0];
    at.lines = ql_min(c->lines, s->out[1] - at.line);
    at.pixels = ql_min(c->tile, s->out[2] - at.pixel);
    return at;
}

/* --- planes --------------------------------------------------------------------------------- */

/* The line of input that row `row` of a bundle's kernels meets, or NULL outside of the image. */
static const uint8_t *line_at(const convolution *c, const place *at, int64_t row) {
    const ql_conv_shape *s = c->shape;
    int64_t d = at->depth * s->stride[0] - s->pad[0], h = at->line * s->stride[1] - s->pad[1];
    if (s->kernel[0] == 1) {
        h += row * s->dilation[1];
    } else {
        d += row / s->kernel[1] * s->dilation[0];
        h += row % s->kernel[1] * s->dilation[1];
    }
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
    if (c->has_codes)
        codes = ql_codes_from(&codes, first);
    for (int64_t i = 0; i < at->lines; i++) {
        const int64_t out_line = (at->image * s->out[0] + at->depth) * s->out[1] + at->line + i;
        const int64_t pixel = out_line * s->out[2] + at->pixel;
        line.x = w->planes + ql_depthwise_first_plane(f, i) * c->plane_step;
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

/* The groups of one or two lines of a kernel of 3 x 3, without planes. */
static void convolve_squares(const convolution *c, const workspace *w, const place *at) {
    const ql_depthwise_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    const int64_t first = at->pixel * s->stride[2] - s->pad[2];
    const int64_t begin = ql_min(ql_max(first, 0), s->in[2]); /* of the columns that are seen */
    ql_square square = {.first = first - begin,
                        .step = c->channels,
                        .width = ql_min(s->in[2] - begin, columns_of(s, at->pixels)),
                        .flip = c->flip,
                        .zero = c->zero ^ c->flip,
                        .stride = s->stride[2],
                        .pixels = at->pixels,
                        .channels = c->squares,
                        .lines = (int)at->lines,
                        .w = c->in_blocks ? f->blocks : f->weights,
                        .w_step = f->line_size,
                        .start = c->start + c->first_channel};
    square.w += c->first_channel * f->planes * 3 * 4;
    for (int64_t row = 0; row < 3 + (at->lines - 1) * s->stride[1]; row++) {
        const uint8_t *line = line_at(c, at, row);
        const int is_padding = line == NULL || square.width == 0;
        square.row[row] = is_padding ? w->padding : line + begin * c->channels;
    }
    const int64_t line = (at->image * s->out[0] + at->depth) * s->out[1] + at->line;
    const ql_codes codes = ql_codes_from(&c->codes, c->first_channel);
    f->kernels->depthwise_square(&square, &codes,
                                 (uint8_t *)c->y + (line * s->out[2] + at->pixel) * c->channels,
                                 c->channels, s->out[2] * c->channels);
}

/* The channels of a bundle that need planes. */
static int convolve_blocks(const convolution *c, const workspace *w, const place *at) {
    const int64_t last = c->first_channel + c->channels;
    int status = QL_OK;
    for (int64_t channel = c->first_channel + c->squares; channel < last && status == QL_OK;
         channel += c->block)
        status = convolve_block(c, w, at, channel, ql_min(c->block, last - channel));
    return status;
}

static int convolve_item(const convolution *c, const workspace *w, int64_t item) {
    place at = place_of(c, item);
    const int64_t limit = at.line + at.lines;
    if (c->squares)
        convolve_squares(c, w, &at);
    int status = QL_OK;
    for (; at.line < limit && status == QL_OK; at.line += c->filter->lines) {
        at.lines = ql_min(c->filter->lines, limit - at.line);
        status = convolve_blocks(c, w, &at);
    }
    return status;
}

static int borrow_workspace(const convolution *c, workspace *w) {
    const ql_depthwise_filter *f = c->filter;
    const int has_planes = c->squares < c->channels;
    const int64_t width = c->block * f->multiplier;
    const int64_t planes = has_planes ? (f->planes + 1) * c->plane_step : 0;
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
 * last: a convolution of its own, cut anew, because the last channels may be fewer. */
static int convolve_copy(const convolution *c, char *copy, int64_t image, int64_t channel) {
    const ql_depthwise_filter *f = c->filter;
    const ql_conv_shape *s = c->shape;
    const int64_t pixels = pixels_of(s->in), out = pixels_of(s->out);
    const int64_t size = ql_size_of_result(c->output->type);
    convolution part = *c;
    part.first_channel = channel;
    part.channels = ql_min(c->channels, s->channels - channel);
    part.x = (uint8_t *)copy;
    part.y = copy + COPIED_CHANNELS * pixels;
    cut(&part);
    workspace w;
    int status = borrow_workspace(&part, &w);
    if (status != QL_OK)
        return status;
    const int64_t width = part.channels * f->multiplier;
    const int64_t first = (image * s->out_channels + channel * f->multiplier) * out;
    ql_transpose_part(f->kernels, c->x + (image * s->channels + channel) * pixels, pixels,
                      part.channels, pixels, copy, part.channels, 1);
    if (c->residual != NULL) {
        char *residual = part.y + COPIED_CHANNELS * f->multiplier * out * size;
        ql_transpose_part(f->kernels, c->residual + first, out, width, out, residual, width, 1);
        part.residual = (uint8_t *)residual;
    }
    for (int64_t item = 0; item < part.bundles / s->batch * part.tiles && status == QL_OK; item++)
        status = convolve_item(&part, &w, item);
    if (status == QL_OK)
        ql_transpose_part(f->kernels, part.y, width, out, width, c->y + first * size, out, size);
    ql_return(w.memory);
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
    char *copy =
        ql_borrow((size_t)(COPIED_CHANNELS * (pixels_of(s->in) + pixels_of(s->out) * size)));
    int status = copy == NULL ? QL_NO_MEMORY : QL_OK;
    for (int64_t item = first; item < last && status == QL_OK; item++)
        status = convolve_copy(c, copy, item / blocks, item % blocks * COPIED_CHANNELS);
    ql_report(&c->status, status);
    ql_return(copy);
}

static int64_t largest_sum(const convolution *c) {
    return ql_largest_sum(ql_taps(c->shape), c->output->bias, c->shape->out_channels);
}

/* Puts an entry of each channel in the order of planes, or leaves that of channels to windows. */
static void arrange(const convolution *c, const void *entries, void *to) {
    if (c->in_windows)
        memcpy(to, entries, (size_t)c->shape->out_channels * 4);
    else
        ql_depthwise_put_in_order(c->filter, entries, to);
}

/* Memory for what belongs to channels: an entry of each for whole strips. */
typedef struct {
    int32_t *start, *scratch;
    float *multiplier, *addend;
} entries;

/* What sums start from and how they become codes. */
static void prepare_channels(convolution *c, int32_t zero_point, const entries *to) {
    const ql_output *o = c->output;
    const int64_t channels = c->shape->out_channels;
    const int64_t whole = ql_ceil_div(channels, QL_STRIP) * QL_STRIP;
    c->has_codes = c->filter->kernels->depthwise_codes != NULL && c->fits &&
                   ql_makes_codes(o, channels, largest_sum(c));
    const int is_fused = c->has_codes && ql_is_fused(c->filter->kernels, o);
    ql_start_sums(c->filter->totals, c->fits ? o->bias : NULL, zero_point, channels, to->scratch);
    if (is_fused)
        ql_add_starts(o->fused_start, channels, to->scratch);
    for (int64_t i = channels; i < whole; i++) {
        to->start[i] = is_fused ? QL_UNUSED_START : 0;
        to->multiplier[i] = 0;
        to->addend[i] = 0;
    }
    arrange(c, to->scratch, to->start);
    c->start = to->start;
    if (!c->has_codes)
        return;
    arrange(c, o->multiplier, to->multiplier);
    c->codes = ql_codes_of(o, to->multiplier);
    if (is_fused) {
        arrange(c, o->fused_addend, to->addend);
        if (ql_is_opposed(o))
            ql_oppose(to->multiplier, to->addend, channels);
        c->codes = ql_fused_codes_of(o, to->multiplier, to->addend);
    }
}

/* Whether the first call's parameters are those of this one; sums fit int32 then, too. */
static int is_as_first(const ql_depthwise_filter *f, const ql_output *o, int32_t zero_point,
                       int64_t channels) {
    const ql_depthwise_first *first = f->first;
    const size_t size = (size_t)channels * 4;
    const int is_fused = ql_is_fused(f->kernels, o);
    return atomic_load_explicit(&first->state, memory_order_acquire) == QL_WRITTEN &&
           ql_makes_codes(o, 0, 1) && first->zero_point == zero_point &&
           first->has_bias == (o->bias != NULL) &&
           (o->bias == NULL || memcmp(first->bias, o->bias, size) == 0) &&
           memcmp(first->multiplier, o->multiplier, size) == 0 && first->is_fused == is_fused &&
           (!is_fused || (first->is_opposed == ql_is_opposed(o) &&
                          memcmp(first->fused_start, o->fused_start, size) == 0));
}

/* Keeps what a call has arranged, if it is the first one. */
static void keep_first(const convolution *c, int32_t zero_point) {
    ql_depthwise_first *first = c->filter->first;
    const ql_output *o = c->output;
    const size_t channels = (size_t)c->shape->out_channels;
    const size_t whole = (channels + QL_STRIP - 1) / QL_STRIP * QL_STRIP;
    int empty = QL_EMPTY;
    if (!c->has_codes || !atomic_compare_exchange_strong(&first->state, &empty, QL_BEING_WRITTEN))
        return;
    first->zero_point = zero_point;
    first->in_windows = c->in_windows;
    first->has_bias = o->bias != NULL;
    if (o->bias != NULL)
        memcpy(first->bias, o->bias, channels * sizeof *o->bias);
    memcpy(first->multiplier, o->multiplier, channels * sizeof *o->multiplier);
    memcpy(first->start, c->start, whole * sizeof *c->start);
    memcpy(first->arranged, c->codes.multiplier, whole * sizeof *c->codes.multiplier);
    first->is_fused = c->codes.addend != NULL;
    if (first->is_fused) {
        first->is_opposed = ql_is_opposed(o);
        memcpy(first->fused_start, o->fused_start, channels * sizeof *o->fused_start);
        memcpy(first->addend, c->codes.addend, whole * sizeof *c->codes.addend);
    }
    atomic_store_explicit(&first->state, QL_WRITTEN, memory_order_release);
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

int64_t ql_depthwise_chunk(const ql_kernels *kernels, int64_t items, int64_t products) {
    enum { CHUNKS = 4 }; /* of the work that is just worth sharing */
    if (products < kernels->small_depthwise || ql_threads() == 1)
        return ql_max(items, 1);
    return ql_max(items * (kernels->small_depthwise / CHUNKS) / products, 1);
}

/* Cuts the work for the threads, and does it. */
static void convolve(convolution *c, int channels_first) {
    const ql_conv_shape *s = c->shape;
    c->channels = channels_first ? ql_min(s->channels, COPIED_CHANNELS) : s->channels;
    if (!channels_first)
        cut(c);
    const int64_t blocks = ql_ceil_div(s->channels, c->channels);
    const int64_t items = channels_first ? blocks * s->batch : c->bundles * c->tiles;
    const int64_t products = s->batch * pixels_of(s->out) * ql_taps(s) * s->out_channels;
    c->chunk_items = ql_depthwise_chunk(c->filter->kernels, items, products);
    ql_run_chunks((long)ql_ceil_div(items, c->chunk_items),
                  channels_first ? convolve_copies : convolve_chunk, c);
}

/* The convolution, when its parameters are arranged. */
static int convolve_arranged(convolution *c, int channels_first) {
    if (c->in_windows) {
        const ql_channelwise by_channel = channelwise_of(c);
        ql_report(&c->status, ql_is_gathered(&by_channel) ? ql_gathered_conv(&by_channel)
                                                          : ql_channelwise_conv(&by_channel));
    } else {
        convolve(c, channels_first);
    }
    return ql_reported(&c->status);
}

/* The same after arranging them. */
static int convolve_anew(convolution *c, int channels_first, int32_t zero_point) {
    const int64_t whole = ql_ceil_div(c->shape->out_channels, QL_STRIP) * QL_STRIP;
    char *memory = ql_borrow((size_t)whole * 4 * sizeof(int32_t));
    if (memory == NULL)
        return QL_NO_MEMORY;
    const entries entries = {(int32_t *)memory, (int32_t *)memory + whole,
                             (float *)memory + 2 * whole, (float *)memory + 3 * whole};
    prepare_channels(c, zero_point, &entries);
    keep_first(c, zero_point);
    const int status = convolve_arranged(c, channels_first);
    ql_return(memory);
    return status;
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
    const int32_t zero_point = x_zero_point + ql_shift(x_signed, to_signed);
    const ql_depthwise_first *first = filter->first;
    const int as_first = is_as_first(filter, output, zero_point, shape->out_channels);
    c.fits = as_first || largest_sum(&c) <= INT32_MAX;
    const ql_channelwise by_channel = channelwise_of(&c);
    c.in_windows =
        channels_first && by_channel.filter != NULL && c.fits && ql_is_channelwise(&by_channel);
    if (!as_first || first->in_windows != c.in_windows)
        return convolve_anew(&c, channels_first, zero_point);
    c.start = first->start;
    c.has_codes = 1;
    c.codes = first->is_fused ? ql_fused_codes_of(output, first->arranged, first->addend)
                              : ql_codes_of(output, first->arranged);
    return convolve_arranged(&c, channels_first);
}

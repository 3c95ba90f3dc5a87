/* Depthwise convolutions of 3 x 3 with channels first, of planes with lines of up to 64 bytes.
 *
 * A vector has all bytes of so short a line, and one permutation of bytes makes the windows of 16
 * outputs under a line of the kernel, whatever the stride: four bytes each. Columns of padding are
 * left out by its mask, and lines of padding are a vector of it: nothing is copied before, and
 * nothing is shuffled after but codes, once.
 *
 *     sum of (x - zx) * (w - zw)  =  sum of x * (w - zw)  -  zx * sum of (w - zw)
 *
 * The last term belongs to the channel; with the bias it is what sums start from.
 *
 * What is made of a line of input serves all lines of output that see it: three of them, or, two
 * steps apart, one or two. Four vectors of sums become codes together: those of four, two or one
 * lines of up to 16, 32 or 64 outputs.
 *
 * Where lines have up to 8 outputs, four vectors have a whole plane, each several lines of it. If
 * these are V apart, line number v and v + V ..., vector v + 1 of output begins where vector v has
 * its second line under the kernel, and six permutations of 64 bytes make all windows. Planes of
 * more bytes, with outputs two steps apart, have neighbouring lines in vectors; the first line
 * under the kernel is then the third one of the lanes before.
 *
 * Tables are kept by the filter, for one shape. Beside input, output and weights a call needs a
 * kilobyte for those of other shapes, and copies of the last planes, behind which nothing may be
 * read: at most 16 KB. */
#include "core.h"

enum {
    LANES = 16,
    VECTORS = 4,
    BYTES = 64,         /* of a vector */
    SIDE = 3,           /* of the kernel */
    SMALL = 8,          /* outputs of a line that shares vectors with others */
    LEAST_OUTPUTS = 33, /* of a plane of such lines: fewer leave half of the vectors empty */
    MOST_LINES = 256    /* of a plane, which may be copied */
};

static int64_t bytes_of_plane(const ql_conv_shape *s) {
    return s->in[1] * s->in[2];
}

/* The lines of output of a vector, if they are short. */
static int64_t lines_of_vector(const ql_conv_shape *s) {
    return LANES / s->out[2];
}

/* The vectors of a line. */
static int64_t parts_of_line(const ql_conv_shape *s) {
    return s->out[2] <= LANES ? 1 : s->out[2] <= 2 * LANES ? 2 : 4;
}

/* The first line of input that the outputs of a vector of several lines see, which may be padding.
 */
static int64_t first_of_vector(const ql_conv_shape *s, int64_t vector) {
    return vector * lines_of_vector(s) * s->stride[1] - s->pad[1];
}

/* Whether four vectors have all outputs. */
static int is_small(const ql_conv_shape *s) {
    const int64_t lines = lines_of_vector(s), outputs = s->out[1] * s->out[2];
    if (outputs < LEAST_OUTPUTS || s->out[1] > VECTORS * lines)
        return 0;
    if (s->stride[1] == 1)
        return bytes_of_plane(s) <= BYTES;
    return s->out[1] > (VECTORS - 1) * lines && s->pad[1] <= 1 && 2 * lines * s->in[2] <= BYTES &&
           (s->out[1] - 1) * 2 + 2 - s->pad[1] <= s->in[1];
}

int ql_is_gathered(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    if (call->kernels->gather_codes == NULL || call->codes == NULL ||
        !ql_has_whole_weights(call->filter) || s->out_channels != s->channels || s->in[0] != 1 ||
        s->out[0] != 1 || s->pad[0] != 0 || s->kernel[0] != 1 || s->kernel[1] != SIDE ||
        s->kernel[2] != SIDE || s->dilation[1] != 1 || s->dilation[2] != 1 || s->out[2] > BYTES ||
        s->in[1] > MOST_LINES || s->in[2] > BYTES || s->stride[1] > 2 || s->stride[2] > BYTES ||
        bytes_of_plane(s) == 0)
        return 0;
    return s->out[2] > SMALL || is_small(s);
}

/* --- tables --------------------------------------------------------------------------------- */

/* The bytes of the windows of some outputs of a line that are those of columns. */
static uint64_t inside_columns(const ql_conv_shape *s, int64_t column, int64_t columns) {
    uint64_t inside = 0;
    for (int64_t i = 0; i < columns; i++)
        for (int64_t j = 0; j < SIDE; j++) {
            const int64_t at = (column + i) * s->stride[2] - s->pad[2] + j;
            inside |= (uint64_t)ql_inside(at, s->in[2]) << (4 * i + j);
        }
    return inside;
}

/* Their windows under line `line` of an input whose bytes follow byte `base`, in lanes from `lane`
 * on; those of other lines are padding. */
static void put_windows(const ql_conv_shape *s, uint64_t inside, int64_t line, int64_t column,
                        int64_t columns, int64_t base, int64_t lane, int64_t table,
                        ql_gathering *g) {
    uint8_t *place = g->place[table] + 4 * lane;
    uint64_t at = (uint64_t)(line * s->in[2] + column * s->stride[2] - s->pad[2] - base);
    if (!ql_inside(line, s->in[1]))
        return;
    g->inside[table] |= inside << 4 * lane;
    for (int64_t i = 0; i < columns; i++, place += 4, at += (uint64_t)s->stride[2])
        for (uint64_t j = 0; j < 4; j++)
            place[j] = (uint8_t)((at + j) % BYTES);
}

/* Packing leaves lane after lane the same four of each vector. */
static uint8_t place_of_code(int64_t vector, int64_t lane) {
    return (uint8_t)(lane / 4 * LANES + vector * 4 + lane % 4);
}

/* Of lines that have vectors of their own: a part of any line of input. */
static void find_parts(const ql_conv_shape *s, ql_gathering *g) {
    const int64_t width = s->out[2];
    uint8_t *order = g->order;
    g->parts = parts_of_line(s);
    for (int64_t part = 0; part * LANES < width; part++) {
        const int64_t column = part * LANES, columns = ql_min(LANES, width - column);
        put_windows(s, inside_columns(s, column, columns), 0, column, columns, 0, 0, part, g);
    }
    for (int64_t line = 0; line < VECTORS / g->parts; line++)
        for (int64_t column = 0; column < width; column++)
            *order++ = place_of_code(line * g->parts + column / LANES, column % LANES);
}

/* Of a small plane, lines as far apart as there are vectors: those of the input that line number
 * `table` of the padded one and those after it are under a line of the kernel. */
static void find_lines_apart(const ql_conv_shape *s, ql_gathering *g) {
    const int64_t width = s->out[2], vectors = ql_ceil_div(s->out[1], lines_of_vector(s));
    const uint64_t inside = inside_columns(s, 0, width);
    uint8_t *order = g->order;
    for (int64_t table = 0; table < vectors + SIDE - 1; table++)
        for (int64_t i = 0; i < lines_of_vector(s); i++)
            put_windows(s, inside, table - s->pad[1] + i * vectors, 0, width, 0, i * width, table,
                        g);
    for (int64_t line = 0; line < s->out[1]; line++)
        for (int64_t column = 0; column < width; column++)
            *order++ = place_of_code(line % vectors, line / vectors * width + column);
}

/* Of a larger plane, neighbouring lines two steps apart: tables of the second and the third line of
 * the kernel, for bytes from load[] on, and of the first one for the first vector. */
static void find_neighbours(const ql_conv_shape *s, ql_gathering *g) {
    const int64_t width = s->out[2], lines = lines_of_vector(s);
    const int64_t inner = first_of_vector(s, 1) + 1; /* whose lines are those of others, too */
    const uint64_t inside = inside_columns(s, 0, width);
    uint8_t *order = g->order;
    for (int64_t i = 0; i < lines; i++) {
        for (int64_t table = 0; table < 2; table++)
            put_windows(s, inside, inner + 2 * i + table, 0, width, inner * s->in[2], i * width,
                        table, g);
        put_windows(s, inside, 2 * i - s->pad[1], 0, width, 0, i * width, 2, g);
        for (int64_t column = 0; column < width; column++)
            g->before[i * width + column] =
                (int32_t)(i == 0 ? (lines - 1) * width + column : LANES + (i - 1) * width + column);
    }
    for (int64_t vector = 0; vector < VECTORS; vector++)
        g->load[vector] = (first_of_vector(s, vector) + 1) * s->in[2];
    const int64_t left = bytes_of_plane(s) - g->load[VECTORS - 1];
    g->last = left >= BYTES ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
    for (int64_t line = 0; line < s->out[1]; line++)
        for (int64_t column = 0; column < width; column++)
            *order++ = place_of_code(line / lines, line % lines * width + column);
}

static void find_all(const ql_conv_shape *s, ql_gathering *g) {
    *g = (ql_gathering){.step = s->stride[1],
                        .in_lines = s->in[1],
                        .in_width = s->in[2],
                        .out_lines = s->out[1],
                        .out_width = s->out[2],
                        .top = s->pad[1]};
    if (s->out[2] > SMALL)
        find_parts(s, g);
    else if (s->stride[1] == 1)
        find_lines_apart(s, g);
    else
        find_neighbours(s, g);
}

/* The tables that the filter keeps, if they are for this shape: which they are if it kept none. */
static const ql_gathering *kept_gathering(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    const int64_t shape[] = {s->in[1],     s->in[2],     s->out[1], s->out[2],
                             s->stride[1], s->stride[2], s->pad[1], s->pad[2]};
    ql_kept_gathering *kept = ql_channelwise_kept(call->filter);
    int state = atomic_load_explicit(&kept->state, memory_order_acquire);
    if (state == QL_EMPTY &&
        atomic_compare_exchange_strong(&kept->state, &state, QL_BEING_WRITTEN)) {
        memcpy(kept->shape, shape, sizeof shape);
        find_all(s, &kept->gathering);
        state = QL_WRITTEN;
        atomic_store_explicit(&kept->state, state, memory_order_release);
    }
    const int is_alike = state == QL_WRITTEN && memcmp(kept->shape, shape, sizeof shape) == 0;
    return is_alike ? &kept->gathering : NULL;
}

/* --- a call --------------------------------------------------------------------------------- */

typedef struct {
    const ql_channelwise *call;
    const ql_gathering *gathering;
    int64_t block, blocks; /* planes of an item; items */
    const uint8_t *copies; /* of the last planes */
    int64_t copied;        /* how many there are */
} convolution;

/* Planes of one image that follow one another from x on, the first one being number `plane`. */
static void convolve_planes(const convolution *c, const uint8_t *x, int64_t plane, int64_t planes) {
    const ql_channelwise *call = c->call;
    const ql_conv_shape *s = call->shape;
    const int64_t channel = plane % s->channels, outputs = s->out[1] * s->out[2];
    const ql_gathered some = {
        .x = x,
        .plane = bytes_of_plane(s),
        .gathering = c->gathering,
        .weights = ql_channelwise_weights(call->filter, channel),
        .start = call->start + channel,
        .flip = call->flip,
        .code = call->zero,
        .channels = planes,
        .outputs = outputs,
    };
    const ql_codes codes = ql_codes_from(call->codes, channel);
    call->kernels->gather_codes(&some, &codes, (uint8_t *)call->y + plane * outputs);
}

static void convolve_item(void *context, long item) {
    const convolution *c = context;
    const ql_conv_shape *s = c->call->shape;
    const int64_t first = item % c->blocks * c->block;
    const int64_t plane = item / c->blocks * s->channels + first;
    const int64_t planes = ql_min(c->block, s->channels - first);
    const int64_t copied = s->batch * s->channels - c->copied; /* the first one that is */
    const int64_t as_they_are = ql_max(0, ql_min(planes, copied - plane));
    if (as_they_are > 0)
        convolve_planes(c, c->call->x + plane * bytes_of_plane(s), plane, as_they_are);
    if (planes > as_they_are)
        convolve_planes(c, c->copies + (plane + as_they_are - copied) * bytes_of_plane(s),
                        plane + as_they_are, planes - as_they_are);
}

int ql_gathered_conv(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    const int64_t all = s->batch * s->channels, plane = bytes_of_plane(s);
    convolution c = {.call = call,
                     .gathering = kept_gathering(call),
                     .copied = ql_min(all, ql_ceil_div(BYTES, plane))};
    ql_gathering *gathering = ql_borrow(sizeof *gathering + (size_t)(c.copied * plane + BYTES));
    if (gathering == NULL)
        return QL_NO_MEMORY;
    char *copies = (char *)(gathering + 1);
    memcpy(copies, call->x + (all - c.copied) * plane, (size_t)(c.copied * plane));
    memset(copies + c.copied * plane, 0, BYTES);
    c.copies = (const uint8_t *)copies;
    if (c.gathering == NULL) {
        find_all(s, gathering);
        c.gathering = gathering;
    }
    const int64_t products = all * s->out[1] * s->out[2] * SIDE * SIDE;
    c.block = ql_min(s->channels, ql_depthwise_chunk(call->kernels, all, products));
    c.blocks = ql_ceil_div(s->channels, c.block);
    ql_run_chunks((long)(c.blocks * s->batch), convolve_item, &c);
    ql_return(gathering);
    return QL_OK;
}

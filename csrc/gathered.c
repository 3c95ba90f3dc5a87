/* Depthwise convolutions of 3 x 3 with channels first, of planes with up to 64 outputs.
 *
 * Of so small a plane a few vectors have all bytes, and one permutation of bytes makes the windows
 * of 16 outputs under a line of the kernel, whatever the stride. Padding is one byte more, which is
 * put into each vector as it is loaded: nothing is copied before, and nothing is shuffled after.
 *
 *     sum of (x - zx) * (w - zw)  =  sum of x * (w - zw)  -  zx * sum of (w - zw)
 *
 * The last term belongs to the channel; with the bias it is what sums start from.
 *
 * A vector has the outputs of as many lines as it has room for. Beside input, output and weights a
 * call needs a kilobyte, and copies of the last planes, behind which nothing may be read. */
#include "core.h"

enum {
    LANES = 16,
    VECTORS = 4,
    BYTES = 64,        /* of a vector */
    PADDING = 63,      /* the byte of them that is */
    SIDE = 3,          /* of the kernel */
    LEAST_OUTPUTS = 33 /* of a plane: fewer leave half of the vectors empty */
};

/* The lines of outputs of a vector. */
static int64_t lines_of_vector(const ql_conv_shape *s) {
    return LANES / s->out[2];
}

static int64_t bytes_of_plane(const ql_conv_shape *s) {
    return s->in[1] * s->in[2];
}

/* The first line of input that is loaded for line `line` of the kernel: one that the image has. */
static int64_t first_line(const ql_conv_shape *s, int64_t vector, int64_t line) {
    if (bytes_of_plane(s) < BYTES)
        return 0;
    const int64_t first = vector * lines_of_vector(s) * s->stride[1] - s->pad[1] + line / 2 * 2;
    return ql_max(0, ql_min(first, s->in[1] - 1));
}

int ql_is_gathered(const ql_channelwise *call) {
    const ql_conv_shape *s = call->shape;
    if (call->kernels->gather_codes == NULL || call->codes == NULL ||
        !ql_has_whole_weights(call->filter) || s->out_channels != s->channels || s->in[0] != 1 ||
        s->out[0] != 1 || s->pad[0] != 0 || s->kernel[0] != 1 || s->kernel[1] != SIDE ||
        s->kernel[2] != SIDE || s->dilation[1] != 1 || s->dilation[2] != 1 || s->out[2] > LANES ||
        s->in[1] > BYTES || s->in[2] > BYTES || s->stride[1] > BYTES || s->stride[2] > BYTES)
        return 0;
    const int64_t lines = lines_of_vector(s), outputs = s->out[1] * s->out[2];
    const int64_t seen = ((lines - 1) * s->stride[1] + 2) * s->in[2]; /* by two lines of a kernel */
    return outputs >= LEAST_OUTPUTS && outputs <= BYTES && s->out[1] <= VECTORS * lines &&
           (bytes_of_plane(s) < BYTES || seen <= PADDING);
}

/* --- tables --------------------------------------------------------------------------------- */

/* The windows of an output in a lane of a vector, as far as they are inside. */
static void find_windows(const ql_conv_shape *s, int64_t line, int64_t column, int64_t vector,
                         int64_t lane, ql_gathering *g) {
    const int64_t top = line * s->stride[1] - s->pad[1];
    const int64_t left = column * s->stride[2] - s->pad[2];
    for (int64_t i = 0; i < SIDE; i++)
        for (int64_t j = 0; j < SIDE && ql_inside(top + i, s->in[1]); j++)
            if (ql_inside(left + j, s->in[2]))
                g->place[vector][i][lane * 4 + j] =
                    (uint8_t)((top + i) * s->in[2] + left + j - g->load[vector][i / 2]);
}

/* Packing leaves lane after lane the same four of each vector. */
static void find_all(const ql_conv_shape *s, ql_gathering *g) {
    int64_t line = 0;
    uint8_t *order = g->order;
    memset(g, PADDING, sizeof *g);
    for (int64_t vector = 0; vector < VECTORS; vector++) {
        int64_t lane = 0;
        g->load[vector][0] = first_line(s, vector, 0) * s->in[2];
        g->load[vector][1] = first_line(s, vector, 2) * s->in[2];
        for (int64_t i = 0; i < lines_of_vector(s) && line < s->out[1]; i++, line++)
            for (int64_t column = 0; column < s->out[2]; column++, lane++) {
                find_windows(s, line, column, vector, lane, g);
                *order++ = (uint8_t)(lane / 4 * LANES + vector * 4 + lane % 4);
            }
    }
}

/* --- a call --------------------------------------------------------------------------------- */

typedef struct {
    const ql_channelwise *call;
    ql_gathering *gathering;
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
    convolution c = {.call = call, .copied = ql_min(all, ql_ceil_div(BYTES, plane))};
    char *memory = ql_borrow(sizeof *c.gathering + (size_t)(c.copied * plane + BYTES));
    if (memory == NULL)
        return QL_NO_MEMORY;
    char *copies = memory + sizeof *c.gathering;
    memcpy(copies, call->x + (all - c.copied) * plane, (size_t)(c.copied * plane));
    memset(copies + c.copied * plane, 0, BYTES);
    c.copies = (const uint8_t *)copies;
    c.gathering = (ql_gathering *)memory;
    find_all(s, c.gathering);
    const int64_t products = all * s->out[1] * s->out[2] * SIDE * SIDE;
    c.block = ql_depthwise_chunk(call->kernels, s->channels, products);
    c.blocks = ql_ceil_div(s->channels, c.block);
    ql_run_chunks((long)(c.blocks * s->batch), convolve_item, &c);
    ql_return(memory);
    return QL_OK;
}

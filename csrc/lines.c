/* Rows of products that are read from lines of input.
 *
 * Where each pixel has whole cache lines of channels, no patch needs to be put together: the lines
 * under a block of results are copied once, with their padding, and tiles read every tap of the
 * kernel from there. The row of an output pixel is the address of one input pixel, and a tap is the
 * same distance away from it in every row, if all lines are equally far apart:
 *
 *     (line, column) of tap + row = (line * pitch + column + row) * bytes of a pixel
 *
 * So rows follow one another through the lines of an image, and tiles need not end with a line. At
 * the end of each, rows lie between that have no result: as many as the kernel is wider than one
 * column, but less if the padding behind a line is also what is before the next, which is 1 for
 * kernels of 3 with a padding of 1.
 *
 * With strides, lines and columns are kept in phases, one stride apart in each. Pixels are an odd
 * number of cache lines apart, which share no cache sets.
 *
 * Where images are small, the same lines of several lie side by side and take turns, so that no
 * lines of padding lie between images, and weights are read for all of them together.
 *
 * The products of long rows are summed by 64 channels, all taps of them: a tile reads the same few
 * lines from the first cache nine times for a kernel of 3 x 3. */
#include "conv.h"

enum {
    PANEL_BYTES = 512 * 1024,   /* of lines that are loaded together */
    SHARED_BYTES = 256 * 1024,  /* of those of several images, beside weights */
    MANY_WEIGHTS = 1024 * 1024, /* bytes: so many had better be read seldom */
    MOST_ROWS = 2048,           /* beside which staged results are kept */
    FEW_TILES = 2,              /* that read weights again */
    MOST_STRIDE = 4
};

/* Lines or columns, a stride apart, that are under results beyond the first one of each. */
static int64_t beyond(const ql_conv_shape *s, int axis) {
    return (s->kernel[axis] - 1) * s->dilation[axis] / s->stride[axis];
}

/* Columns of a phase that a line of results needs. */
static int64_t width_of(const ql_conv_shape *s) {
    return s->out[2] + beyond(s, 2);
}

/* From one line to the next: columns behind a line may be those before the next one, if both are
 * padding. */
static int64_t pitch_of(const ql_conv_shape *s) {
    const int64_t stride = s->stride[2], pad = s->pad[2], width = width_of(s);
    const int64_t inside = ql_ceil_div(s->in[2] + pad, stride);
    return ql_min(width, ql_max(s->out[2], ql_max(inside, width - pad / stride)));
}

static int64_t phases_of(const ql_conv_shape *s) {
    return s->stride[1] * s->stride[2];
}

/* Whether a tap is in a phase. */
static int is_used(const ql_conv_shape *s, int axis, int64_t phase) {
    for (int64_t tap = 0; tap < s->kernel[axis]; tap++)
        if (tap * s->dilation[axis] % s->stride[axis] == phase)
            return 1;
    return 0;
}

static int64_t bytes_of_pixel(const ql_patches *from) {
    return from->channels | QL_ALIGNMENT;
}

/* Of one line of results in all phases. */
static int64_t bytes_of_line(const ql_patches *from) {
    return phases_of(from->shape) * pitch_of(from->shape) * bytes_of_pixel(from);
}

/* --- the plan ------------------------------------------------------------------------------- */

/* Whether tiles can read rows in places, of channels that are whole cache lines in the order of a
 * row; and whether there are not half as many rows again as results. */
int ql_has_lines(const ql_patches *from, const ql_matrix *product) {
    const ql_conv_shape *s = from->shape;
    const int in_order = from->order == QL_PATCHES ||
                         (from->order == QL_OVERLAPPING && from->pitch % QL_ALIGNMENT == 0);
    if (product->kernels->multiply_held[0][0][0] == NULL || product->has_zero_point ||
        from->channels == 0 || from->channels % QL_ALIGNMENT != 0 || !in_order ||
        s->kernel[1] * s->kernel[2] == 1)
        return 0;
    if (s->kernel[0] != 1 || s->in[0] != 1 || s->out[0] != 1 || s->stride[1] > MOST_STRIDE ||
        s->stride[2] > MOST_STRIDE)
        return 0;
    return beyond(s, 1) <= 2 * s->out[1] && 2 * pitch_of(s) <= 3 * s->out[2] &&
           (beyond(s, 1) + 1) * bytes_of_line(from) <= PANEL_BYTES;
}

/* How many images have lines side by side: as many as are loaded together, of which there are as
 * many everywhere. */
static int64_t images_together(const ql_patches *from, const ql_matrix *product) {
    const ql_conv_shape *s = from->shape;
    const int64_t image = bytes_of_line(from) * (s->out[1] + beyond(s, 1));
    const int64_t most = product->k * product->n > MANY_WEIGHTS ? PANEL_BYTES : SHARED_BYTES;
    int64_t images = ql_max(ql_min(most / image, s->batch), 1);
    while (s->batch % images != 0)
        images--;
    return from->channels_first ? 1 : images;
}

/* How many lines of results are loaded together, evenly. */
static int64_t lines_together(const ql_patches *from, int64_t images) {
    const ql_conv_shape *s = from->shape;
    if (images > 1)
        return images * s->out[1];
    int64_t most = PANEL_BYTES / bytes_of_line(from) - beyond(s, 1);
    if (from->channels_first)
        most = ql_min(most, ql_max(MOST_ROWS / pitch_of(s), 1));
    return ql_ceil_div(s->out[1], ql_ceil_div(s->out[1], most));
}

/* Where 64 products of a row are, of which the first is number `k` in the order of the weights. */
static ql_place place_of(const ql_patches *from, const ql_rows *rows, int64_t k) {
    const ql_conv_shape *s = from->shape;
    const int64_t channel = from->order == QL_OVERLAPPING ? k % from->pitch : k;
    const int64_t tap = channel / from->channels;
    const int by_column = from->order == QL_OVERLAPPING;
    const int64_t line = by_column ? tap : tap / s->kernel[2];
    const int64_t column = by_column ? k / from->pitch : tap % s->kernel[2];
    ql_place place = {.b = k * QL_STRIP};
    if (line >= s->kernel[1]) /* weights are 0 there */
        return place;
    const int64_t down = line * s->dilation[1], across = column * s->dilation[2];
    const int64_t phase = down % s->stride[1] * s->stride[2] + across % s->stride[2];
    const int64_t lines = down / s->stride[1] * rows->lines.images;
    const int64_t pixel = lines * rows->lines.rows + across / s->stride[2];
    place.a = phase * from->phase + pixel * rows->overlap + channel % from->channels;
    return place;
}

/* In how many blocks of channels a row is summed, all taps of each: in 64 at a time where a pair of
 * strips does not stay in the first cache beside rows and is read by several tiles. Where a few
 * read it, weights in their own order arrive sooner. */
static int64_t blocks_of_channels(const ql_patches *from, const ql_rows *rows,
                                  const ql_matrix *product) {
    const ql_kernels *kernels = product->kernels;
    const int is_long = product->groups > kernels->most_groups;
    const int is_repeated = rows->lines.most > FEW_TILES * kernels->tile_rows;
    return is_long && is_repeated ? from->channels / QL_ALIGNMENT : 1;
}

/* All of them, block by block. */
static void set_places(const ql_patches *from, const ql_rows *rows, const ql_matrix *product,
                       ql_place *places) {
    const int64_t steps = ql_count_places(product);
    const int64_t blocks = blocks_of_channels(from, rows, product);
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t step = 0; step < steps; step++) {
            const int64_t k = step * QL_ALIGNMENT;
            const int64_t at = from->order == QL_OVERLAPPING ? k % from->pitch : k;
            if (at / QL_ALIGNMENT % blocks == block)
                *places++ = place_of(from, rows, k);
        }
}

int64_t ql_count_places(const ql_matrix *product) {
    return product->groups * product->kernels->dot / QL_ALIGNMENT;
}

/* Channels that come first are transposed once for all phases of columns. */
static int is_transposed(const ql_patches *from) {
    return from->channels_first && from->shape->stride[2] > 1;
}

/* The columns of one line of input, or of padding, phase by phase. */
static void load_line(const ql_rows *rows, const ql_kernels *kernels, int64_t image, int64_t h,
                      char *to, char *scratch) {
    const ql_patches *from = rows->source;
    const ql_conv_shape *s = from->shape;
    const int64_t pitch = rows->lines.rows, pixel = rows->overlap, apart = s->stride[2];
    const int64_t line = image * s->in[1] + h, channels = from->channels;
    char *whole = scratch + ql_scratch_of_pixels(from);
    const int is_inside = ql_inside(h, s->in[1]);
    if (is_inside && is_transposed(from))
        ql_load_line(rows, kernels, line, -s->pad[2], 1, pitch * apart, whole, channels, scratch);
    for (int64_t across = 0; across < apart; across++, to += from->phase)
        if (!is_used(s, 2, across))
            continue;
        else if (!is_inside)
            ql_pad_pixels(rows, kernels, pitch, to, pixel);
        else if (is_transposed(from))
            kernels->copy_runs(to, pixel, whole + across * channels, apart * channels, pitch,
                               channels);
        else
            ql_load_line(rows, kernels, line, across - s->pad[2], apart, pitch, to, pixel, scratch);
}

/* Loads the lines under whole lines of results, phase by phase. */
static void load_lines(const ql_rows *rows, const ql_kernels *kernels, int64_t first, int64_t count,
                       char *panel, int64_t pixel, char *scratch) {
    const ql_patches *from = rows->source;
    const ql_conv_shape *s = from->shape;
    const int64_t pitch = rows->lines.rows, images = rows->lines.images, apart = s->stride[2];
    const int64_t line = first / pitch, together = images * s->out[1];
    const int64_t lines = count / pitch + beyond(s, 1) * images;
    for (int64_t down = 0; down < s->stride[1]; down++) {
        char *to = panel + down * apart * from->phase;
        for (int64_t i = line % together; i < line % together + lines; i++, to += pitch * pixel)
            if (is_used(s, 1, down))
                load_line(rows, kernels, line / together * images + i % images,
                          i / images * s->stride[1] + down - s->pad[1], to, scratch);
        for (int64_t across = 0; across < apart; across++)
            ql_pad_pixels(rows, kernels, width_of(s) - pitch, to + across * from->phase, pixel);
    }
}

void ql_plan_lines(ql_patches *from, ql_rows *rows, const ql_matrix *product, ql_place *places) {
    const ql_conv_shape *s = from->shape;
    const int64_t pixel = bytes_of_pixel(from), pitch = pitch_of(s);
    const int64_t images = images_together(from, product), most = lines_together(from, images);
    const int64_t loaded = (most + beyond(s, 1) * images) * pitch + width_of(s) - pitch;
    rows->source = from;
    rows->load = load_lines;
    rows->scratch = ql_scratch_of_pixels(from);
    if (is_transposed(from))
        rows->scratch += pitch * s->stride[2] * from->channels;
    rows->count = s->batch * s->out[1] * pitch;
    rows->lines = (ql_lines){.rows = pitch,
                             .results = s->out[2],
                             .parts = 1,
                             .width = s->out[2],
                             .images = images,
                             .height = s->out[1],
                             .most = most * pitch};
    rows->overlap = pixel;
    from->phase = loaded * pixel;
    /* Tiles read on behind the last row. */
    rows->panel = phases_of(s) * from->phase + product->kernels->row_step * pixel;
    set_places(from, rows, product, places);
    rows->places = places;
}

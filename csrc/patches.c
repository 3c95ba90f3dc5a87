/* The rows of the product that a convolution is: the patches of input under the kernel.
 *
 * Rows are gathered while a block of them is loaded, so that no matrix of patches ever exists. Each
 * line of input that a block needs is loaded once, with its padding, which has the code of the zero
 * point, whose products are 0; channels first become channels last on the way. From there runs of
 * pixels are copied to where rows have them, in one of two forms:
 *
 * - Patches side by side, each with its lines one after the other.
 * - Overlapping patches. The pixels under one column of the kernel lie together, columns follow one
 *   another, and the patch of an output pixel begins a stride of columns after that of the one
 *   before. So an input pixel is copied once for each line of the kernel, not for each of its taps.
 *   At the end of a line rows lie between that have no result.
 *
 * Where pixels have few channels, as in the first layer of a network, not pixels but bytes are put
 * together: the lines of the kernel, and the channels if they come first, are the rows of a matrix
 * that is transposed.
 *
 * A kernel of one tap needs neither: its rows are the pixels themselves, where they are if their
 * numbers are those that the tiles take. */
#include "conv.h"

enum {
    PART_ROWS = 256,         /* results of a line that are gathered together */
    PART_BYTES = 256 * 1024, /* but no more than this */
    SPARSE = 8,      /* columns of input beside each that is used: then they are not cached */
    CACHED_PARTS = 8 /* of a line */
};

/* Rows of one tap: pixels, whatever image they are of. */
static void load_rows(const ql_rows *rows, const ql_kernels *kernels, int64_t first, int64_t count,
                      char *panel, int64_t stride, char *scratch) {
    const int64_t plane = ql_pixels_in(((const ql_patches *)rows->source)->shape);
    while (count > 0) {
        const int64_t some = ql_min(count, plane - first % plane);
        ql_load_pixels(rows, kernels, first, 1, some, panel, stride, scratch);
        panel += some * stride;
        first += some;
        count -= some;
    }
}

/* --- patches -------------------------------------------------------------------------------- */

enum { OUTSIDE = -1, NOTHING = -2 };

/* Lines of input, or parts of them, with their padding: which ones are there, and where. */
typedef struct {
    int64_t *which;
    const uint8_t **rows; /* what is transposed */
    char *lines, *scratch;
} cache;

/* Of which lines there are, and of the rows that are transposed. */
static int64_t size_of_lists(const ql_patches *from) {
    const int64_t *kernel = from->shape->kernel;
    const int64_t rows = from->order == QL_INTERLEAVED ? kernel[0] * kernel[1] * from->channels : 0;
    return (from->lines * 8 + rows * (int64_t)sizeof(void *) + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
}

static cache cache_in(const ql_patches *from, char *memory) {
    cache c = {.which = (int64_t *)memory, .rows = (const uint8_t **)(memory + from->lines * 8)};
    c.lines = memory + size_of_lists(from);
    c.scratch = c.lines + from->lines * from->line_stride;
    for (int64_t i = 0; i < from->lines; i++)
        c.which[i] = NOTHING;
    return c;
}

/* Where the results of a part of a line begin: the line of input that the first tap is in, and its
 * column, both of which may be outside. */
typedef struct {
    int64_t image, d, h, column, part, parts;
} corner;

static corner corner_of(const ql_conv_shape *s, const ql_lines *lines, int64_t part) {
    const int64_t line = part / lines->parts, across = part % lines->parts;
    return (corner){
        .image = line / s->out[1] / s->out[0],
        .d = line / s->out[1] % s->out[0] * s->stride[0] - s->pad[0],
        .h = line % s->out[1] * s->stride[1] - s->pad[1],
        .column = across * lines->results * s->stride[2] - s->pad[2],
        .part = across,
        .parts = lines->parts,
    };
}

/* The line of input under a line of the kernel, or OUTSIDE. */
static int64_t line_under(const ql_conv_shape *s, const corner *at, int64_t td, int64_t th) {
    const int64_t d = at->d + td * s->dilation[0], h = at->h + th * s->dilation[1];
    if (!ql_inside(d, s->in[0]) || !ql_inside(h, s->in[1]))
        return OUTSIDE;
    return (at->image * s->in[0] + d) * s->in[1] + h;
}

/* Which place of a cache a line has along one axis: the same for every line of the kernel that goes
 * over it, one after the other. */
static int64_t place_along(int64_t start, int64_t tap, int64_t taps, int64_t dilation) {
    if (dilation > 1)
        return tap;
    const int64_t rest = (start + tap) % taps;
    return rest < 0 ? rest + taps : rest;
}

/* The bytes of a line of input, or of one OUTSIDE, in the layout of the input. */
static void copy_line(const ql_patches *from, const ql_kernels *kernels, int64_t line,
                      int64_t column, char *to) {
    const ql_conv_shape *s = from->shape;
    const int64_t width = s->in[2], reach = from->reach, plane = ql_pixels_in(s);
    const int64_t before = ql_min(reach, ql_max(-column, 0));
    const int64_t inside = line == OUTSIDE ? 0 : ql_min(reach, width - column) - before;
    memset(to, from->zero, (size_t)(reach * from->channels));
    if (inside <= 0)
        return;
    const char *x = (const char *)ql_pixel_at(from, line * width + column + before);
    if (from->channels_first)
        kernels->copy_runs(to + before, reach, x, plane, from->channels, inside);
    else if (from->channels == s->channels)
        memcpy(to + before * s->channels, x, (size_t)(inside * s->channels));
    else
        kernels->copy_runs(to + before * from->channels, from->channels, x, s->channels, inside,
                           from->channels);
}

/* The loaded line, or part of one, under a line of the kernel; or its bytes, to be interleaved. */
static const char *cached_line(const ql_rows *rows, const ql_kernels *kernels, const cache *c,
                               const corner *at, int64_t td, int64_t th) {
    const ql_patches *from = rows->source;
    const ql_conv_shape *s = from->shape;
    const int64_t kept = ql_min(at->parts, CACHED_PARTS);
    const int64_t d = place_along(at->d, td, s->kernel[0], s->dilation[0]);
    const int64_t h = place_along(at->h, th, s->kernel[1], s->dilation[1]);
    const int64_t place = (d * s->kernel[1] + h) * kept + at->part % kept;
    const int64_t line = line_under(s, at, td, th);
    const int64_t which = line == OUTSIDE ? OUTSIDE : line * at->parts + at->part;
    const int64_t step = from->channels * kernels->element_size;
    char *to = c->lines + place * from->line_stride;
    if (c->which[place] == which)
        return to;
    c->which[place] = which;
    if (from->order == QL_INTERLEAVED)
        copy_line(from, kernels, line, at->column, to);
    else if (line == OUTSIDE)
        ql_pad_pixels(rows, kernels, from->reach, to, step);
    else
        ql_load_line(rows, kernels, line, at->column, 1, from->reach, to, step, c->scratch);
    return to;
}

/* The rows of a part of a line from lines that are cached. */
static void load_part(const ql_rows *rows, const ql_kernels *kernels, const cache *c,
                      const corner *at, int64_t results, char *panel, int64_t stride) {
    const ql_patches *from = rows->source;
    const ql_conv_shape *s = from->shape;
    const int64_t pixel = from->channels * kernels->element_size, taps = s->kernel[2];
    const int64_t lines = s->kernel[0] * s->kernel[1];
    const int64_t column = from->pitch * kernels->element_size;
    const int by_column = from->order == QL_OVERLAPPING;
    const int64_t together = !by_column && s->dilation[2] == 1 ? taps : 1;
    for (int64_t line = 0; line < lines; line++) {
        const char *x = cached_line(rows, kernels, c, at, line / s->kernel[1], line % s->kernel[1]);
        if (rows->overlap) {
            kernels->copy_runs(panel + line * pixel, column, x, pixel, from->reach, pixel);
            continue;
        }
        for (int64_t tap = 0; tap < taps; tap += together) {
            const int64_t place =
                by_column ? tap * column + line * pixel : (line * taps + tap) * pixel;
            kernels->copy_runs(panel + place, stride, x + tap * s->dilation[2] * pixel,
                               s->stride[2] * pixel, results, together * pixel);
        }
    }
}

/* The same, byte by byte: lines, and channels that come first, are the rows of a matrix that is
 * transposed. */
static void interleave_part(const ql_rows *rows, const ql_kernels *kernels, const cache *c,
                            const corner *at, char *panel) {
    const ql_patches *from = rows->source;
    const int64_t *kernel = from->shape->kernel;
    const int64_t lines = kernel[0] * kernel[1];
    const int64_t planes = from->channels_first ? from->channels : 1;
    const int64_t bytes = from->reach * from->channels / planes;
    const int plain = ql_is_plain(rows, kernels);
    char *to = plain ? panel : c->scratch;
    for (int64_t line = 0; line < lines; line++) {
        const char *x = cached_line(rows, kernels, c, at, line / kernel[1], line % kernel[1]);
        for (int64_t plane = 0; plane < planes; plane++)
            c->rows[plane * lines + line] = (const uint8_t *)x + plane * bytes;
    }
    ql_transpose_rows(kernels, c->rows, planes * lines, bytes, (uint8_t *)to);
    if (!plain)
        kernels->load(panel, (const uint8_t *)to, from->reach * from->channels * lines, rows->flip);
}

/* The same tap by tap, where few of the pixels of a line are used. */
static void load_sparse_part(const ql_rows *rows, const ql_kernels *kernels, const corner *at,
                             int64_t results, char *panel, int64_t stride, char *scratch) {
    const ql_patches *from = rows->source;
    const ql_conv_shape *s = from->shape;
    for (int64_t tap = 0; tap < ql_taps(s); tap++) {
        const int64_t line = tap / s->kernel[2], tw = tap % s->kernel[2];
        const int64_t under = line_under(s, at, line / s->kernel[1], line % s->kernel[1]);
        char *to = panel + tap * from->channels * kernels->element_size;
        if (under == OUTSIDE)
            ql_pad_pixels(rows, kernels, results, to, stride);
        else
            ql_load_line(rows, kernels, under, at->column + tw * s->dilation[2], s->stride[2],
                         results, to, stride, scratch);
    }
}

static void load_patches(const ql_rows *rows, const ql_kernels *kernels, int64_t first,
                         int64_t count, char *panel, int64_t stride, char *scratch) {
    const ql_patches *from = rows->source;
    const ql_lines *lines = &rows->lines;
    const cache c = cache_in(from, scratch);
    for (int64_t row = first; row < first + count; row += lines->rows) {
        const corner at = corner_of(from->shape, lines, row / lines->rows);
        const int64_t results = ql_min(lines->results, lines->width - at.part * lines->results);
        char *to = panel + (row - first) * stride;
        if (from->lines == 0)
            load_sparse_part(rows, kernels, &at, results, to, stride, scratch);
        else if (from->order == QL_INTERLEAVED)
            interleave_part(rows, kernels, &c, &at, to);
        else
            load_part(rows, kernels, &c, &at, results, to, stride);
    }
}

/* --- the plan ------------------------------------------------------------------------------- */

/* A kernel of one tap, without stride or padding, whose patches are the input itself. */
static int is_pointwise(const ql_conv_shape *s) {
    for (int axis = 0; axis < 3; axis++)
        if (s->kernel[axis] != 1 || s->stride[axis] != 1 || s->in[axis] != s->out[axis] ||
            s->pad[axis] != 0)
            return 0;
    return 1;
}

/* Columns of input under `results` results. */
static int64_t reach_of(const ql_conv_shape *s, int64_t results) {
    return (results - 1) * s->stride[2] + (s->kernel[2] - 1) * s->dilation[2] + 1;
}

/* The parts of lines that are gathered together. */
static ql_lines lines_of(const ql_conv_shape *s, int overlapping, int64_t pixel) {
    const int64_t column = s->kernel[0] * s->kernel[1] * pixel;
    const int64_t result = overlapping ? s->stride[2] * column : s->kernel[2] * pixel;
    const int64_t most = ql_max(ql_min(PART_ROWS, PART_BYTES / ql_max(result, 1)), 1);
    const int64_t parts = ql_ceil_div(s->out[2], most);
    const int64_t results = ql_ceil_div(s->out[2], parts);
    return (ql_lines){
        .rows = overlapping ? ql_ceil_div(reach_of(s, results), s->stride[2]) : results,
        .results = results,
        .parts = ql_ceil_div(s->out[2], results),
        .width = s->out[2],
    };
}

/* Whether rows overlap: if their order allows it, and if the rows between lines that have no
 * result, of which small images have many, do not cost a twelfth more tiles. */
static int rows_overlap(const ql_patches *from, const ql_kernels *kernels, int64_t pixel,
                        int64_t outer) {
    enum { SHARE = 12 };
    const ql_lines lines = lines_of(from->shape, 1, pixel);
    const int64_t tile = kernels->tile_rows;
    const int64_t apart = ql_ceil_div(outer * from->shape->out[2], tile);
    const int64_t overlapping = ql_ceil_div(outer * lines.parts * lines.rows, tile);
    return from->order == QL_INTERLEAVED ||
           (from->order == QL_OVERLAPPING && overlapping * SHARE <= apart * (SHARE + 1));
}

void ql_plan_patches(ql_patches *from, ql_rows *rows, const ql_kernels *kernels) {
    const ql_conv_shape *s = from->shape;
    const int64_t pixel = from->channels * kernels->element_size;
    const int64_t outer = s->batch * s->out[0] * s->out[1];
    rows->scratch = ql_scratch_of_pixels(from);
    rows->source = from;
    if (is_pointwise(s)) {
        rows->count = outer * s->out[2];
        rows->load = load_rows;
        rows->bytes = from->channels_first ? NULL : from->x + from->first_channel;
        rows->stride = s->channels;
        return;
    }
    const int64_t lines = s->kernel[0] * s->kernel[1];
    const int overlapping = rows_overlap(from, kernels, pixel, outer);
    rows->lines = lines_of(s, overlapping, pixel);
    rows->count = outer * rows->lines.parts * rows->lines.rows;
    rows->load = load_patches;
    if (overlapping)
        rows->overlap =
            s->stride[2] *
            (from->order == QL_INTERLEAVED ? lines * pixel : from->pitch * kernels->element_size);
    from->reach = reach_of(s, rows->lines.results);
    if (from->reach / SPARSE > rows->lines.results * s->kernel[2])
        return;
    from->lines = lines * ql_min(rows->lines.parts, CACHED_PARTS);
    from->line_stride = (from->reach * pixel + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
    rows->scratch += size_of_lists(from) + from->lines * from->line_stride;
    if (from->order == QL_INTERLEAVED && !ql_is_plain(rows, kernels))
        rows->scratch += from->reach * from->channels * lines + QL_TRANSPOSE_EXCESS;
}

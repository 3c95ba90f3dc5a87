/* Convolutions with channels last or first.
 *
 * A convolution is a product whose row for an output pixel is the patch of input under the kernel.
 * The rows are gathered while a block of them is loaded, so that no matrix of patches ever exists.
 * Each line of input that a block needs is loaded once, with its padding, which has the code of the
 * zero point, whose products are 0; channels first become channels last on the way. From there runs
 * of pixels are copied to where rows have them, in one of two forms:
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
 * numbers are those that the tiles take.
 *
 * What a convolution needs besides input, output and weights, for each thread: a block of rows,
 * half a MiB, or one tile of rows or one part of a line where that is more; or, of a kernel of one
 * tap, 256 rows of at most a MiB together; a copy of the part of a line under each line of the
 * kernel; and 32 columns of a block of results, if channels come first. For layers of networks that
 * is less than a MiB (tests/c/test_allocation_failure.py), however large the image. Only depthwise
 * convolutions with channels first may copy input and output.
 *
 * Groups are separate products on slices of the channels; narrow ones are put together, with zeros
 * between them, until they fill a strip of columns, which costs what each of them alone would, or
 * have kernels of their own (grouped.c).
 * Depthwise convolutions run on vectors of channels or of pixels instead (depthwise.c,
 * channelwise.c), and whole ones with channels first on the planes of the image (planes.c), where
 * the instruction set has kernels for that. Weights are packed for planes then; a call that planes
 * are not for, with a residual for instance, packs them a second time, for itself and those after
 * it. */
#include "core.h"

enum {
    PART_ROWS = 256,         /* results of a line that are gathered together */
    PART_BYTES = 256 * 1024, /* but no more than this */
    SPARSE = 8,        /* columns of input beside each that is used: then they are not cached */
    CACHED_PARTS = 8,  /* of a line */
    FEW_CHANNELS = 16, /* too few for copying pixel by pixel */
    PIXELS = 64        /* that are transposed together */
};

/* The order of the products of a row, from the outermost to the innermost: (line of the kernel,
 * column of it, channel), (column, line, channel) or (column, channel, line). */
typedef enum { PATCHES, OVERLAPPING, INTERLEAVED } ordering;

struct ql_filter {
    const ql_kernels *kernels;
    ql_conv_shape shape;
    int64_t depth; /* products that one output sums */
    int64_t size;
    ordering order;                 /* of the rows */
    int64_t pitch;                  /* of columns of the kernel that overlap, zeros included */
    int64_t merged;                 /* groups that are put together */
    ql_depthwise_filter *depthwise; /* or NULL */
    ql_grouped_filter *grouped;     /* or NULL */
    ql_plane_filter *planes;        /* or NULL: then products are packed when a call needs them */
    ql_matrix *_Atomic late;        /* packed then, or NULL */
    int64_t products;               /* or 0 */
    ql_matrix *product[];
};

/* --- weights -------------------------------------------------------------------------------- */

/* The groups of one product, and what they have each. */
typedef struct {
    int64_t first, count, in, out, taps;
} groups;

static groups groups_of(const ql_filter *filter, int64_t product) {
    const ql_conv_shape *shape = &filter->shape;
    const int64_t first = product * filter->merged;
    return (groups){.first = first,
                    .count = ql_min(filter->merged, shape->group - first),
                    .in = shape->channels / shape->group,
                    .out = shape->out_channels / shape->group,
                    .taps = ql_taps(shape)};
}

/* Where the weight of (output channel `o`, input channel `c`, tap) of a group is in the product. */
static int64_t place_of(const ql_filter *filter, const groups *g, int64_t group, int64_t o,
                        int64_t c, int64_t tap) {
    const int64_t *kernel = filter->shape.kernel;
    const int64_t line = tap / kernel[2], column = tap % kernel[2], lines = kernel[0] * kernel[1];
    const int64_t channels = g->count * g->in, channel = group * g->in + c;
    const int64_t k = filter->order == PATCHES ? tap * channels + channel
                      : filter->order == OVERLAPPING
                          ? column * filter->pitch + line * channels + channel
                          : (column * channels + channel) * lines + line;
    return k * g->count * g->out + group * g->out + o;
}

/* Products of a row of the groups, zeros included. */
static int64_t depth_of(const ql_filter *filter, const groups *g) {
    return filter->order == OVERLAPPING ? filter->shape.kernel[2] * filter->pitch
                                        : g->count * filter->depth;
}

/* Brings groups from (out, in, tap) order into that of products, of (pixel, in). */
static ql_operand reorder_groups(const ql_filter *filter, const groups *g, const uint8_t *w,
                                 int is_signed, const int32_t *zero_points, uint8_t *reordered) {
    const int64_t columns = g->count * g->out, depth = depth_of(filter, g);
    for (int64_t k = 0; depth * columns > g->out * filter->depth * g->count && k < depth; k++)
        for (int64_t j = 0; j < columns; j++) /* what stands for 0, where there are no weights */
            reordered[k * columns + j] = (uint8_t)zero_points[j];
    for (int64_t group = 0; group < g->count; group++)
        for (int64_t o = 0; o < g->out; o++)
            for (int64_t c = 0; c < g->in; c++)
                for (int64_t tap = 0; tap < g->taps; tap++)
                    reordered[place_of(filter, g, group, o, c, tap)] = *w++;
    return (ql_operand){reordered, depth, columns, columns, 1, is_signed, zero_points};
}

/* And back. */
static void unpack_groups(const ql_filter *filter, const groups *g, const ql_matrix *matrix,
                          uint8_t *w, int is_signed, uint8_t *reordered) {
    ql_matrix_unpack(matrix, reordered, is_signed);
    for (int64_t group = 0; group < g->count; group++)
        for (int64_t o = 0; o < g->out; o++)
            for (int64_t c = 0; c < g->in; c++)
                for (int64_t tap = 0; tap < g->taps; tap++)
                    *w++ = reordered[place_of(filter, g, group, o, c, tap)];
}

/* How many groups fill a strip together, without sums that could be too large for int32. */
static int64_t groups_together(const ql_conv_shape *shape, int64_t depth) {
    const int64_t out = ql_max(shape->out_channels / shape->group, 1);
    const int64_t most = ql_min(shape->group, QL_STRIP / ql_min(out, QL_STRIP));
    return ql_fits_int32(depth * most, 255, 255, NULL, 0) ? most : 1;
}

/* Rows overlap where that copies less. */
static ordering order_of(const ql_conv_shape *s, int64_t channels) {
    if (s->dilation[2] != 1 || channels == 0)
        return PATCHES;
    if (channels < FEW_CHANNELS)
        return s->kernel[2] > s->stride[2] ? INTERLEAVED : PATCHES;
    return s->kernel[2] >= 2 * s->stride[2] ? OVERLAPPING : PATCHES;
}

/* What a tile takes, in some unit, for a cache line's worth of rows that are `bytes` apart,
 * measured on whole convolutions: least from an odd number of lines, which share no cache sets,
 * most across lines. */
static int64_t cost_of_rows(int64_t bytes) {
    if (bytes % QL_ALIGNMENT != 0)
        return 36;
    const int64_t lines = bytes / QL_ALIGNMENT;
    return lines % 2 != 0 ? 24 : lines % 8 != 0 ? 25 : 26;
}

/* From one column of the kernel to the next: where a tile reads whole cache lines of each row, with
 * as many zeros between them as make rows fastest to read, of which there are more then. */
static int64_t pitch_of(const ql_conv_shape *s, const ql_kernels *kernels, int64_t products) {
    const int64_t step = (int64_t)kernels->group_step * kernels->dot * kernels->element_size;
    int64_t best = products, least = INT64_MAX;
    if (step % QL_ALIGNMENT != 0)
        return products;
    for (int64_t pitch = products; pitch <= products + 2 * QL_ALIGNMENT; pitch++) {
        const int64_t lines = ql_ceil_div(s->kernel[2] * pitch, QL_ALIGNMENT);
        const int64_t cost = lines * cost_of_rows(s->stride[2] * pitch);
        if (cost < least) {
            least = cost;
            best = pitch;
        }
    }
    return best;
}

static ql_filter *filter_of(const ql_conv_shape *shape) {
    const int64_t depth = ql_taps(shape) * (shape->channels / shape->group);
    const int64_t merged = groups_together(shape, depth);
    const int has_products = shape->out_channels > 0 && !ql_is_depthwise(shape) &&
                             !ql_is_grouped(ql_current_kernels(), shape);
    const int64_t products = has_products ? ql_ceil_div(shape->group, merged) : 0;
    const int64_t size = (int64_t)sizeof(ql_filter) + products * (int64_t)sizeof(ql_matrix *);
    ql_filter *filter = ql_allocate((size_t)size);
    if (filter == NULL)
        return NULL;
    const ql_kernels *kernels = ql_current_kernels();
    const int64_t channels = shape->channels / shape->group * merged;
    *filter = (ql_filter){
        .kernels = kernels,
        .shape = *shape,
        .depth = depth,
        .size = size,
        .order = order_of(shape, channels),

        .merged = merged,
        .products = products,
    };
    const int64_t column = shape->kernel[0] * shape->kernel[1] * channels;
    filter->pitch = pitch_of(shape, kernels, column);
    memset(filter->product, 0, (size_t)products * sizeof *filter->product);
    return filter;
}

static int pack_products(ql_filter *filter, const uint8_t *w, int is_signed,
                         const int32_t *zero_points) {
    const ql_conv_shape *shape = &filter->shape;
    const int64_t out = shape->out_channels / shape->group, merged = filter->merged;
    if (filter->products == 0)
        return QL_OK;
    const groups first = groups_of(filter, 0);
    uint8_t *reordered = ql_allocate((size_t)(depth_of(filter, &first) * out * merged));
    int status = reordered == NULL ? QL_NO_MEMORY : QL_OK;
    for (int64_t p = 0; p < filter->products && status == QL_OK; p++) {
        const groups g = groups_of(filter, p);
        const ql_operand b = reorder_groups(filter, &g, w + g.first * out * filter->depth,
                                            is_signed, zero_points + g.first * out, reordered);
        filter->product[p] =
            ql_matrix_pack(b.bytes, b.k, b.n, b.k_stride, b.n_stride, is_signed, b.zero_points);
        status = filter->product[p] == NULL ? QL_NO_MEMORY : QL_OK;
        filter->size += filter->product[p] == NULL ? 0 : filter->product[p]->size;
    }
    ql_release(reordered);
    return status;
}

static int pack_depthwise(ql_filter *filter, const uint8_t *w, int is_signed,
                          const int32_t *zero_points) {
    filter->depthwise = ql_depthwise_pack(w, is_signed, zero_points, &filter->shape);
    filter->size += filter->depthwise == NULL ? 0 : ql_depthwise_size(filter->depthwise);
    return filter->depthwise == NULL ? QL_NO_MEMORY : QL_OK;
}

static int pack_grouped(ql_filter *filter, const uint8_t *w, int is_signed,
                        const int32_t *zero_points) {
    filter->grouped = ql_grouped_pack(w, is_signed, zero_points, &filter->shape);
    filter->size += filter->grouped == NULL ? 0 : ql_grouped_size(filter->grouped);
    return filter->grouped == NULL ? QL_NO_MEMORY : QL_OK;
}

static int pack_planes(ql_filter *filter, const uint8_t *w, int is_signed) {
    filter->planes = ql_planes_pack(w, is_signed, &filter->shape);
    filter->size += filter->planes == NULL ? 0 : ql_planes_size(filter->planes);
    return filter->planes == NULL ? QL_NO_MEMORY : QL_OK;
}

ql_filter *ql_filter_pack(const void *w, int is_signed, const int32_t *zero_points,
                          const ql_conv_shape *shape, int channels_first) {
    ql_filter *filter = filter_of(shape);
    if (filter == NULL)
        return NULL;
    int status;
    if (ql_is_depthwise(shape))
        status = pack_depthwise(filter, w, is_signed, zero_points);
    else if (ql_is_grouped(filter->kernels, shape))
        status = pack_grouped(filter, w, is_signed, zero_points);
    else if (channels_first && ql_planes_have_use(shape, is_signed, zero_points))
        status = pack_planes(filter, w, is_signed);
    else
        status = pack_products(filter, w, is_signed, zero_points);
    if (status == QL_OK)
        return filter;
    ql_filter_free(filter);
    return NULL;
}

/* The product of weights that were packed for planes, or NULL when memory is short. */
static ql_matrix *pack_from_planes(const ql_filter *filter) {
    const groups g = groups_of(filter, 0);
    const int64_t weights = g.out * filter->depth, padded = g.out * depth_of(filter, &g);
    int32_t *zero_points = ql_allocate((size_t)(g.out * 4 + weights + padded));
    if (zero_points == NULL)
        return NULL;
    memset(zero_points, 0, (size_t)g.out * 4);
    uint8_t *w = (uint8_t *)(zero_points + g.out);
    ql_planes_unpack(filter->planes, w, 1);
    const ql_operand b = reorder_groups(filter, &g, w, 1, zero_points, w + weights);
    ql_matrix *matrix = ql_matrix_room(filter->kernels, b.k, b.n, 0);
    if (matrix != NULL)
        ql_matrix_fill(matrix, &b, 0, b.n);
    ql_release(zero_points);
    return matrix;
}

/* A product of a filter. The first call that needs one which has not been packed packs it; of
 * several at a time, one is kept. */
static const ql_matrix *product_of(const ql_filter *filter, int64_t number) {
    if (filter->planes == NULL)
        return filter->product[number];
    ql_matrix *_Atomic *late = &((ql_filter *)filter)->late;
    ql_matrix *kept = atomic_load(late);
    if (kept != NULL)
        return kept;
    ql_matrix *mine = pack_from_planes(filter);
    if (mine == NULL || atomic_compare_exchange_strong(late, &kept, mine))
        return mine;
    ql_matrix_free(mine);
    return kept;
}

int ql_filter_unpack(const ql_filter *filter, void *w, int is_signed) {
    const ql_conv_shape *shape = &filter->shape;
    if (filter->depthwise != NULL)
        ql_depthwise_unpack(filter->depthwise, w);
    if (filter->grouped != NULL)
        ql_grouped_unpack(filter->grouped, w);
    if (filter->planes != NULL)
        ql_planes_unpack(filter->planes, w, is_signed);
    if (filter->products == 0 || filter->planes != NULL)
        return QL_OK;
    const int64_t out = shape->out_channels / shape->group, merged = filter->merged;
    const groups first = groups_of(filter, 0);
    uint8_t *reordered = ql_allocate((size_t)(depth_of(filter, &first) * out * merged));
    if (reordered == NULL)
        return QL_NO_MEMORY;
    for (int64_t p = 0; p < filter->products; p++) {
        const groups g = groups_of(filter, p);
        unpack_groups(filter, &g, filter->product[p], (uint8_t *)w + g.first * out * filter->depth,
                      is_signed, reordered);
    }
    ql_release(reordered);
    return QL_OK;
}

void ql_filter_free(ql_filter *filter) {
    if (filter == NULL)
        return;
    ql_depthwise_free(filter->depthwise);
    ql_grouped_free(filter->grouped);
    ql_planes_free(filter->planes);
    ql_matrix_free(atomic_load(&filter->late));
    for (int64_t p = 0; p < filter->products; p++)
        ql_matrix_free(filter->product[p]);
    ql_release(filter);
}

int64_t ql_filter_size(const ql_filter *filter) {
    return filter->size;
}

/* --- pixels --------------------------------------------------------------------------------- */

/* What rows are gathered from, and how. */
typedef struct {
    const ql_conv_shape *shape;
    const uint8_t *x;
    int channels_first;
    int64_t first_channel, channels; /* of the product */
    uint8_t zero;                    /* the byte of the zero point */
    ordering order;
    int64_t pitch;       /* of columns that overlap, in elements */
    int64_t reach;       /* columns of input under a part of a line of results */
    int64_t lines;       /* of input that are cached; 0 if none are */
    int64_t line_stride; /* in bytes, of those */
} patches;

/* Whether bytes of input are the numbers that tiles take. */
static int is_plain(const ql_rows *rows, const ql_kernels *kernels) {
    return rows->flip == 0 && kernels->element_size == 1;
}

static int64_t pixels_in(const ql_conv_shape *s) {
    return s->in[0] * s->in[1] * s->in[2];
}

/* The byte of pixel `at`, counted through all images, that is the first of the product's. */
static const uint8_t *pixel_at(const patches *from, int64_t at) {
    const ql_conv_shape *s = from->shape;
    if (!from->channels_first)
        return from->x + at * s->channels + from->first_channel;
    const int64_t plane = pixels_in(s), image = at / plane;
    return from->x + (image * s->channels + from->first_channel) * plane + at % plane;
}

/* Loads `count` pixels of one image, `step` apart, to places that are `to_step` bytes apart;
 * `scratch` has room for PIXELS of them. */
static void load_pixels(const ql_rows *rows, const ql_kernels *kernels, int64_t first, int64_t step,
                        int64_t count, char *to, int64_t to_step, char *scratch) {
    const patches *from = rows->source;
    const int64_t channels = from->channels, all = from->shape->channels;
    const uint8_t *x = pixel_at(from, first);
    if (!from->channels_first && is_plain(rows, kernels)) {
        kernels->copy_runs(to, to_step, (const char *)x, step * all, count, channels);
        return;
    }
    if (!from->channels_first) {
        const int together =
            channels == all && step == 1 && to_step == channels * kernels->element_size;
        const int64_t runs = together ? 1 : count, length = together ? count * all : channels;
        for (int64_t i = 0; i < runs; i++)
            kernels->load(to + i * to_step, x + i * step * all, length, rows->flip);
        return;
    }
    const int64_t plane = pixels_in(from->shape);
    if (step == 1 && is_plain(rows, kernels)) {
        ql_transpose_part(kernels, x, plane, channels, count, to, to_step, 1);
        return;
    }
    for (int64_t i = 0; i < count; i += PIXELS) {
        const int64_t some = ql_min(PIXELS, count - i);
        if (step == 1)
            ql_transpose_part(kernels, x + i, plane, channels, some, scratch, channels, 1);
        else
            for (int64_t j = 0; j < some; j++)
                for (int64_t c = 0; c < channels; c++)
                    scratch[j * channels + c] = (char)x[c * plane + (i + j) * step];
        for (int64_t j = 0; j < some; j++)
            kernels->load(to + (i + j) * to_step, (uint8_t *)scratch + j * channels, channels,
                          rows->flip);
    }
}

/* Fills `count` pixels with the zero point. */
static void pad_pixels(const ql_rows *rows, const ql_kernels *kernels, int64_t count, char *to,
                       int64_t to_step) {
    const patches *from = rows->source;
    const uint8_t number = from->zero ^ rows->flip;
    for (int64_t i = 0; i < count; i++, to += to_step)
        if (kernels->element_size == 1)
            memset(to, number, (size_t)from->channels);
        else
            for (int64_t c = 0; c < from->channels; c++)
                ((int16_t *)to)[c] = number;
}

/* `count` pixels of a line, `step` apart, from column `column` on, which may be outside. */
static void load_line(const ql_rows *rows, const ql_kernels *kernels, int64_t line, int64_t column,
                      int64_t step, int64_t count, char *to, int64_t to_step, char *scratch) {
    const int64_t width = ((const patches *)rows->source)->shape->in[2];
    const int64_t before = column >= 0 ? 0 : ql_min(count, ql_ceil_div(-column, step));
    const int64_t end = column >= width ? 0 : ql_min(count, (width - 1 - column) / step + 1);
    const int64_t inside = ql_max(end - before, 0);
    pad_pixels(rows, kernels, before, to, to_step);
    if (inside > 0)
        load_pixels(rows, kernels, line * width + column + before * step, step, inside,
                    to + before * to_step, to_step, scratch);
    pad_pixels(rows, kernels, count - before - inside, to + (before + inside) * to_step, to_step);
}

/* Rows of one tap: pixels, whatever image they are of. */
static void load_rows(const ql_rows *rows, const ql_kernels *kernels, int64_t first, int64_t count,
                      char *panel, int64_t stride, char *scratch) {
    const int64_t plane = pixels_in(((const patches *)rows->source)->shape);
    while (count > 0) {
        const int64_t some = ql_min(count, plane - first % plane);
        load_pixels(rows, kernels, first, 1, some, panel, stride, scratch);
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
static int64_t size_of_lists(const patches *from) {
    const int64_t *kernel = from->shape->kernel;
    const int64_t rows = from->order == INTERLEAVED ? kernel[0] * kernel[1] * from->channels : 0;
    return (from->lines * 8 + rows * (int64_t)sizeof(void *) + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
}

static cache cache_in(const patches *from, char *memory) {
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
static void copy_line(const patches *from, const ql_kernels *kernels, int64_t line, int64_t column,
                      char *to) {
    const ql_conv_shape *s = from->shape;
    const int64_t width = s->in[2], reach = from->reach, plane = pixels_in(s);
    const int64_t before = ql_min(reach, ql_max(-column, 0));
    const int64_t inside = line == OUTSIDE ? 0 : ql_min(reach, width - column) - before;
    memset(to, from->zero, (size_t)(reach * from->channels));
    if (inside <= 0)
        return;
    const char *x = (const char *)pixel_at(from, line * width + column + before);
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
    const patches *from = rows->source;
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
    if (from->order == INTERLEAVED)
        copy_line(from, kernels, line, at->column, to);
    else if (line == OUTSIDE)
        pad_pixels(rows, kernels, from->reach, to, step);
    else
        load_line(rows, kernels, line, at->column, 1, from->reach, to, step, c->scratch);
    return to;
}

/* The rows of a part of a line from lines that are cached. */
static void load_part(const ql_rows *rows, const ql_kernels *kernels, const cache *c,
                      const corner *at, int64_t results, char *panel, int64_t stride) {
    const patches *from = rows->source;
    const ql_conv_shape *s = from->shape;
    const int64_t pixel = from->channels * kernels->element_size, taps = s->kernel[2];
    const int64_t lines = s->kernel[0] * s->kernel[1];
    const int64_t column = from->pitch * kernels->element_size;
    const int by_column = from->order == OVERLAPPING;
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
    const patches *from = rows->source;
    const int64_t *kernel = from->shape->kernel;
    const int64_t lines = kernel[0] * kernel[1];
    const int64_t planes = from->channels_first ? from->channels : 1;
    const int64_t bytes = from->reach * from->channels / planes;
    const int plain = is_plain(rows, kernels);
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
    const patches *from = rows->source;
    const ql_conv_shape *s = from->shape;
    for (int64_t tap = 0; tap < ql_taps(s); tap++) {
        const int64_t line = tap / s->kernel[2], tw = tap % s->kernel[2];
        const int64_t under = line_under(s, at, line / s->kernel[1], line % s->kernel[1]);
        char *to = panel + tap * from->channels * kernels->element_size;
        if (under == OUTSIDE)
            pad_pixels(rows, kernels, results, to, stride);
        else
            load_line(rows, kernels, under, at->column + tw * s->dilation[2], s->stride[2], results,
                      to, stride, scratch);
    }
}

static void load_patches(const ql_rows *rows, const ql_kernels *kernels, int64_t first,
                         int64_t count, char *panel, int64_t stride, char *scratch) {
    const patches *from = rows->source;
    const ql_lines *lines = &rows->lines;
    const cache c = cache_in(from, scratch);
    for (int64_t row = first; row < first + count; row += lines->rows) {
        const corner at = corner_of(from->shape, lines, row / lines->rows);
        const int64_t results = ql_min(lines->results, lines->width - at.part * lines->results);
        char *to = panel + (row - first) * stride;
        if (from->lines == 0)
            load_sparse_part(rows, kernels, &at, results, to, stride, scratch);
        else if (from->order == INTERLEAVED)
            interleave_part(rows, kernels, &c, &at, to);
        else
            load_part(rows, kernels, &c, &at, results, to, stride);
    }
}

/* --- products ------------------------------------------------------------------------------- */

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
static int rows_overlap(const patches *from, const ql_kernels *kernels, int64_t pixel,
                        int64_t outer) {
    enum { SHARE = 12 };
    const ql_lines lines = lines_of(from->shape, 1, pixel);
    const int64_t tile = kernels->tile_rows;
    const int64_t apart = ql_ceil_div(outer * from->shape->out[2], tile);
    const int64_t overlapping = ql_ceil_div(outer * lines.parts * lines.rows, tile);
    return from->order == INTERLEAVED ||
           (from->order == OVERLAPPING && overlapping * SHARE <= apart * (SHARE + 1));
}

/* Completes `from`, of which channels and shape are known, and rows of it. */
static void plan_patches(patches *from, ql_rows *rows, const ql_kernels *kernels) {
    const ql_conv_shape *s = from->shape;
    const int64_t pixel = from->channels * kernels->element_size;
    const int64_t outer = s->batch * s->out[0] * s->out[1];
    rows->scratch = PIXELS * from->channels;
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
            (from->order == INTERLEAVED ? lines * pixel : from->pitch * kernels->element_size);
    from->reach = reach_of(s, rows->lines.results);
    if (from->reach / SPARSE > rows->lines.results * s->kernel[2])
        return;
    from->lines = lines * ql_min(rows->lines.parts, CACHED_PARTS);
    from->line_stride = (from->reach * pixel + QL_ALIGNMENT - 1) & -QL_ALIGNMENT;
    rows->scratch += size_of_lists(from) + from->lines * from->line_stride;
    if (from->order == INTERLEAVED && !is_plain(rows, kernels))
        rows->scratch += from->reach * from->channels * lines + QL_TRANSPOSE_EXCESS;
}

static int64_t pixels_out(const ql_conv_shape *s) {
    return s->out[0] * s->out[1] * s->out[2];
}

static int conv_products(const ql_filter *filter, const patches *all, const ql_rows *common,
                         const ql_output *output, char *y) {
    const ql_conv_shape *shape = all->shape;
    const int64_t column =
        ql_size_of_result(output->type) * (all->channels_first ? pixels_out(shape) : 1);
    for (int64_t p = 0; p < filter->products; p++) {
        const groups g = groups_of(filter, p);
        patches mine = *all;
        ql_rows rows = *common;
        mine.first_channel = g.first * g.in;
        mine.channels = g.count * g.in;
        plan_patches(&mine, &rows, filter->kernels);
        ql_output stage = ql_output_from(output, g.first * g.out);
        if (output->residual != NULL && all->channels_first)
            stage.residual = output->residual + g.first * g.out * pixels_out(shape);
        const ql_matrix *product = product_of(filter, p);
        if (product == NULL)
            return QL_NO_MEMORY;
        const int status = ql_product(product, NULL, &rows, &stage, y + g.first * g.out * column,
                                      shape->out_channels);
        if (status != QL_OK)
            return status;
    }
    return QL_OK;
}

/* The shape with a stride of 1 along axes where no step is taken, whatever stride they had. */
static ql_conv_shape without_idle_strides(const ql_conv_shape *shape) {
    ql_conv_shape plain = *shape;
    for (int axis = 0; axis < 3; axis++)
        if (plain.out[axis] == 1)
            plain.stride[axis] = 1;
    return plain;
}

int ql_conv(const ql_filter *filter, const void *x, int x_signed, int32_t x_zero_point,
            const ql_conv_shape *shape, int channels_first, const ql_output *output,
            const void *residual, void *y) {
    const ql_conv_shape plain = without_idle_strides(shape);
    ql_output stage = *output;
    stage.residual = residual;
    shape = &plain;
    if (filter->grouped != NULL)
        return ql_grouped_conv(filter->grouped, x, x_signed, x_zero_point, shape, channels_first,
                               &stage, y);
    if (filter->depthwise != NULL)
        return ql_depthwise_conv(filter->depthwise, x, x_signed, x_zero_point, shape,
                                 channels_first, &stage, y);
    if (shape->batch * pixels_out(shape) == 0)
        return QL_OK;
    if (channels_first && filter->planes != NULL && ql_planes_take(filter->planes, shape, &stage))
        return ql_planes_conv(filter->planes, x, x_signed, x_zero_point, shape, &stage, y);
    const patches all = {
        .shape = shape,
        .x = x,
        .channels_first = channels_first,
        .zero = (uint8_t)x_zero_point,
        .order = filter->order,
        .pitch = filter->pitch,
    };
    const int to_signed = filter->kernels->left_signed;
    const int32_t zero_point = x_zero_point + ql_shift(x_signed, to_signed);
    const ql_rows rows = {
        .image = channels_first ? pixels_out(shape) : 0,
        .flip = ql_flip(x_signed, to_signed),
        .zero_point = &zero_point,
    };
    return conv_products(filter, &all, &rows, &stage, y);
}

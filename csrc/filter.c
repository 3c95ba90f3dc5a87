/* The weights of convolutions: packed for the kernels that a convolution runs on, or as matrices
 * for products, in the order that rows are gathered in.
 *
 * Groups are separate products on slices of the channels; narrow ones are put together, with zeros
 * between them, until they fill a strip of columns, which costs what each of them alone would, or
 * have kernels of their own (grouped.c).
 * Depthwise convolutions run on vectors of channels or of pixels instead (depthwise.c,
 * channelwise.c), and others with channels first, whole ones and wide groups, on the planes of the
 * image (planes.c), where the instruction set has kernels for that.
 * Weights are packed for planes then; a call that planes are not for, with a residual for instance,
 * packs them a second time, for itself and those after it. */
#include "conv.h"

enum { FEW_CHANNELS = 16 /* too few for copying pixel by pixel */ };

ql_groups ql_groups_of(const ql_filter *filter, int64_t product) {
    const ql_conv_shape *shape = &filter->shape;
    const int64_t first = product * filter->merged;
    return (ql_groups){.first = first,
                       .count = ql_min(filter->merged, shape->group - first),
                       .in = shape->channels / shape->group,
                       .out = shape->out_channels / shape->group,
                       .taps = ql_taps(shape)};
}

/* Where the weight of (output channel `o`, input channel `c`, tap) of a group is in the product. */
static int64_t place_of(const ql_filter *filter, const ql_groups *g, int64_t group, int64_t o,
                        int64_t c, int64_t tap) {
    const int64_t *kernel = filter->shape.kernel;
    const int64_t line = tap / kernel[2], column = tap % kernel[2], lines = kernel[0] * kernel[1];
    const int64_t channels = g->count * g->in, channel = group * g->in + c;
    const int64_t k = filter->order == QL_PATCHES ? tap * channels + channel
                      : filter->order == QL_OVERLAPPING
                          ? column * filter->pitch + line * channels + channel
                          : (column * channels + channel) * lines + line;
    return k * g->count * g->out + group * g->out + o;
}

/* Products of a row of the groups, zeros included. */
static int64_t depth_of(const ql_filter *filter, const ql_groups *g) {
    return filter->order == QL_OVERLAPPING ? filter->shape.kernel[2] * filter->pitch
                                           : g->count * filter->depth;
}

/* Brings groups from (out, in, tap) order into that of products, of (pixel, in). */
static ql_operand reorder_groups(const ql_filter *filter, const ql_groups *g, const uint8_t *w,
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
static void unpack_groups(const ql_filter *filter, const ql_groups *g, const ql_matrix *matrix,
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
static ql_ordering order_of(const ql_conv_shape *s, int64_t channels) {
    if (s->dilation[2] != 1 || channels == 0)
        return QL_PATCHES;
    if (channels < FEW_CHANNELS)
        return s->kernel[2] > s->stride[2] ? QL_INTERLEAVED : QL_PATCHES;
    return s->kernel[2] >= 2 * s->stride[2] ? QL_OVERLAPPING : QL_PATCHES;
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

/* A filter without weights, with room for products if it may have some. */
static ql_filter *filter_of(const ql_conv_shape *shape, int has_products) {
    const int64_t depth = ql_taps(shape) * (shape->channels / shape->group);
    const int64_t merged = groups_together(shape, depth);
    const int64_t products =
        has_products && shape->out_channels > 0 ? ql_ceil_div(shape->group, merged) : 0;
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
    const ql_groups first = ql_groups_of(filter, 0);
    uint8_t *reordered = ql_allocate((size_t)(depth_of(filter, &first) * out * merged));
    int status = reordered == NULL ? QL_NO_MEMORY : QL_OK;
    for (int64_t p = 0; p < filter->products && status == QL_OK; p++) {
        const ql_groups g = ql_groups_of(filter, p);
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
    const int is_depthwise = ql_is_depthwise(shape);
    const int in_planes =
        !is_depthwise && channels_first && ql_planes_have_use(shape, is_signed, zero_points);
    const int is_grouped =
        !is_depthwise && !in_planes && ql_is_grouped(ql_current_kernels(), shape);
    ql_filter *filter = filter_of(shape, !is_depthwise && !is_grouped);
    if (filter == NULL)
        return NULL;
    int status;
    if (is_depthwise)
        status = pack_depthwise(filter, w, is_signed, zero_points);
    else if (in_planes)
        status = pack_planes(filter, w, is_signed);
    else if (is_grouped)
        status = pack_grouped(filter, w, is_signed, zero_points);
    else
        status = pack_products(filter, w, is_signed, zero_points);
    if (status == QL_OK)
        return filter;
    ql_filter_free(filter);
    return NULL;
}

/* A product of weights that were packed for planes, or NULL when memory is short. */
static ql_matrix *pack_from_planes(const ql_filter *filter, int64_t number) {
    const ql_groups g = ql_groups_of(filter, number);
    const int64_t columns = g.count * g.out, weights = filter->shape.out_channels * filter->depth;
    int32_t *zero_points =
        ql_allocate((size_t)(columns * 4 + weights + columns * depth_of(filter, &g)));
    if (zero_points == NULL)
        return NULL;
    memset(zero_points, 0, (size_t)columns * 4);
    uint8_t *w = (uint8_t *)(zero_points + columns);
    ql_planes_unpack(filter->planes, w, 1);
    const ql_operand b = reorder_groups(filter, &g, w + g.first * g.out * filter->depth, 1,
                                        zero_points, w + weights);
    ql_matrix *matrix = ql_matrix_room(filter->kernels, b.k, b.n, 0);
    if (matrix != NULL)
        ql_matrix_fill(matrix, &b, 0, b.n);
    ql_release(zero_points);
    return matrix;
}

const ql_matrix *ql_filter_product(const ql_filter *filter, int64_t number) {
    ql_matrix *_Atomic *product = &((ql_filter *)filter)->product[number];
    ql_matrix *kept = atomic_load(product);
    if (kept != NULL || filter->planes == NULL)
        return kept;
    ql_matrix *mine = pack_from_planes(filter, number);
    if (mine == NULL || atomic_compare_exchange_strong(product, &kept, mine))
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
    const ql_groups first = ql_groups_of(filter, 0);
    uint8_t *reordered = ql_allocate((size_t)(depth_of(filter, &first) * out * merged));
    if (reordered == NULL)
        return QL_NO_MEMORY;
    for (int64_t p = 0; p < filter->products; p++) {
        const ql_groups g = ql_groups_of(filter, p);
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
    for (int64_t p = 0; p < filter->products; p++)
        ql_matrix_free(filter->product[p]);
    ql_release(filter);
}

int64_t ql_filter_size(const ql_filter *filter) {
    return filter->size;
}

/* Convolutions with channels last or first.
 *
 * A convolution is a product whose row for an output pixel is the patch of input under the kernel,
 * which is read from lines of input (lines.c) or put together (patches.c), and whose columns are
 * the weights of the output channels (filter.c). Some have kernels of their own, which the filter
 * is then packed for: depthwise ones (depthwise.c, channelwise.c), narrow groups (grouped.c), and
 * others with channels first (planes.c).
 *
 * What a convolution needs besides input, output and weights, for each thread: a block of lines or
 * rows, half a MiB, or one tile of rows or one part of a line where that is more; or, of a kernel
 * of one tap, 256 rows of at most a MiB together; a copy of the part of a line under each line of
 * the kernel; and 32 columns of a block of results, if channels come first. For layers of networks
 * that is less than a MiB (tests/c/test_allocation_failure.py), however large the image. Only
 * depthwise convolutions with channels first may copy input and output. */
#include "conv.h"

static int64_t pixels_out(const ql_conv_shape *s) {
    return s->out[0] * s->out[1] * s->out[2];
}

/* One product, whose rows are planned first. */
static int conv_product(const ql_matrix *product, ql_patches *from, ql_rows *rows,
                        const ql_output *output, char *y) {
    ql_place *places = NULL;
    if (ql_has_lines(from, product)) {
        places = ql_borrow((size_t)ql_count_places(product) * sizeof *places);
        if (places == NULL)
            return QL_NO_MEMORY;
        ql_plan_lines(from, rows, product, places);
    } else {
        ql_plan_patches(from, rows, product->kernels);
    }
    const int status = ql_product(product, NULL, rows, output, y, from->shape->out_channels);
    ql_return(places);
    return status;
}

static int conv_products(const ql_filter *filter, const ql_patches *all, const ql_rows *common,
                         const ql_output *output, char *y) {
    const ql_conv_shape *shape = all->shape;
    const int64_t column =
        ql_size_of_result(output->type) * (all->channels_first ? pixels_out(shape) : 1);
    for (int64_t p = 0; p < filter->products; p++) {
        const ql_groups g = ql_groups_of(filter, p);
        ql_patches mine = *all;
        ql_rows rows = *common;
        mine.first_channel = g.first * g.in;
        mine.channels = g.count * g.in;
        ql_output stage = ql_output_from(output, g.first * g.out);
        if (output->residual != NULL && all->channels_first)
            stage.residual = output->residual + g.first * g.out * pixels_out(shape);
        const ql_matrix *product = ql_filter_product(filter, p);
        if (product == NULL)
            return QL_NO_MEMORY;
        const int status =
            conv_product(product, &mine, &rows, &stage, y + g.first * g.out * column);
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
    const ql_patches all = {
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

/* Pixels of input, as the numbers that tiles take: from either layout to where rows want them, with
 * padding, which has the code of the zero point, whose products are 0. */
#include "conv.h"

enum { PIXELS = 64 /* that are transposed together */ };

int64_t ql_scratch_of_pixels(const ql_patches *from) {
    return PIXELS * from->channels;
}

/* Whether bytes of input are the numbers that tiles take. */
int ql_is_plain(const ql_rows *rows, const ql_kernels *kernels) {
    return rows->flip == 0 && kernels->element_size == 1;
}

int64_t ql_pixels_in(const ql_conv_shape *s) {
    return s->in[0] * s->in[1] * s->in[2];
}

/* The byte of pixel `at`, counted through all images, that is the first of the product's. */
const uint8_t *ql_pixel_at(const ql_patches *from, int64_t at) {
    const ql_conv_shape *s = from->shape;
    if (!from->channels_first)
        return from->x + at * s->channels + from->first_channel;
    const int64_t plane = ql_pixels_in(s), image = at / plane;
    return from->x + (image * s->channels + from->first_channel) * plane + at % plane;
}

/* Loads `count` pixels of one image, `step` apart, to places that are `to_step` bytes apart;
 * `scratch` has room for PIXELS of them. */
void ql_load_pixels(const ql_rows *rows, const ql_kernels *kernels, int64_t first, int64_t step,
                    int64_t count, char *to, int64_t to_step, char *scratch) {
    const ql_patches *from = rows->source;
    const int64_t channels = from->channels, all = from->shape->channels;
    const uint8_t *x = ql_pixel_at(from, first);
    if (!from->channels_first && ql_is_plain(rows, kernels)) {
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
    const int64_t plane = ql_pixels_in(from->shape);
    if (step == 1 && ql_is_plain(rows, kernels)) {
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
void ql_pad_pixels(const ql_rows *rows, const ql_kernels *kernels, int64_t count, char *to,
                   int64_t to_step) {
    const ql_patches *from = rows->source;
    const uint8_t number = from->zero ^ rows->flip;
    for (int64_t i = 0; i < count; i++, to += to_step)
        if (kernels->element_size == 1)
            memset(to, number, (size_t)from->channels);
        else
            for (int64_t c = 0; c < from->channels; c++)
                ((int16_t *)to)[c] = number;
}

/* `count` pixels of a line, `step` apart, from column `column` on, which may be outside. */
void ql_load_line(const ql_rows *rows, const ql_kernels *kernels, int64_t line, int64_t column,
                  int64_t step, int64_t count, char *to, int64_t to_step, char *scratch) {
    const int64_t width = ((const ql_patches *)rows->source)->shape->in[2];
    const int64_t before = column >= 0 ? 0 : ql_min(count, ql_ceil_div(-column, step));
    const int64_t end = column >= width ? 0 : ql_min(count, (width - 1 - column) / step + 1);
    const int64_t inside = ql_max(end - before, 0);
    ql_pad_pixels(rows, kernels, before, to, to_step);
    if (inside > 0)
        ql_load_pixels(rows, kernels, line * width + column + before * step, step, inside,
                       to + before * to_step, to_step, scratch);
    ql_pad_pixels(rows, kernels, count - before - inside, to + (before + inside) * to_step,
                  to_step);
}

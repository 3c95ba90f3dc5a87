/* Lines of groups: of input into the bands that kernels read, with what pads them, and results, if
 * channels are first, out of the blocks that kernels write. */
#include "grouped.h"

enum {
    SHORT_LINE = 16, /* columns: fewer are transposed together */
    THICK_SLICE = 16 /* channels */
};

/* --- input ---------------------------------------------------------------------------------- */

int ql_loads_together(const ql_grouped_call *c) {
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

static view view_of(const ql_grouped_call *c, const ql_grouped_part *at) {
    const ql_conv_shape *s = c->shape;
    const int64_t width = s->in[2], plane = s->in[0] * s->in[1] * width;
    const int64_t d = at->depth * s->stride[0] - s->pad[0];
    const int64_t top = at->line * s->stride[1] - s->pad[1];
    const int64_t left = at->pixel * s->stride[2] - s->pad[2];
    view v = {.lines = ql_grouped_seen(s, 1, at->lines),
              .columns = ql_grouped_seen(s, 2, at->pixels)};
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

int64_t ql_slice_step(const ql_grouped_call *c) {
    return c->held * c->columns * c->filter->slice;
}

/* A slice of one line of those that are seen, pixel after pixel. */
static void copy_line(const ql_grouped_call *c, const ql_grouped_room *w, const view *v,
                      int64_t line, int64_t channel, int64_t channels, char *to) {
    const ql_conv_shape *s = c->shape;
    const ql_kernels *kernels = c->filter->kernels;
    const int64_t width = s->in[2], plane = s->in[0] * s->in[1] * width;
    const int64_t columns = v->end - v->begin, i = line - v->first, slice = c->filter->slice;
    const int64_t block = c->filter->block_channels;
    const char *x = (const char *)v->x;
    if (ql_loads_together(c))
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
static void copy_slice(const ql_grouped_call *c, const ql_grouped_room *w, const view *v,
                       int64_t channel, int64_t channels, char *lines) {
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

void ql_copy_grouped(const ql_grouped_call *c, const ql_grouped_room *w,
                     const ql_grouped_part *at) {
    const ql_conv_shape *s = c->shape;
    const view v = view_of(c, at);
    if (ql_loads_together(c) && v.first < v.last)
        ql_transpose_part(c->filter->kernels, v.x, s->in[0] * s->in[1] * s->in[2], at->channels,
                          (v.last - v.first - 1) * s->in[2] + v.end - v.begin, w->loaded,
                          c->filter->block_channels, 1);
    const int64_t slice = c->filter->slice;
    for (int64_t channel = 0; channel < at->channels; channel += slice)
        copy_slice(c, w, &v, channel, ql_min(slice, at->channels - channel),
                   w->lines + channel / slice * ql_slice_step(c));
}

/* --- results -------------------------------------------------------------------------------- */

int64_t ql_grouped_first(const ql_grouped_call *c, const ql_grouped_part *at, int64_t line) {
    const ql_conv_shape *s = c->shape;
    if (c->channels_first)
        return line * at->pixels * c->filter->block_outputs;
    const int64_t lines = (at->image * s->out[0] + at->depth) * s->out[1] + at->line + line;
    return (lines * s->out[2] + at->pixel) * s->out_channels + at->output;
}

int64_t ql_grouped_step(const ql_grouped_call *c) {
    return c->channels_first ? c->filter->block_outputs : c->shape->out_channels;
}

/* The elements of an item's first line in the array with channels first. */
static int64_t element_of(const ql_grouped_call *c, const ql_grouped_part *at, int64_t line) {
    const ql_conv_shape *s = c->shape;
    const int64_t plane = s->out[0] * s->out[1] * s->out[2];
    return (at->image * s->out_channels + at->output) * plane +
           (at->depth * s->out[1] + at->line + line) * s->out[2] + at->pixel;
}

void ql_transpose_grouped(const ql_grouped_call *c, const ql_grouped_room *w,
                          const ql_grouped_part *at, int to_results) {
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

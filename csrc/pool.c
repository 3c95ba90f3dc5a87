/* Pooling, in two passes over each line of the result.
 *
 * A window is a product of one interval for each axis, so its maximum (or sum) is taken along the
 * first two axes for a whole line of input at once, and then along the line. Both passes are runs
 * of a kernel over contiguous elements. Where windows step along a line of few channels, they are
 * taken at every position and then picked: a run of bytes is faster than calls for single ones.
 *
 * Besides input and output this needs one line of input for each thread, of int32 for sums, and two
 * for windows of more than one plane. */
#include "core.h"

enum {
    FEW = 16,          /* channels that are too few for a run of their own */
    CHUNK = 64 * 1024, /* elements of input that are worth a chunk of their own */
    TOTALS = 256       /* global averages that are finished together */
};

typedef struct {
    const ql_kernels *kernels;
    const ql_pool_shape *shape;
    const uint8_t *x;
    uint8_t *y;
    int is_signed; /* of the maximum */
    int count_pad; /* of the average, as all that follows */
    ql_average average;
    uint8_t flip;
    int32_t zero; /* of x, as a number */
    float x_scale, y_scale;
    int64_t chunk_lines;
    ql_status status;
} pool;

/* The taps of a window along an axis that lie inside the image, and where the first one is; and how
 * many lie inside the image or its padding. */
typedef struct {
    int64_t first, taps, padded;
} interval;

static interval interval_of(const ql_pool_shape *s, int axis, int64_t window) {
    const int64_t corner = window * s->stride[axis] - s->pad[axis], step = s->dilation[axis];
    const int64_t skipped = corner < 0 ? ql_ceil_div(-corner, step) : 0;
    const int64_t first = corner + skipped * step;
    const int64_t room = s->in[axis] - first, padded = s->in[axis] + s->pad_end[axis] - corner;
    const int64_t inside = room > 0 ? ql_ceil_div(room, step) : 0;
    return (interval){first, ql_max(0, ql_min(inside, s->kernel[axis] - skipped)),
                      ql_min(ql_ceil_div(padded, step), s->kernel[axis])};
}

/* How many windows from this one on, in its line, have all their taps inside the image. */
static int64_t alike(const ql_pool_shape *s, int64_t window) {
    const int64_t corner = window * s->stride[2] - s->pad[2];
    const int64_t last = s->in[2] - 1 - (s->kernel[2] - 1) * s->dilation[2];
    if (corner < 0 || corner > last)
        return 1;
    return ql_min((last - corner) / s->stride[2] + 1, s->out[2] - window);
}

/* Picks every `stride`-th of `pixels` pixels of `inner` bytes. */
static void pick(const uint8_t *from, int64_t pixels, int64_t stride, int64_t inner, uint8_t *to) {
    if (inner == 1)
        for (int64_t p = 0; p < pixels; p++)
            to[p] = from[p * stride];
    else
        for (int64_t p = 0; p < pixels; p++)
            memcpy(to + p * inner, from + p * stride * inner, (size_t)inner);
}

/* One line of the result: where it is, and its windows along the first two axes. */
typedef struct {
    const uint8_t *image;
    interval depth, height;
    uint8_t *y;
} line;

static line line_of(const pool *p, int64_t number) {
    const ql_pool_shape *s = p->shape;
    const int64_t h = number % s->out[1], d = number / s->out[1] % s->out[0];
    const int64_t image = number / s->out[1] / s->out[0];
    return (line){p->x + image * s->in[0] * s->in[1] * s->in[2] * s->inner, interval_of(s, 0, d),
                  interval_of(s, 1, h), p->y + number * s->out[2] * s->inner};
}

static const uint8_t *row_of(const ql_pool_shape *s, const line *l, int64_t depth_tap) {
    const int64_t d = l->depth.first + depth_tap * s->dilation[0];
    return l->image + (d * s->in[1] + l->height.first) * s->in[2] * s->inner;
}

/* --- the maximum ---------------------------------------------------------------------------- */

/* The largest along the first two axes; `rows` has room for two lines. */
static const uint8_t *max_of_rows(const pool *p, const line *l, uint8_t *rows) {
    const ql_pool_shape *s = p->shape;
    ql_max_run *const run = p->kernels->max[p->is_signed];
    const int64_t length = s->in[2] * s->inner, stride = s->dilation[1] * length;
    if (l->depth.taps == 1 && l->height.taps == 1)
        return row_of(s, l, 0);
    run(row_of(s, l, 0), l->height.taps, stride, rows, length);
    for (int64_t tap = 1; tap < l->depth.taps; tap++) {
        run(row_of(s, l, tap), l->height.taps, stride, rows + length, length);
        run(rows, 2, length, rows, length);
    }
    return rows;
}

static void max_line(const pool *p, const line *l, const uint8_t *row, uint8_t *dense) {
    const ql_pool_shape *s = p->shape;
    ql_max_run *const run = p->kernels->max[p->is_signed];
    const int64_t inner = s->inner, step = s->dilation[2] * inner;
    for (int64_t q = 0; q < s->out[2];) {
        const interval w = interval_of(s, 2, q);
        const uint8_t *from = row + w.first * inner;
        uint8_t *to = l->y + q * inner;
        if (w.taps == 0) {
            memset(to, p->is_signed ? 0x80 : 0, (size_t)inner);
            q++;
            continue;
        }
        const int64_t windows = alike(s, q);
        if (s->stride[2] == 1 || windows == 1)
            run(from, w.taps, step, to, windows * inner);
        else if (inner >= FEW)
            for (int64_t i = 0; i < windows; i++)
                run(from + i * s->stride[2] * inner, w.taps, step, to + i * inner, inner);
        else {
            run(from, w.taps, step, dense, ((windows - 1) * s->stride[2] + 1) * inner);
            pick(dense, windows, s->stride[2], inner, to);
        }
        q += windows;
    }
}

static void max_chunk(void *context, long chunk) {
    pool *p = context;
    const ql_pool_shape *s = p->shape;
    const int64_t length = s->in[2] * s->inner;
    const int64_t lines = s->batch * s->out[0] * s->out[1], first = chunk * p->chunk_lines;
    uint8_t *rows = ql_allocate((size_t)(3 * length));
    if (rows == NULL) {
        ql_report(&p->status, QL_NO_MEMORY);
        return;
    }
    for (int64_t i = first; i < ql_min(lines, first + p->chunk_lines); i++) {
        const line l = line_of(p, i);
        if (l.depth.taps == 0 || l.height.taps == 0)
            memset(l.y, p->is_signed ? 0x80 : 0, (size_t)(s->out[2] * s->inner));
        else
            max_line(p, &l, max_of_rows(p, &l, rows), rows + 2 * length);
    }
    ql_release(rows);
}

/* Cuts the lines of the result into chunks. */
static int run_lines(pool *p, ql_chunk *run) {
    const ql_pool_shape *s = p->shape;
    const int64_t lines = s->batch * s->out[0] * s->out[1];
    if (lines == 0 || s->out[2] * s->inner == 0)
        return QL_OK;
    const int64_t rows = ql_min(s->kernel[0], s->in[0]) * ql_min(s->kernel[1], s->in[1]);
    const int64_t work = ql_max(1, rows * s->in[2] * s->inner + s->out[2] * s->inner);
    p->chunk_lines = CHUNK / work + 1;
    ql_run_chunks((long)ql_ceil_div(lines, p->chunk_lines), run, p);
    return ql_reported(&p->status);
}

int ql_max_pool(const void *x, int is_signed, const ql_pool_shape *shape, void *y) {
    pool p = {.kernels = ql_current_kernels(),
              .shape = shape,
              .x = x,
              .y = y,
              .is_signed = is_signed != 0};
    return run_lines(&p, max_chunk);
}

/* --- the average ---------------------------------------------------------------------------- */

/* The sums along the first two axes; `rows` has room for two lines. */
static void sum_rows(const pool *p, const line *l, int32_t *rows) {
    const ql_pool_shape *s = p->shape;
    const int64_t length = s->in[2] * s->inner, stride = s->dilation[1] * length;
    p->kernels->sum(row_of(s, l, 0), l->height.taps, stride, p->flip, rows, length);
    for (int64_t tap = 1; tap < l->depth.taps; tap++) {
        int32_t *more = rows + length;
        p->kernels->sum(row_of(s, l, tap), l->height.taps, stride, p->flip, more, length);
        for (int64_t i = 0; i < length; i++)
            rows[i] += more[i];
    }
}

/* What becomes of sums of `taps` elements, of windows that count `count`. */
static ql_average average_of(const pool *p, int64_t taps, int64_t count) {
    ql_average average = p->average;
    average.offset = (int32_t)(taps * p->zero);
    average.factor = p->x_scale / (p->y_scale * (float)ql_max(count, 1));
    return average;
}

static void average_line(const pool *p, const line *l, const int32_t *sums, uint8_t *dense) {
    const ql_pool_shape *s = p->shape;
    ql_average_run *const run = p->kernels->average;
    const int64_t inner = s->inner, step = s->dilation[2] * inner;
    const int64_t inside = l->depth.taps * l->height.taps;
    const int64_t padded = l->depth.padded * l->height.padded;
    for (int64_t q = 0; q < s->out[2];) {
        const interval w = interval_of(s, 2, q);
        const int64_t taps = inside * w.taps, windows = alike(s, q);
        const ql_average average = average_of(p, taps, p->count_pad ? padded * w.padded : taps);
        const int32_t *from = sums + (taps ? w.first * inner : 0);
        uint8_t *to = l->y + q * inner;
        if (taps == 0)
            memset(to, (int)(p->average.y_zero ^ p->average.y_flip), (size_t)(windows * inner));
        else if (s->stride[2] == 1 || windows == 1)
            run(from, w.taps, step, &average, to, windows * inner);
        else if (inner >= FEW)
            for (int64_t i = 0; i < windows; i++)
                run(from + i * s->stride[2] * inner, w.taps, step, &average, to + i * inner, inner);
        else {
            run(from, w.taps, step, &average, dense, ((windows - 1) * s->stride[2] + 1) * inner);
            pick(dense, windows, s->stride[2], inner, to);
        }
        q += windows;
    }
}

static void average_chunk(void *context, long chunk) {
    pool *p = context;
    const ql_pool_shape *s = p->shape;
    const int64_t length = s->in[2] * s->inner;
    const int64_t lines = s->batch * s->out[0] * s->out[1], first = chunk * p->chunk_lines;
    int32_t *rows = ql_allocate((size_t)(9 * length));
    if (rows == NULL) {
        ql_report(&p->status, QL_NO_MEMORY);
        return;
    }
    for (int64_t i = first; i < ql_min(lines, first + p->chunk_lines); i++) {
        const line l = line_of(p, i);
        if (l.depth.taps > 0 && l.height.taps > 0)
            sum_rows(p, &l, rows);
        average_line(p, &l, rows, (uint8_t *)(rows + 2 * length));
    }
    ql_release(rows);
}

/* One window over each image of a single channel: sums of contiguous bytes. */
static void totals_chunk(void *context, long chunk) {
    const pool *p = context;
    const ql_pool_shape *s = p->shape;
    const int64_t size = s->in[2], first = chunk * p->chunk_lines;
    const int64_t last = ql_min(s->batch, first + p->chunk_lines);
    const ql_average average = average_of(p, size, size);
    int32_t sums[TOTALS];
    for (int64_t image = first; image < last; image += TOTALS) {
        const int64_t count = ql_min(TOTALS, last - image);
        for (int64_t i = 0; i < count; i++)
            sums[i] = (int32_t)p->kernels->total(p->x + (image + i) * size, size, p->flip);
        p->kernels->average(sums, 1, 0, &average, p->y + image, count);
    }
}

static int is_total(const ql_pool_shape *s) {
    return s->inner == 1 && s->in[0] == 1 && s->in[1] == 1 && s->kernel[2] == s->in[2] &&
           s->out[0] * s->out[1] * s->out[2] == 1 && s->pad[2] == 0 && s->kernel[0] == 1 &&
           s->kernel[1] == 1 && s->pad[0] == 0 && s->pad[1] == 0 && s->dilation[2] == 1;
}

int ql_average_pool(const void *x, int x_signed, int32_t x_zero, float x_scale,
                    const ql_pool_shape *shape, int count_pad, void *y, int y_signed,
                    int32_t y_zero, float y_scale) {
    pool p = {.kernels = ql_current_kernels(),
              .shape = shape,
              .x = x,
              .y = y,
              .count_pad = count_pad,
              .average = {.y_zero = y_zero + (y_signed ? 128 : 0), .y_flip = y_signed ? 0x80 : 0},
              .flip = x_signed ? 0x80 : 0,
              .zero = x_zero + (x_signed ? 128 : 0),
              .x_scale = x_scale,
              .y_scale = y_scale};
    if (!is_total(shape))
        return run_lines(&p, average_chunk);
    p.chunk_lines = CHUNK / shape->in[2] + 1;
    ql_run_chunks((long)ql_ceil_div(shape->batch, p.chunk_lines), totals_chunk, &p);
    return QL_OK;
}

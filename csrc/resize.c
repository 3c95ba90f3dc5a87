/* Resizing: the nearest code, or interpolation along three axes in order.
 *
 * Interpolation goes line by line of the result. Along the first two axes whole lines of input are
 * mixed, which are contiguous, into one line of float32; along the third, its pixels. A weight of 0
 * leaves a value as it is, to the bit, so that such mixing is left out: an axis that keeps its
 * extent costs nothing. Besides input and output each thread needs three lines of float32. */
#include "core.h"

enum { CHUNK = 32 * 1024 }; /* elements of the result that are worth a chunk of their own */

#define ROUND 12582912.0f /* 1.5 * 2**23: added and subtracted, it rounds half to even */

typedef struct {
    const ql_kernels *kernels;
    const ql_resize_shape *shape;
    const uint8_t *x;
    uint8_t *y;
    int is_signed;
    int64_t times[3]; /* that each place of an axis is repeated, if that is how it is resized */
    int64_t lines, chunk_lines;
    ql_status status;
} job;

/* --- the nearest ---------------------------------------------------------------------------- */

/* How often each place of an axis is repeated, once or twice; 0 where it is not so simple. */
static int64_t times_of(const ql_resize_shape *s, int axis) {
    const int64_t times = s->out[axis] == 2 * s->in[axis] ? 2 : 1;
    for (int64_t place = 0; place < s->out[axis]; place++)
        if (s->first[axis][place] != place / times)
            return 0;
    return s->out[axis] == times * s->in[axis] ? times : 0;
}

/* Images of one channel that are twice as wide, whose lines are repeated evenly too: most often
 * twice, to double an image. */
static int is_doubled(const job *j) {
    return j->shape->inner == 1 && j->times[2] == 2 && j->times[1] != 0 && j->times[0] == 1;
}

static void doubled_chunk(void *context, long chunk) {
    const job *j = context;
    const ql_resize_shape *s = j->shape;
    const int64_t times = j->times[1], length = s->in[2];
    const int64_t first = chunk * j->chunk_lines;
    const int64_t rows = ql_min(j->chunk_lines, s->outer * s->in[0] * s->in[1] - first);
    j->kernels->double_rows(j->x + first * length, rows, length, times,
                            j->y + first * times * 2 * length);
}

static void copy_line(const job *j, const uint8_t *from, uint8_t *to) {
    const ql_resize_shape *s = j->shape;
    const int64_t *places = s->first[2], inner = s->inner;
    if (inner == 1 && j->times[2] == 2)
        j->kernels->double_rows(from, 1, s->in[2], 1, to);
    else if (inner == 1)
        for (int64_t w = 0; w < s->out[2]; w++)
            to[w] = from[places[w]];
    else
        for (int64_t w = 0; w < s->out[2]; w++)
            memcpy(to + w * inner, from + places[w] * inner, (size_t)inner);
}

static void nearest_chunk(void *context, long chunk) {
    const job *j = context;
    const ql_resize_shape *s = j->shape;
    const int64_t first = chunk * j->chunk_lines, length = s->out[2] * s->inner;
    const uint8_t *copied = NULL; /* the line of input that the line before was made of */
    for (int64_t line = first; line < ql_min(j->lines, first + j->chunk_lines); line++) {
        const int64_t h = s->first[1][line % s->out[1]];
        const int64_t d = s->first[0][line / s->out[1] % s->out[0]];
        const int64_t o = line / s->out[1] / s->out[0];
        const uint8_t *from = j->x + ((o * s->in[0] + d) * s->in[1] + h) * s->in[2] * s->inner;
        uint8_t *to = j->y + line * length;
        if (from == copied)
            memcpy(to, to - length, (size_t)length);
        else
            copy_line(j, from, to);
        copied = from;
    }
}

/* --- interpolation -------------------------------------------------------------------------- */

static void widen(const job *j, const uint8_t *restrict from, float *restrict to, int64_t count) {
    if (j->is_signed)
        for (int64_t i = 0; i < count; i++)
            to[i] = (float)(int8_t)from[i];
    else
        for (int64_t i = 0; i < count; i++)
            to[i] = (float)from[i];
}

/* to = (1 - weight) * to + weight * more */
static void mix(float *restrict to, const float *restrict more, float weight, int64_t count) {
    const float rest = 1.0f - weight;
    for (int64_t i = 0; i < count; i++)
        to[i] = rest * to[i] + weight * more[i];
}

/* A line of input, or two neighbours along the first axis mixed; `spare` has room for a line. */
static void mix_depth(const job *j, const uint8_t *image, int64_t d, int64_t h, float *to,
                      float *spare) {
    const ql_resize_shape *s = j->shape;
    const int64_t length = s->in[2] * s->inner;
    const float weight = s->weight[0][d];
    widen(j, image + (s->first[0][d] * s->in[1] + h) * length, to, length);
    if (weight != 0.0f) {
        widen(j, image + (s->second[0][d] * s->in[1] + h) * length, spare, length);
        mix(to, spare, weight, length);
    }
}

/* The values are between codes, so nothing has to be saturated. */
static void round_line(const ql_resize_shape *s, const float *from, uint8_t *to) {
    const int64_t inner = s->inner;
    for (int64_t w = 0; w < s->out[2]; w++) {
        const float *restrict a = from + s->first[2][w] * inner;
        const float *restrict b = from + s->second[2][w] * inner;
        const float weight = s->weight[2][w], rest = 1.0f - weight;
        for (int64_t i = 0; i < inner; i++)
            to[w * inner + i] = (uint8_t)(int32_t)(((rest * a[i] + weight * b[i]) + ROUND) - ROUND);
    }
}

static void linear_lines(const job *j, int64_t first, int64_t last, float *lines) {
    const ql_resize_shape *s = j->shape;
    const int64_t length = s->in[2] * s->inner;
    for (int64_t line = first; line < last; line++) {
        const int64_t h = line % s->out[1], d = line / s->out[1] % s->out[0];
        const uint8_t *image = j->x + line / s->out[1] / s->out[0] * s->in[0] * s->in[1] * length;
        const float weight = s->weight[1][h];
        mix_depth(j, image, d, s->first[1][h], lines, lines + 2 * length);
        if (weight != 0.0f) {
            mix_depth(j, image, d, s->second[1][h], lines + length, lines + 2 * length);
            mix(lines, lines + length, weight, length);
        }
        round_line(s, lines, j->y + line * s->out[2] * s->inner);
    }
}

static void linear_chunk(void *context, long chunk) {
    job *j = context;
    const int64_t first = chunk * j->chunk_lines;
    float *lines = ql_allocate((size_t)(3 * 4 * j->shape->in[2] * j->shape->inner));
    if (lines == NULL) {
        ql_report(&j->status, QL_NO_MEMORY);
        return;
    }
    linear_lines(j, first, ql_min(j->lines, first + j->chunk_lines), lines);
    ql_release(lines);
}

/* --- both ----------------------------------------------------------------------------------- */

/* In lines of the result, or, where it is doubled, of the input. */
static int run_lines(job *j, ql_chunk *run) {
    const ql_resize_shape *s = j->shape;
    const int64_t length = s->out[2] * s->inner, *lines = run == doubled_chunk ? s->in : s->out;
    j->lines = s->outer * lines[0] * lines[1];
    if (j->lines == 0 || length == 0)
        return QL_OK;
    j->chunk_lines = CHUNK / (length + s->in[2] * s->inner) + 1;
    ql_run_chunks((long)ql_ceil_div(j->lines, j->chunk_lines), run, j);
    return ql_reported(&j->status);
}

int ql_resize_nearest(const void *x, const ql_resize_shape *shape, void *y) {
    job j = {.kernels = ql_current_kernels(), .shape = shape, .x = x, .y = y};
    for (int axis = 0; axis < 3; axis++)
        j.times[axis] = times_of(shape, axis);
    return run_lines(&j, is_doubled(&j) ? doubled_chunk : nearest_chunk);
}

int ql_resize_linear(const void *x, int is_signed, const ql_resize_shape *shape, void *y) {
    job j = {.shape = shape, .x = x, .y = y, .is_signed = is_signed};
    return run_lines(&j, linear_chunk);
}

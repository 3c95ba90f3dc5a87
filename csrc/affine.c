/* Reals and codes: cuts data into runs for the kernels, for every granularity.
 *
 * Data has the shape (outer, length, inner) and parameters lie as quantlib.h says. A run is either
 * a stretch that shares a parameter (step 0) or one in which each element has its own (step 1).
 * Where stretches would be short, a period of parameters is written out once, as often as fits
 * PERIOD elements, and the data is walked in such long runs of step 1. */
#include "core.h"

#include <math.h>

enum { SHORT_STRETCH = 64, PERIOD = 4096 };

typedef struct {
    int kind;
    int64_t outer, length, inner, block;
} layout;

typedef struct {
    const char *scale;
    const int32_t *zero_point;
} parameters;

/* One call of a kernel: elements `first` to `first + count`, parameters from `p` on. */
typedef struct walk {
    void (*run)(const struct walk *walk, int64_t first, int64_t count, parameters p, int step);
    const char *from;
    char *to;
    int64_t from_size, to_size, scale_size;
    int32_t qmin, qmax;
    ql_quantize_run *quantize;
    ql_dequantize_run *dequantize;
} walk;

static int64_t size_of(int type) {
    static const int64_t sizes[] = {
        [QL_FLOAT32] = 4, [QL_FLOAT64] = 8, [QL_INT8] = 1, [QL_UINT8] = 1,
        [QL_INT16] = 2,   [QL_UINT16] = 2,  [QL_INT32] = 4};
    return sizes[type];
}

static parameters advance(const walk *w, parameters p, int64_t count) {
    return (parameters){p.scale + count * w->scale_size, p.zero_point + count};
}

/* Per channel with short stretches: the parameters of one period of length * inner elements,
 * written out `repeats` times. */
static int walk_periods(const walk *w, layout at, parameters p) {
    const int64_t period = at.length * at.inner;
    const int64_t repeats = ql_max(1, ql_min(PERIOD / period, at.outer));
    char *scale = ql_allocate((size_t)(repeats * period * (w->scale_size + 4)));
    if (scale == NULL)
        return QL_NO_MEMORY;
    int32_t *zero_point = (int32_t *)(scale + repeats * period * w->scale_size);
    for (int64_t i = 0; i < repeats * period; i++) {
        const int64_t channel = i % period / at.inner;
        memcpy(scale + i * w->scale_size, p.scale + channel * w->scale_size, (size_t)w->scale_size);
        zero_point[i] = p.zero_point[channel];
    }
    for (int64_t outer = 0; outer < at.outer; outer += repeats)
        w->run(w, outer * period, ql_min(repeats, at.outer - outer) * period,
               (parameters){scale, zero_point}, 1);
    ql_release(scale);
    return QL_OK;
}

static void walk_blocks(const walk *w, layout at, parameters p) {
    const int64_t blocks = ql_ceil_div(at.length, at.block);
    for (int64_t outer = 0; outer < at.outer; outer++)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t first = block * at.block;
            const int64_t rows = ql_min(at.block, at.length - first);
            const int64_t start = (outer * at.length + first) * at.inner;
            const parameters mine = advance(w, p, (outer * blocks + block) * at.inner);
            if (at.inner == 1) {
                w->run(w, start, rows, mine, 0);
                continue;
            }
            for (int64_t row = 0; row < rows; row++)
                w->run(w, start + row * at.inner, at.inner, mine, 1);
        }
}

static int walk_all(const walk *w, layout at, parameters p) {
    const int64_t period = at.length * at.inner;
    if (at.outer == 0 || period == 0)
        return QL_OK;
    if (at.kind == QL_PER_TENSOR) {
        w->run(w, 0, at.outer * period, p, 0);
        return QL_OK;
    }
    if (at.kind == QL_BLOCKED) {
        walk_blocks(w, at, p);
        return QL_OK;
    }
    if (at.inner == 1 && period >= PERIOD / 2) {
        for (int64_t outer = 0; outer < at.outer; outer++)
            w->run(w, outer * period, period, p, 1);
        return QL_OK;
    }
    if (at.inner < SHORT_STRETCH && period <= PERIOD && at.outer > 1)
        return walk_periods(w, at, p);
    for (int64_t outer = 0; outer < at.outer; outer++)
        for (int64_t channel = 0; channel < at.length; channel++)
            w->run(w, outer * period + channel * at.inner, at.inner, advance(w, p, channel), 0);
    return QL_OK;
}

static void run_quantize(const walk *w, int64_t first, int64_t count, parameters p, int step) {
    w->quantize(w->from + first * w->from_size, w->to + first * w->to_size, count, p.scale,
                p.zero_point, step, w->qmin, w->qmax);
}

static void run_dequantize(const walk *w, int64_t first, int64_t count, parameters p, int step) {
    w->dequantize(w->from + first * w->from_size, w->to + first * w->to_size, count, p.scale,
                  p.zero_point, step);
}

int ql_quantize(const void *x, int real_type, void *codes, int code_type, const void *scale,
                const int32_t *zero_point, int32_t qmin, int32_t qmax, int kind, int64_t outer,
                int64_t length, int64_t inner, int64_t block) {
    const walk w = {.run = run_quantize,
                    .from = x,
                    .to = codes,
                    .from_size = size_of(real_type),
                    .to_size = size_of(code_type),
                    .scale_size = size_of(real_type),
                    .qmin = qmin,
                    .qmax = qmax,
                    .quantize = ql_current_kernels()->quantize[real_type][code_type - QL_INT8]};
    return walk_all(&w, (layout){kind, outer, length, inner, block},
                    (parameters){scale, zero_point});
}

int ql_dequantize(const void *codes, int code_type, void *x, int real_type, const void *scale,
                  const int32_t *zero_point, int kind, int64_t outer, int64_t length, int64_t inner,
                  int64_t block) {
    const walk w = {.run = run_dequantize,
                    .from = codes,
                    .to = x,
                    .from_size = size_of(code_type),
                    .to_size = size_of(real_type),
                    .scale_size = size_of(real_type),
                    .dequantize = ql_current_kernels()->dequantize[real_type][code_type - QL_INT8]};
    return walk_all(&w, (layout){kind, outer, length, inner, block},
                    (parameters){scale, zero_point});
}

int ql_fake_quantize(const void *x, int real_type, void *y, const void *scale,
                     const int32_t *zero_point, int32_t qmin, int32_t qmax, int kind, int64_t outer,
                     int64_t length, int64_t inner, int64_t block) {
    const walk w = {.run = run_quantize,
                    .from = x,
                    .to = y,
                    .from_size = size_of(real_type),
                    .to_size = size_of(real_type),
                    .scale_size = size_of(real_type),
                    .qmin = qmin,
                    .qmax = qmax,
                    .quantize = ql_current_kernels()->fake_quantize[real_type]};
    return walk_all(&w, (layout){kind, outer, length, inner, block},
                    (parameters){scale, zero_point});
}

/* --- ranges --------------------------------------------------------------------------------- */

static void fill_real(char *to, int real_type, int64_t count, double value) {
    if (real_type == QL_FLOAT32)
        for (int64_t i = 0; i < count; i++)
            ((float *)to)[i] = (float)value;
    else
        for (int64_t i = 0; i < count; i++)
            ((double *)to)[i] = value;
}

/* Turns -0 into +0 and every NaN into one, so that the order of the data does not show. */
static void unify(char *to, int real_type, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (real_type == QL_FLOAT32) {
            float *end = (float *)to + i;
            *end = *end != *end ? NAN : *end + 0.0f;
        } else {
            double *end = (double *)to + i;
            *end = *end != *end ? (double)NAN : *end + 0.0;
        }
}

int ql_min_max(const void *x_, int real_type, void *lo_, void *hi_, int kind, int64_t outer,
               int64_t length, int64_t inner, int64_t block) {
    const int64_t size = size_of(real_type);
    ql_min_max_run *const run = ql_current_kernels()->min_max[real_type];
    const char *x = x_;
    char *lo = lo_, *hi = hi_;
    const int64_t blocks = kind == QL_BLOCKED ? ql_ceil_div(length, block) : length;
    const int64_t groups = kind == QL_PER_TENSOR    ? 1
                           : kind == QL_PER_CHANNEL ? length
                                                    : outer * blocks * inner;
    fill_real(lo, real_type, groups, INFINITY);
    fill_real(hi, real_type, groups, -INFINITY);
    if (kind == QL_PER_TENSOR)
        run(x, outer * length * inner, lo, hi, 0);
    else
        for (int64_t o = 0; o < outer; o++) {
            if (kind == QL_PER_CHANNEL && inner == 1) {
                run(x + o * length * size, length, lo, hi, 1);
                continue;
            }
            for (int64_t l = 0; l < length; l++) {
                const char *row = x + (o * length + l) * inner * size;
                const int64_t group = kind == QL_PER_CHANNEL ? l : (o * blocks + l / block) * inner;
                const int each = kind == QL_BLOCKED;
                run(row, inner, lo + group * size, hi + group * size, each);
            }
        }
    unify(lo, real_type, groups);
    unify(hi, real_type, groups);
    return QL_OK;
}

/* --- accumulators to codes ------------------------------------------------------------------ */

int ql_requantize(const int32_t *acc, void *y_, const float *multiplier, int32_t zero_point,
                  int32_t lower, int32_t upper, int kind, int64_t outer, int64_t length,
                  int64_t inner) {
    ql_requantize_tile *const run = ql_current_kernels()->requantize;
    uint8_t *y = y_;
    if (kind == QL_PER_CHANNEL && inner == 1) {
        run(acc, length, outer, length, multiplier, zero_point, lower, upper, y, length);
        return QL_OK;
    }
    enum { WIDTH = 256 }; /* stretches that share a multiplier are taken as rows of this width */
    float same[WIDTH];
    const int64_t stretch = kind == QL_PER_TENSOR ? outer * length * inner : inner;
    const int64_t stretches = kind == QL_PER_TENSOR ? 1 : outer * length;
    for (int64_t s = 0; s < stretches && stretch; s++) {
        const float factor = multiplier[kind == QL_PER_TENSOR ? 0 : s % length];
        for (int i = 0; i < WIDTH; i++)
            same[i] = factor;
        const int64_t start = s * stretch, rows = stretch / WIDTH, rest = stretch % WIDTH;
        run(acc + start, WIDTH, rows, WIDTH, same, zero_point, lower, upper, y + start, WIDTH);
        const int64_t last = start + rows * WIDTH;
        run(acc + last, rest, 1, rest, same, zero_point, lower, upper, y + last, rest);
    }
    return QL_OK;
}

/* Reals and codes: cuts data into runs for the kernels, for every granularity.
 *
 * Data has the shape (outer, length, inner) and parameters lie as quantlib.h says. A run is either
 * a stretch that shares a parameter (step 0) or one in which each element has its own (step 1).
 * Where stretches would be short and come often, their parameters are written out, and the data is
 * walked in longer runs of step 1.
 *
 * Codes are those of a correctly rounded quotient, but division is slow. For 8 bits, and scales
 * from SMALLEST to LARGEST, kernels may multiply by a reciprocal that is held in two floats:
 * section 8 of docs/quantization.md shows that the codes are the same. */
#include "core.h"

enum {
    WINDOW = 1024, /* parameters that are prepared at once: they stay in the first cache */
    ROOM = WINDOW + QL_ALIGNMENT / 4, /* a line more, lest arrays be a multiple of a page apart */
    SHORT_STRETCH = 64,
    OFTEN = 8,          /* times that parameters must be used to be worth writing out */
    STREAM = 32 << 20,  /* bytes of a result that no cache is likely to keep */
    LONG_STRETCH = 1024 /* elements that are worth writing past the caches */
};

static const float SMALLEST = 0x1p-64f, LARGEST = 0x1p64f;

/* A call: what to compute from where to where, and where its parameters are. */
typedef struct {
    ql_layout at;
    ql_cut cut;
    const char *from, *scale;
    const int32_t *zero_point;
    char *to;
    int64_t from_size, to_size, scale_size;
    int32_t qmin, qmax;
    int stream;
    ql_multiply_run *multiply; /* preferred, if not NULL and the scales are fit for it */
    ql_quantize_run *quantize;
    ql_dequantize_run *dequantize, *stream_dequantize; /* the last may be NULL */
} walk;

/* Parameters, ready for runs. */
typedef struct {
    const char *scale;
    const int32_t *zero_point;
    int multiplies; /* whether the next four are in use */
    _Alignas(QL_ALIGNMENT) float reciprocal[ROOM], rest[ROOM], low[ROOM], high[ROOM];
    double own_scale[ROOM]; /* written out; floats if scales are */
    int32_t own_zero_point[ROOM];
} window;

static int64_t size_of(int type) {
    static const int64_t sizes[] = {
        [QL_FLOAT32] = 4, [QL_FLOAT64] = 8, [QL_INT8] = 1, [QL_UINT8] = 1,
        [QL_INT16] = 2,   [QL_UINT16] = 2,  [QL_INT32] = 4};
    return sizes[type];
}

/* Derives what multiplying kernels need; whether the scale is fit for them. */
static inline int derive(float scale, int32_t lowest, int32_t highest, float *reciprocal,
                         float *rest, float *low, float *high) {
    *reciprocal = 1.0f / scale;
    *rest = (float)(1.0 / (double)scale - (double)*reciprocal);
    *low = scale * (float)lowest;
    *high = scale * (float)highest;
    return (scale >= SMALLEST) & (scale <= LARGEST); /* no branch, so that loops vectorize */
}

static void prepare(window *p, const walk *w, const void *scale_, const int32_t *zero_point,
                    int64_t count) {
    const float *scale = scale_;
    const int32_t qmin = w->qmin, qmax = w->qmax;
    p->scale = scale_;
    p->zero_point = zero_point;
    p->multiplies = w->multiply != NULL;
    if (!p->multiplies)
        return;
    int fit = 1;
    for (int64_t i = 0; i < count; i++)
        fit &= derive(scale[i], qmin - zero_point[i], qmax - zero_point[i], p->reciprocal + i,
                      p->rest + i, p->low + i, p->high + i);
    p->multiplies = fit;
}

/* Prepares the parameters from number `first` on as they lie. */
static void prepare_from(window *p, const walk *w, int64_t first, int64_t count) {
    prepare(p, w, w->scale + first * w->scale_size, w->zero_point + first, count);
}

/* Prepares the parameters of `channels` stretches from number `first` on, written out for each
 * element, `repeats` times. */
static void prepare_stretches(window *p, const walk *w, int64_t first, int64_t channels,
                              int64_t repeats) {
    const int64_t inner = w->at.extent[2], period = channels * inner;
    const float *floats = (const float *)w->scale + first;
    const double *doubles = (const double *)w->scale + first;
    for (int64_t channel = 0; channel < channels; channel++)
        for (int64_t i = channel * inner; i < (channel + 1) * inner; i++) {
            if (w->scale_size == sizeof(float))
                ((float *)p->own_scale)[i] = floats[channel];
            else
                p->own_scale[i] = doubles[channel];
            p->own_zero_point[i] = w->zero_point[first + channel];
        }
    for (int64_t i = period; i < repeats * period; i += period) {
        memcpy((char *)p->own_scale + i * w->scale_size, p->own_scale,
               (size_t)(period * w->scale_size));
        memcpy(p->own_zero_point + i, p->own_zero_point, (size_t)period * sizeof(int32_t));
    }
    prepare(p, w, p->own_scale, p->own_zero_point, repeats * period);
}

/* Runs `count` elements from number `first` on with the parameters from number `index` on. */
static void run(const walk *w, int64_t first, int64_t count, const window *p, int64_t index,
                int step) {
    const char *from = w->from + first * w->from_size;
    char *to = w->to + first * w->to_size;
    const char *scale = p->scale + index * w->scale_size;
    const int32_t *zero_point = p->zero_point + index;
    const int stream = w->stream && count >= LONG_STRETCH;
    if (p->multiplies) {
        const ql_reciprocals r = {p->reciprocal + index, p->rest + index,      p->low + index,
                                  p->high + index,       (const float *)scale, zero_point};
        w->multiply((const float *)from, to, count, &r, step ? QL_EACH : QL_SAME, stream);
    } else if (w->quantize != NULL)
        w->quantize(from, to, count, scale, zero_point, step, w->qmin, w->qmax);
    else if (stream && w->stream_dequantize != NULL)
        w->stream_dequantize(from, to, count, scale, zero_point, step);
    else
        w->dequantize(from, to, count, scale, zero_point, step);
}

static int64_t number_of(const walk *w, int64_t outer, int64_t row, int64_t column) {
    return (outer * w->at.extent[1] + row) * w->at.extent[2] + column;
}

/* Per channel, with stretches so short that each element gets a parameter of its own. */
static void walk_short_channels(const walk *w, const ql_part *part, window *p) {
    const int64_t length = w->at.extent[1], inner = w->at.extent[2];
    const int64_t most = WINDOW / inner;
    for (int64_t first = part->first[1]; first < part->limit[1]; first += most) {
        const int64_t channels = ql_min(most, part->limit[1] - first);
        /* Whole periods of channels follow each other without gaps. */
        const int64_t repeats =
            channels == length ? ql_min(most / length, part->limit[0] - part->first[0]) : 1;
        if (inner * repeats == 1)
            prepare_from(p, w, first, channels);
        else
            prepare_stretches(p, w, first, channels, repeats);
        for (int64_t outer = part->first[0]; outer < part->limit[0]; outer += repeats) {
            const int64_t periods = ql_min(repeats, part->limit[0] - outer);
            run(w, number_of(w, outer, first, 0), periods * channels * inner, p, 0, 1);
        }
    }
}

static void walk_channels(const walk *w, const ql_part *part, window *p) {
    const int64_t column = part->first[2], count = part->limit[2] - part->first[2];
    for (int64_t first = part->first[1]; first < part->limit[1]; first += WINDOW) {
        const int64_t limit = ql_min(first + WINDOW, part->limit[1]);
        prepare_from(p, w, first, limit - first);
        for (int64_t outer = part->first[0]; outer < part->limit[0]; outer++)
            for (int64_t channel = first; channel < limit; channel++)
                run(w, number_of(w, outer, channel, column), count, p, channel - first, 0);
    }
}

/* Runs `count` elements that are cut into blocks, each with its parameter from number 0 on. */
static void run_blocks(const walk *w, int64_t first, int64_t count, const window *p) {
    const int64_t block = w->at.block;
    int shift = 4; /* the least that multiplying kernels take several blocks with */
    while (shift < QL_SAME - 1 && (int64_t)1 << shift < block)
        shift++;
    if (p->multiplies && (int64_t)1 << shift == block) {
        const ql_reciprocals r = {p->reciprocal,           p->rest,      p->low, p->high,
                                  (const float *)p->scale, p->zero_point};
        w->multiply((const float *)(w->from + first * w->from_size), w->to + first * w->to_size,
                    count, &r, shift, 0);
        return;
    }
    for (int64_t at = 0; at < count; at += block)
        run(w, first + at, ql_min(block, count - at), p, at / block, 0);
}

/* Blocks along the last axis: stretches that share a parameter. */
static void walk_flat_blocks(const walk *w, const ql_part *part, window *p) {
    const int64_t length = w->at.extent[1], block = w->at.block;
    const int64_t blocks = ql_ceil_div(length, block);
    const int64_t last = ql_ceil_div(part->limit[1], block);
    for (int64_t outer = part->first[0]; outer < part->limit[0]; outer++)
        for (int64_t first = part->first[1] / block; first < last; first += WINDOW) {
            const int64_t limit = ql_min(first + WINDOW, last);
            prepare_from(p, w, outer * blocks + first, limit - first);
            run_blocks(w, outer * length + first * block,
                       ql_min(limit * block, length) - first * block, p);
        }
}

/* Blocks along another axis: rows in which each element has its own parameter. */
static void walk_blocks(const walk *w, const ql_part *part, window *p) {
    const int64_t length = w->at.extent[1], inner = w->at.extent[2], block = w->at.block;
    const int64_t blocks = ql_ceil_div(length, block);
    for (int64_t outer = part->first[0]; outer < part->limit[0]; outer++)
        for (int64_t top = part->first[1]; top < part->limit[1]; top += block)
            for (int64_t column = part->first[2]; column < part->limit[2]; column += WINDOW) {
                const int64_t count = ql_min(WINDOW, part->limit[2] - column);
                prepare_from(p, w, (outer * blocks + top / block) * inner + column, count);
                for (int64_t row = top; row < ql_min(top + block, part->limit[1]); row++)
                    run(w, number_of(w, outer, row, column), count, p, 0, 1);
            }
}

static void walk_chunk(void *w_, long chunk) {
    const walk *w = w_;
    const ql_part part = ql_part_of(&w->at, &w->cut, chunk);
    const int64_t inner = w->at.extent[2];
    window p;
    if (w->at.kind == QL_BLOCKED && inner == 1)
        walk_flat_blocks(w, &part, &p);
    else if (w->at.kind == QL_BLOCKED)
        walk_blocks(w, &part, &p);
    else if (w->at.kind == QL_PER_CHANNEL &&
             (inner == 1 || (inner < SHORT_STRETCH && part.limit[0] - part.first[0] >= OFTEN)))
        walk_short_channels(w, &part, &p);
    else
        walk_channels(w, &part, &p); /* a tensor is one channel */
}

static int walk_all(walk *w) {
    w->cut = ql_cut_layout(&w->at);
    w->stream = ql_elements(&w->at) * w->to_size >= STREAM;
    if (ql_elements(&w->at) > 0)
        ql_run_chunks((long)w->cut.chunks, walk_chunk, w);
    return QL_OK;
}

ql_quantizer ql_quantizer_of(const ql_kernels *kernels, int is_signed, float scale,
                             int32_t zero_point) {
    const int code = (is_signed ? QL_INT8 : QL_UINT8) - QL_INT8;
    const int32_t qmin = is_signed ? -128 : 0, qmax = qmin + 255;
    ql_quantizer q = {.scale = scale, .zero_point = zero_point, .qmin = qmin, .qmax = qmax};
    const int fit = derive(scale, qmin - zero_point, qmax - zero_point, &q.reciprocal, &q.rest,
                           &q.low, &q.high);
    q.multiply = fit ? kernels->multiply_quantize[code] : NULL;
    q.divide = kernels->quantize[QL_FLOAT32][code];
    return q;
}

void ql_quantize_stretch(const ql_quantizer *q, const float *x, void *codes, int64_t count) {
    const ql_reciprocals r = {&q->reciprocal, &q->rest,  &q->low,
                              &q->high,       &q->scale, &q->zero_point};
    if (q->multiply != NULL)
        q->multiply(x, codes, count, &r, QL_SAME, 0);
    else
        q->divide(x, codes, count, &q->scale, &q->zero_point, 0, q->qmin, q->qmax);
}

int ql_quantize(const void *x, int real_type, void *codes, int code_type, const void *scale,
                const int32_t *zero_point, int32_t qmin, int32_t qmax, int kind, int64_t outer,
                int64_t length, int64_t inner, int64_t block) {
    const ql_kernels *kernels = ql_current_kernels();
    const int code = code_type - QL_INT8;
    const int multiplies = real_type == QL_FLOAT32 && size_of(code_type) == 1;
    walk w = {.at = ql_layout_of(kind, outer, length, inner, block),
              .from = x,
              .to = codes,
              .scale = scale,
              .zero_point = zero_point,
              .from_size = size_of(real_type),
              .to_size = size_of(code_type),
              .scale_size = size_of(real_type),
              .qmin = qmin,
              .qmax = qmax,
              .multiply = multiplies ? kernels->multiply_quantize[code] : NULL,
              .quantize = kernels->quantize[real_type][code]};
    return walk_all(&w);
}

int ql_dequantize(const void *codes, int code_type, void *x, int real_type, const void *scale,
                  const int32_t *zero_point, int kind, int64_t outer, int64_t length, int64_t inner,
                  int64_t block) {
    const ql_kernels *kernels = ql_current_kernels();
    const int code = code_type - QL_INT8;
    const int streams = real_type == QL_FLOAT32 && size_of(code_type) == 1;
    walk w = {.at = ql_layout_of(kind, outer, length, inner, block),
              .from = codes,
              .to = x,
              .scale = scale,
              .zero_point = zero_point,
              .from_size = size_of(code_type),
              .to_size = size_of(real_type),
              .scale_size = size_of(real_type),
              .dequantize = kernels->dequantize[real_type][code],
              .stream_dequantize = streams ? kernels->stream_dequantize[code] : NULL};
    return walk_all(&w);
}

int ql_fake_quantize(const void *x, int real_type, void *y, const void *scale,
                     const int32_t *zero_point, int32_t qmin, int32_t qmax, int kind, int64_t outer,
                     int64_t length, int64_t inner, int64_t block) {
    const ql_kernels *kernels = ql_current_kernels();
    const int multiplies = real_type == QL_FLOAT32 && qmax - qmin < 256;
    walk w = {.at = ql_layout_of(kind, outer, length, inner, block),
              .from = x,
              .to = y,
              .scale = scale,
              .zero_point = zero_point,
              .from_size = size_of(real_type),
              .to_size = size_of(real_type),
              .scale_size = size_of(real_type),
              .qmin = qmin,
              .qmax = qmax,
              .multiply = multiplies ? kernels->multiply_fake_quantize : NULL,
              .quantize = kernels->fake_quantize[real_type]};
    return walk_all(&w);
}

/* Products of reals that are quantized on the way: float32 in, int8 inside, any output.
 *
 * Two passes over a. The first takes the range of the tensor, or of each row, and makes a scale and
 * a zero point of it as ONNX's DynamicQuantizeLinear does. The second is the product, whose blocks
 * of rows are quantized where other products copy codes: straight into the panel that the tiles
 * read, so that a never exists in int8. The scales of the rows are factors of the output stage. */
#include "core.h"

#include <math.h>

/* --- ranges --------------------------------------------------------------------------------- */

/* Rows of reals, and the ranges to be taken of them. Every range holds 0. */
typedef struct {
    const ql_kernels *kernels;
    const float *a;
    int64_t rows, columns, stride;
    int64_t chunk_rows;
    int per_row;
    float *scale; /* of each row, where they have ranges of their own */
    int32_t *zero_point;
    float (*ends)[2]; /* of each chunk, where all rows share a range */
    ql_status status;
} ranges;

/* Scale and zero point of data from `lo` to `hi`: quantlib/_arguments/affine.py says the same. */
static int set_parameters(float lo, float hi, float *scale, int32_t *zero_point) {
    if (!isfinite(lo) || !isfinite(hi))
        return QL_NOT_FINITE;
    const float low = lo < 0 ? lo : 0, high = hi > 0 ? hi : 0;
    *scale = 1;
    *zero_point = 0;
    if (low == high)
        return QL_OK;
    *scale = (high - low) / 255;
    if (!isfinite(*scale))
        *scale = (float)((double)high / 255 - (double)low / 255);
    if (*scale < FLT_MIN)
        *scale = FLT_MIN;
    const float round = 12582912.0f; /* 1.5 * 2**23: adding it rounds to an integer */
    const float steps = -low / *scale;
    *zero_point = (int32_t)(((steps < 255 ? steps : 255) + round) - round);
    return QL_OK;
}

static void widen(const ranges *r, int64_t row, int64_t count, float *lo, float *hi) {
    r->kernels->min_max[QL_FLOAT32](r->a + row * r->stride, count, lo, hi, 0);
}

static void range_of_each_row(ranges *r, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        float lo = 0, hi = 0;
        widen(r, row, r->columns, &lo, &hi);
        ql_report(&r->status, set_parameters(lo, hi, r->scale + row, r->zero_point + row));
    }
}

static void range_chunk(void *context, long chunk) {
    ranges *r = context;
    const int64_t first = chunk * r->chunk_rows;
    const int64_t last = ql_min(r->rows, first + r->chunk_rows);
    if (r->per_row) {
        range_of_each_row(r, first, last);
        return;
    }
    float *lo = &r->ends[chunk][0], *hi = &r->ends[chunk][1];
    *lo = *hi = 0;
    if (r->stride == r->columns)
        widen(r, first, (last - first) * r->columns, lo, hi);
    else
        for (int64_t row = first; row < last; row++)
            widen(r, row, r->columns, lo, hi);
}

int ql_dynamic_range(const float *a, int64_t rows, int64_t columns, int64_t stride, int per_row,
                     float *scale, int32_t *zero_point) {
    enum { MOST_CHUNKS = 64, LEAST_ELEMENTS = 64 * 1024 }; /* of a chunk, worth waking a thread */
    float ends[MOST_CHUNKS][2];
    const int64_t worth = columns > 0 ? ql_ceil_div(LEAST_ELEMENTS, columns) : rows;
    ranges r = {.kernels = ql_current_kernels(),
                .a = a,
                .rows = rows,
                .columns = columns,
                .stride = stride,
                .chunk_rows = ql_max(1, ql_max(worth, ql_ceil_div(rows, MOST_CHUNKS))),
                .per_row = per_row,
                .scale = scale,
                .zero_point = zero_point,
                .ends = ends};
    const int64_t chunks = ql_ceil_div(rows, r.chunk_rows);
    ql_run_chunks((long)chunks, range_chunk, &r);
    if (per_row)
        return ql_reported(&r.status);
    float lo = 0, hi = 0;
    r.kernels->min_max[QL_FLOAT32](*ends, 2 * chunks, &lo, &hi, 0);
    return set_parameters(lo, hi, scale, zero_point);
}

/* --- products ------------------------------------------------------------------------------- */

/* Where the rows of a product are quantized from. */
typedef struct {
    const float *a;
    int64_t k, stride;
    const float *scale;
    const int32_t *zero_point;
    int64_t step;
} reals;

/* As numbers of the table: uint8 codes as they are, or made int16, or int8. */
static void quantize_row(const ql_kernels *kernels, const ql_quantizer *quantizer, const float *a,
                         int64_t k, char *to) {
    if (kernels->element_size == 1 && !kernels->left_signed) {
        ql_quantize_stretch(quantizer, a, to, k);
        return;
    }
    uint8_t codes[1024];
    for (int64_t at = 0; at < k; at += (int64_t)sizeof codes) {
        const int64_t count = ql_min(k - at, (int64_t)sizeof codes);
        ql_quantize_stretch(quantizer, a + at, codes, count);
        kernels->load(to + at * kernels->element_size, codes, count,
                      ql_flip(0, kernels->left_signed));
    }
}

static void quantize_rows(const ql_rows *rows, const ql_kernels *kernels, int64_t first,
                          int64_t count, char *panel, int64_t stride, char *scratch) {
    (void)scratch;
    const reals *from = rows->source;
    ql_quantizer quantizer = ql_quantizer_of(kernels, 0, *from->scale, *from->zero_point);
    if (from->step == 0 && from->stride == from->k && stride == from->k * kernels->element_size) {
        quantize_row(kernels, &quantizer, from->a + first * from->k, count * from->k, panel);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = first + i;
        if (from->step)
            quantizer = ql_quantizer_of(kernels, 0, from->scale[row], from->zero_point[row]);
        quantize_row(kernels, &quantizer, from->a + row * from->stride, from->k,
                     panel + i * stride);
    }
}

int ql_dynamic_matmul(const ql_matrix *b, const float *a, int64_t rows, int64_t a_stride,
                      const float *a_scale, const int32_t *a_zero_point, int64_t a_step,
                      const ql_output *output, void *y, int64_t y_stride) {
    const reals from = {a, b->k, a_stride, a_scale, a_zero_point, a_step};
    const int64_t zero_points = a_step ? rows : 1;
    int32_t one;
    int32_t *shifted = &one; /* the zero points as numbers of the table */
    if (zero_points > 1 && (shifted = ql_allocate((size_t)zero_points * 4)) == NULL)
        return QL_NO_MEMORY;
    for (int64_t i = 0; i < zero_points; i++)
        shifted[i] = a_zero_point[i] + ql_shift(0, b->kernels->left_signed);
    const ql_rows source = {.count = rows,
                            .load = quantize_rows,
                            .zero_point = shifted,
                            .zero_point_step = a_step,
                            .source = &from};
    ql_output scaled = *output;
    scaled.row_factor = a_scale;
    scaled.row_step = a_step;
    const int status = ql_product(b, NULL, &source, &scaled, y, y_stride);
    if (shifted != &one)
        ql_release(shifted);
    return status;
}

int ql_dynamic_product(const ql_matrix *b, const float *a, int64_t rows, int64_t a_stride,
                       int per_row, const ql_output *output, void *y, int64_t y_stride) {
    float one_scale;
    int32_t one_zero_point;
    float *scale = &one_scale;
    int32_t *zero_point = &one_zero_point;
    if (per_row) {
        scale = ql_allocate((size_t)rows * 8);
        if (scale == NULL)
            return QL_NO_MEMORY;
        zero_point = (int32_t *)(scale + rows);
    }
    int status = ql_dynamic_range(a, rows, b->k, a_stride, per_row, scale, zero_point);
    if (status == QL_OK)
        status = ql_dynamic_matmul(b, a, rows, a_stride, scale, zero_point, per_row, output, y,
                                   y_stride);
    if (per_row)
        ql_release(scale);
    return status;
}

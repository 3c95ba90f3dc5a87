/* Layers of float32 that stand between products: cut into stretches or rows for the threads. */
#include "core.h"

enum {
    PIECE = 16 * 1024, /* elements that are worth a chunk of their own */
    IN_CACHE = 4 * 1024
};

/* Codes, and what they stand for; or reals, without a kernel. */
typedef struct {
    void *codes;
    ql_quantizer by;
    ql_dequantize_run *dequantize;
} codes;

typedef struct {
    const ql_kernels *kernels;
    const float *x;
    float *y;
    int64_t rows, length, chunk_rows;
    ql_activation_run *run;    /* of elements, or of a softmax's rows */
    const float *scale, *bias; /* of a layer normalization */
    float epsilon;
    const ql_window *window; /* of a local normalization */
    codes from, to;
    ql_status status;
} job;

/* One chunk for each `chunk_rows` rows. */
static int run_rows(job *j, ql_chunk *run) {
    if (j->rows == 0 || j->length == 0)
        return QL_OK;
    j->chunk_rows = PIECE / j->length + 1;
    ql_run_chunks((long)ql_ceil_div(j->rows, j->chunk_rows), run, j);
    return ql_reported(&j->status);
}

static void activate_chunk(void *context, long chunk) {
    const job *j = context;
    const int64_t first = (int64_t)chunk * PIECE;
    j->run(j->x + first, j->y + first, ql_min(PIECE, j->length - first));
}

int ql_activate(int function, const float *x, float *y, int64_t count) {
    job j = {.run = ql_current_kernels()->activation[function], .x = x, .y = y, .length = count};
    ql_run_chunks((long)ql_ceil_div(count, PIECE), activate_chunk, &j);
    return QL_OK;
}

static void softmax_chunk(void *context, long chunk) {
    const job *j = context;
    const int64_t first = chunk * j->chunk_rows;
    for (int64_t row = first; row < ql_min(j->rows, first + j->chunk_rows); row++)
        j->run(j->x + row * j->length, j->y + row * j->length, j->length);
}

int ql_real_softmax(const float *x, float *y, int64_t rows, int64_t length) {
    job j = {
        .run = ql_current_kernels()->real_softmax, .x = x, .y = y, .rows = rows, .length = length};
    return run_rows(&j, softmax_chunk);
}

static void layer_norm_chunk(void *context, long chunk) {
    const job *j = context;
    const int64_t first = chunk * j->chunk_rows;
    for (int64_t row = first; row < ql_min(j->rows, first + j->chunk_rows); row++)
        j->kernels->layer_norm(j->x + row * j->length, j->scale, j->bias, j->y + row * j->length,
                               j->length, j->epsilon);
}

int ql_layer_norm(const float *x, const float *scale, const float *bias, float *y, int64_t rows,
                  int64_t length, float epsilon) {
    job j = {.kernels = ql_current_kernels(),
             .x = x,
             .y = y,
             .rows = rows,
             .length = length,
             .scale = scale,
             .bias = bias,
             .epsilon = epsilon};
    return run_rows(&j, layer_norm_chunk);
}

/* Reads or writes reals, or codes of reals. */
static void dequantize_row(const codes *x, int64_t at, float *reals, int64_t length) {
    if (x->dequantize == NULL)
        memcpy(reals, (const float *)x->codes + at, length * sizeof(float));
    else
        x->dequantize((const char *)x->codes + at, reals, length, &x->by.scale, &x->by.zero_point,
                      0);
}

static void quantize_row(const job *j, const codes *y, const float *reals, int64_t at) {
    if (y->dequantize == NULL)
        memcpy((float *)y->codes + at, reals, j->length * sizeof(float));
    else
        ql_quantize_stretch(&y->by, reals, (char *)y->codes + at, j->length);
}

/* Some rows at a time, side by side in the first cache, with as many zeros between them as a window
 * reaches beyond an end: kernels take them for one row. */
static void local_norm_chunk(void *context, long chunk) {
    job *j = context;
    const ql_window *w = j->window;
    const int64_t first = chunk * j->chunk_rows, limit = ql_min(first + j->chunk_rows, j->rows);
    const int64_t stride = j->length + w->length / 2;
    const int64_t most = ql_min(IN_CACHE / stride + 1, limit - first);
    const int64_t count = ql_ceil_div(most * stride, QL_PIECE) * QL_PIECE;
    const size_t size = (2 * count + w->length) * sizeof(float);
    float *reals = ql_borrow(size);
    if (reals == NULL) {
        ql_report(&j->status, QL_NO_MEMORY);
        return;
    }
    memset(reals, 0, size);
    for (int64_t row = first; row < limit; row += most) {
        const int64_t rows = ql_min(most, limit - row);
        for (int64_t i = 0; i < rows; i++)
            dequantize_row(&j->from, (row + i) * j->length, reals + i * stride, j->length);
        j->kernels->local_norm(reals, count, w->length, w->factor, w->offset, w->power,
                               reals + count);
        for (int64_t i = 0; i < rows; i++)
            quantize_row(j, &j->to, reals + i * stride, (row + i) * j->length);
    }
    ql_return(reals);
}

static int local_norm(codes from, codes to, int64_t rows, int64_t length, const ql_window *window) {
    job j = {.kernels = ql_current_kernels(),
             .from = from,
             .to = to,
             .rows = rows,
             .length = length,
             .window = window};
    return run_rows(&j, local_norm_chunk);
}

int ql_local_norm(const float *x, float *y, int64_t rows, int64_t length, const ql_window *window) {
    return local_norm((codes){.codes = (void *)x}, (codes){.codes = y}, rows, length, window);
}

static codes codes_of(void *x, int is_signed, float scale, int32_t zero_point) {
    const int code = (is_signed ? QL_INT8 : QL_UINT8) - QL_INT8;
    const ql_kernels *kernels = ql_current_kernels();
    return (codes){x, ql_quantizer_of(kernels, is_signed, scale, zero_point),
                   kernels->dequantize[QL_FLOAT32][code]};
}

int ql_local_norm_of_codes(const void *x, int x_signed, float x_scale, int32_t x_zero, void *y,
                           int y_signed, float y_scale, int32_t y_zero, int64_t rows,
                           int64_t length, const ql_window *window) {
    return local_norm(codes_of((void *)x, x_signed, x_scale, x_zero),
                      codes_of(y, y_signed, y_scale, y_zero), rows, length, window);
}

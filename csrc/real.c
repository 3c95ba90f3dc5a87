/* Layers of float32 that stand between products: cut into stretches or rows for the threads. */
#include "core.h"

enum { PIECE = 16 * 1024 }; /* elements that are worth a chunk of their own */

typedef struct {
    const ql_kernels *kernels;
    const float *x;
    float *y;
    int64_t rows, length, chunk_rows;
    ql_activation_run *run;    /* of elements, or of a softmax's rows */
    const float *scale, *bias; /* of a layer normalization */
    float epsilon;
    int64_t window; /* of a local normalization */
    float factor, offset, power;
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

static void local_norm_chunk(void *context, long chunk) {
    job *j = context;
    const int64_t first = chunk * j->chunk_rows;
    const size_t size = (j->length + j->window) * sizeof(float);
    float *squares = ql_borrow(size);
    if (squares == NULL) {
        ql_report(&j->status, QL_NO_MEMORY);
        return;
    }
    memset(squares, 0, size);
    for (int64_t row = first; row < ql_min(j->rows, first + j->chunk_rows); row++)
        j->kernels->local_norm(j->x + row * j->length, j->y + row * j->length, j->length, j->window,
                               j->factor, j->offset, j->power, squares);
    ql_return(squares);
}

int ql_local_norm(const float *x, float *y, int64_t rows, int64_t length, int64_t window,
                  float factor, float offset, float power) {
    job j = {.kernels = ql_current_kernels(),
             .x = x,
             .y = y,
             .rows = rows,
             .length = length,
             .window = window,
             .factor = factor,
             .offset = offset,
             .power = power};
    return run_rows(&j, local_norm_chunk);
}

/* Sums and products of two quantized arrays: cuts the result into runs along its last axis, in
 * which one operand advances with the result and the other does too or stays where it is. */
#include "core.h"

enum { PIECE = 32 * 1024 }; /* elements that are worth a chunk of their own */

typedef struct {
    ql_blend_run *run;
    ql_blend blend;
    const uint8_t *a, *b;
    uint8_t *y;
    int rank;
    const int64_t *extents, *a_steps, *b_steps;
    int64_t rows, length, b_step; /* length: of a row of the result */
    int64_t pieces, chunk_units;  /* a unit is a piece of a row */
} job;

/* Where the row of this number begins in both operands. */
static void find_row(const job *j, int64_t row, const uint8_t **a, const uint8_t **b) {
    *a = j->a;
    *b = j->b;
    for (int axis = j->rank - 2; axis >= 0; axis--) {
        const int64_t index = row % j->extents[axis];
        *a += index * j->a_steps[axis];
        *b += index * j->b_steps[axis];
        row /= j->extents[axis];
    }
}

static void run_chunk(void *context, long chunk) {
    const job *j = context;
    const int64_t first = chunk * j->chunk_units;
    const int64_t last = ql_min(first + j->chunk_units, j->rows * j->pieces);
    for (int64_t unit = first; unit < last; unit++) {
        const int64_t row = unit / j->pieces, start = unit % j->pieces * PIECE;
        const uint8_t *a, *b;
        find_row(j, row, &a, &b);
        j->run(a + start, b + start * j->b_step, (int)j->b_step, j->y + row * j->length + start,
               ql_min(PIECE, j->length - start), &j->blend);
    }
}

/* Both operations are commutative, to the bit, so that the operand that stays can be the second. */
static void swap(job *j) {
    const job old = *j;
    j->a = old.b;
    j->b = old.a;
    j->a_steps = old.b_steps;
    j->b_steps = old.a_steps;
    j->blend.a_flip = old.blend.b_flip;
    j->blend.b_flip = old.blend.a_flip;
    j->blend.a_zero = old.blend.b_zero;
    j->blend.b_zero = old.blend.a_zero;
    j->blend.a_factor = old.blend.b_factor;
    j->blend.b_factor = old.blend.a_factor;
}

static int run_all(job *j) {
    const int last = j->rank - 1;
    if (j->a_steps[last] == 0)
        swap(j);
    j->length = j->extents[last];
    j->b_step = j->b_steps[last];
    j->rows = 1;
    for (int axis = 0; axis < last; axis++)
        j->rows *= j->extents[axis];
    if (j->rows == 0 || j->length == 0)
        return QL_OK;
    j->pieces = ql_ceil_div(j->length, PIECE);
    j->chunk_units = ql_max(1, PIECE / j->length);
    ql_run_chunks((long)ql_ceil_div(j->rows * j->pieces, j->chunk_units), run_chunk, j);
    return QL_OK;
}

static uint8_t flip_of(int is_signed) {
    return is_signed ? 0x80 : 0;
}

/* A code as a number 0 to 255. */
static int32_t number_of(int32_t code, int is_signed) {
    return code + (is_signed ? 128 : 0);
}

int ql_add(const void *a, int a_signed, int32_t a_zero, float a_factor, const void *b, int b_signed,
           int32_t b_zero, float b_factor, void *y, int y_signed, int32_t y_zero, int32_t lower,
           int32_t upper, int rank, const int64_t *extents, const int64_t *a_steps,
           const int64_t *b_steps) {
    job j = {.run = ql_current_kernels()->add,
             .blend = {flip_of(a_signed), flip_of(b_signed), flip_of(y_signed),
                       (float)number_of(a_zero, a_signed), (float)number_of(b_zero, b_signed),
                       a_factor, b_factor, number_of(y_zero, y_signed), number_of(lower, y_signed),
                       number_of(upper, y_signed)},
             .a = a,
             .b = b,
             .y = y,
             .rank = rank,
             .extents = extents,
             .a_steps = a_steps,
             .b_steps = b_steps};
    return run_all(&j);
}

int ql_multiply(const void *a, int a_signed, int32_t a_zero, const void *b, int b_signed,
                int32_t b_zero, float factor, void *y, int y_signed, int32_t y_zero, int32_t lower,
                int32_t upper, int rank, const int64_t *extents, const int64_t *a_steps,
                const int64_t *b_steps) {
    job j = {.run = ql_current_kernels()->multiply,
             .blend = {flip_of(a_signed), flip_of(b_signed), flip_of(y_signed),
                       (float)number_of(a_zero, a_signed), (float)number_of(b_zero, b_signed),
                       factor, factor, number_of(y_zero, y_signed), number_of(lower, y_signed),
                       number_of(upper, y_signed)},
             .a = a,
             .b = b,
             .y = y,
             .rank = rank,
             .extents = extents,
             .a_steps = a_steps,
             .b_steps = b_steps};
    return run_all(&j);
}

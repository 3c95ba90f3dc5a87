/* Sums and products of two quantized arrays: cuts the result into runs along its last axis, in
 * which one operand advances with the result and the other does too or stays where it is. */
#include "core.h"

enum { PIECE = 32 * 1024 }; /* elements that are worth a chunk of their own */

#define TAME 1073741824.0f /* 2**30, below which a real is an int32 */

typedef struct {
    ql_blend_run *run;
    ql_blend blend;
    const uint8_t *a, *b;
    uint8_t *y;
    ql_walk walk;
    int64_t rows, length, b_step; /* length: of a row of the result */
    int64_t pieces, chunk_units;  /* a unit is a piece of a row */
} job;

/* Where the row of this number begins in both operands. */
static void find_row(const job *j, int64_t row, const uint8_t **a, const uint8_t **b) {
    *a = j->a;
    *b = j->b;
    for (int axis = j->walk.rank - 2; axis >= 0; axis--) {
        const int64_t index = row % j->walk.extents[axis];
        *a += index * j->walk.a_steps[axis];
        *b += index * j->walk.b_steps[axis];
        row /= j->walk.extents[axis];
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
    j->walk.a_steps = old.walk.b_steps;
    j->walk.b_steps = old.walk.a_steps;
    j->blend.a_flip = old.blend.b_flip;
    j->blend.b_flip = old.blend.a_flip;
    j->blend.a_zero = old.blend.b_zero;
    j->blend.b_zero = old.blend.a_zero;
    j->blend.a_factor = old.blend.b_factor;
    j->blend.b_factor = old.blend.a_factor;
}

static int run_all(job *j) {
    const int last = j->walk.rank - 1;
    if (j->walk.a_steps[last] == 0)
        swap(j);
    j->length = j->walk.extents[last];
    j->b_step = j->walk.b_steps[last];
    j->rows = 1;
    for (int axis = 0; axis < last; axis++)
        j->rows *= j->walk.extents[axis];
    if (j->rows == 0 || j->length == 0)
        return QL_OK;
    j->pieces = ql_ceil_div(j->length, PIECE);
    j->chunk_units = ql_max(1, PIECE / j->length);
    ql_run_chunks((long)ql_ceil_div(j->rows * j->pieces, j->chunk_units), run_chunk, j);
    return QL_OK;
}

/* A code as a number 0 to 255. */
static int32_t number_of(int32_t code, int is_signed) {
    return code + (is_signed ? 128 : 0);
}

static ql_blend blend_of(const ql_blending *g) {
    return (ql_blend){.a_flip = ql_flip(g->a_signed, 0),
                      .b_flip = ql_flip(g->b_signed, 0),
                      .y_flip = ql_flip(g->y_signed, 0),
                      .a_zero = (float)number_of(g->a_zero, g->a_signed),
                      .b_zero = (float)number_of(g->b_zero, g->b_signed),
                      .a_factor = g->a_factor,
                      .b_factor = g->b_factor,
                      .y_zero = number_of(g->y_zero, g->y_signed),
                      .lower = number_of(g->lower, g->y_signed),
                      .upper = number_of(g->upper, g->y_signed)};
}

int ql_add(const ql_blending *blending, const ql_walk *walk, const void *a, const void *b,
           void *y) {
    job j = {.run = ql_current_kernels()->add,
             .blend = blend_of(blending),
             .a = a,
             .b = b,
             .y = y,
             .walk = *walk};
    j.blend.is_tame = 256.0f * (j.blend.a_factor + j.blend.b_factor) < TAME;
    return run_all(&j);
}

int ql_multiply(const ql_blending *blending, const ql_walk *walk, const void *a, const void *b,
                void *y) {
    job j = {.run = ql_current_kernels()->multiply,
             .blend = blend_of(blending),
             .a = a,
             .b = b,
             .y = y,
             .walk = *walk};
    j.blend.b_factor = j.blend.a_factor; /* whichever operand becomes the second */
    j.blend.is_tame = 256.0f * 256.0f * j.blend.a_factor < TAME;
    return run_all(&j);
}

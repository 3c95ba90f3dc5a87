/* The softmax of rows of codes.
 *
 * The exponential of a code depends on its distance from the row's largest only, so 256 integers
 * hold them all; their sum is exact. What becomes of each is a table of 256 codes, which the kernel
 * that finishes products makes, and the row is looked up in it. */
#include "core.h"

enum {
    CODES = 256,
    CHUNK = 32 * 1024 /* elements that are worth a chunk of their own */
};

typedef struct {
    const ql_kernels *kernels;
    const uint8_t *x;
    uint8_t *y;
    int64_t rows, length, chunk_rows;
    uint8_t flip;
    int32_t powers[2 * CODES]; /* [CODES - 1 - distance], then zeros beyond the largest */
    float y_scale;
    int32_t y_zero, lower, upper;
} job;

static int largest_of(const uint8_t *x, int64_t count, uint8_t flip) {
    uint8_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint8_t number = x[i] ^ flip;
        largest = number > largest ? number : largest;
    }
    return largest;
}

/* The sum of a row's exponentials; `powers` begins at that of the number 0. Four sums, so that
 * they do not wait for each other. */
static int64_t sum_of(const int32_t *powers, const uint8_t *x, int64_t count, uint8_t flip) {
    int64_t sums[4] = {0, 0, 0, 0}, i = 0;
    for (; i + 4 <= count; i += 4)
        for (int lane = 0; lane < 4; lane++)
            sums[lane] += powers[x[i + lane] ^ flip];
    for (; i < count; i++)
        sums[0] += powers[x[i] ^ flip];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

static void run_row(const job *j, const uint8_t *x, uint8_t *y) {
    const int32_t *powers = j->powers + CODES - 1 - largest_of(x, j->length, j->flip);
    const float factor = 1.0f / ((float)sum_of(powers, x, j->length, j->flip) * j->y_scale);
    float same[CODES];
    uint8_t table[CODES];
    for (int i = 0; i < CODES; i++)
        same[i] = factor;
    /* By byte: those of the upper half stand for the lower numbers where codes are signed. */
    for (int half = 0; half < CODES; half += CODES / 2)
        j->kernels->requantize(powers + (half ^ j->flip), CODES / 2, 1, CODES / 2, same, j->y_zero,
                               j->lower, j->upper, table + half, CODES / 2);
    j->kernels->look_up(x, table, y, j->length);
}

static void run_chunk(void *context, long chunk) {
    const job *j = context;
    const int64_t first = chunk * j->chunk_rows;
    for (int64_t row = first; row < ql_min(j->rows, first + j->chunk_rows); row++)
        run_row(j, j->x + row * j->length, j->y + row * j->length);
}

int ql_softmax(const void *x, int x_signed, const int32_t *exponentials, void *y, int64_t rows,
               int64_t length, float y_scale, int32_t y_zero, int32_t lower, int32_t upper) {
    job j = {.kernels = ql_current_kernels(),
             .x = x,
             .y = y,
             .rows = rows,
             .length = length,
             .chunk_rows = CHUNK / (length + CODES) + 1,
             .flip = x_signed ? 0x80 : 0,
             .y_scale = y_scale,
             .y_zero = y_zero,
             .lower = lower,
             .upper = upper};
    for (int distance = 0; distance < CODES; distance++)
        j.powers[CODES - 1 - distance] = exponentials[distance];
    if (length > 0)
        ql_run_chunks((long)ql_ceil_div(rows, j.chunk_rows), run_chunk, &j);
    return QL_OK;
}

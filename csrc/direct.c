/* Products of a few rows with a right operand that is given with the call: multiplied as it lies.
 *
 * Packing would write and read again each byte of an operand that is used only a few times. Instead
 * a few groups of its rows are multiplied at a time, over many columns, so that memory sees a few
 * streams of whole rows; the sums of those columns stay in the cache meanwhile. */
#include "core.h"

enum {
    COLUMNS = 2048,     /* whose sums are kept */
    ROWS_PER_PASS = 16, /* of b in flight: no more streams than a prefetcher follows */
    MOST_DOT = 8
};

/* The sums of one range of columns. */
typedef struct {
    int32_t *sums; /* [row][stride] */
    int64_t stride;
    int32_t *column_sums, *column_terms, *zero_points;
} range;

/* sums = bias, which the products are added to. */
static void start(const range *r, int64_t rows, int64_t columns, const int32_t *bias) {
    memset(r->column_sums, 0, (size_t)r->stride * 4);
    memset(r->sums, 0, (size_t)(rows * r->stride) * 4);
    for (int64_t i = 0; bias != NULL && i < rows; i++)
        memcpy(r->sums + i * r->stride, bias, (size_t)columns * 4);
}

/* The rows of b that make no whole group: copied, with zeros below. */
static void multiply_rest(const ql_kernels *kernels, const ql_operand *b, const uint8_t *a,
                          int64_t a_stride, int64_t rows, const range *r) {
    const int64_t whole = b->k / kernels->dot * kernels->dot;
    uint8_t rest[MOST_DOT * COLUMNS];
    /* The code whose flipped byte is 0. */
    memset(rest, b->is_signed ? 0 : 0x80, (size_t)(kernels->dot * COLUMNS));
    for (int64_t k = whole; k < b->k; k++)
        memcpy(rest + (k - whole) * COLUMNS, b->bytes + k * b->k_stride, (size_t)b->n);
    kernels->direct(a + whole * kernels->element_size, a_stride, rows, 1, rest, COLUMNS, b->n,
                    b->is_signed ? 0 : 0x80, r->sums, r->stride, r->column_sums);
}

static void multiply_range(const ql_kernels *kernels, const ql_operand *b, const uint8_t *a,
                           int64_t a_stride, int64_t rows, const range *r) {
    const int64_t groups = b->k / kernels->dot, together = ROWS_PER_PASS / kernels->dot;
    for (int64_t group = 0; group < groups; group += together)
        kernels->direct(a + group * kernels->dot * kernels->element_size, a_stride, rows,
                        ql_min(together, groups - group),
                        b->bytes + group * kernels->dot * b->k_stride, b->k_stride, b->n,
                        b->is_signed ? 0 : 0x80, r->sums, r->stride, r->column_sums);
    if (groups * kernels->dot < b->k)
        multiply_rest(kernels, b, a, a_stride, rows, r);
}

/* The zero points' terms: see csrc/product.c. */
static void correct_range(const ql_kernels *kernels, const ql_operand *b, const ql_rows *rows,
                          const int32_t *row_sums, const range *r) {
    int32_t a_zero_point[QL_DIRECT_ROWS];
    for (int64_t i = 0; i < rows->count; i++)
        a_zero_point[i] = rows->zero_point[i * rows->zero_point_step];
    for (int64_t j = 0; j < r->stride; j++)
        r->zero_points[j] = j < b->n ? b->zero_points[j] - (b->is_signed ? 0 : 128) : 0;
    for (int64_t j = 0; j < r->stride; j++)
        r->column_terms[j] =
            (int32_t)((uint32_t)r->column_sums[j] - (uint32_t)b->k * (uint32_t)r->zero_points[j]);
    kernels->correct(r->sums, r->stride, rows->count, r->stride, row_sums, r->zero_points,
                     a_zero_point, r->column_terms);
}

int ql_is_direct(const ql_kernels *kernels, const ql_operand *b, int64_t rows) {
    return kernels->direct != NULL && rows <= kernels->direct_rows && b->n_stride == 1;
}

int ql_multiply_directly(const ql_kernels *kernels, const ql_operand *b, const ql_rows *rows,
                         const uint8_t *a, int64_t a_stride, const int32_t *row_sums,
                         const ql_output *output, char *y, int64_t y_stride) {
    const int64_t most = ql_min(COLUMNS, ql_ceil_div(b->n, QL_STRIP) * QL_STRIP);
    int32_t *memory = ql_borrow((size_t)(most * (rows->count + 3)) * 4);
    if (memory == NULL)
        return QL_NO_MEMORY;
    for (int64_t column = 0; column < b->n; column += most) {
        const ql_operand part = ql_operand_from(b, column, ql_min(most, b->n - column));
        const ql_output stage = ql_output_from(output, column);
        const int64_t stride = ql_ceil_div(part.n, QL_STRIP) * QL_STRIP;
        int32_t *columns = memory + rows->count * stride;
        const range r = {memory, stride, columns, columns + stride, columns + 2 * stride};
        start(&r, rows->count, part.n, stage.bias);
        multiply_range(kernels, &part, a, a_stride, rows->count, &r);
        correct_range(kernels, &part, rows, row_sums, &r);
        ql_finish(kernels, &stage, r.sums, stride, 0, rows->count, 0, part.n,
                  y + column * ql_size_of_result(output->type), y_stride);
    }
    ql_return(memory);
    return QL_OK;
}

/* Matrix products: rows that lie in memory, one after the other. */
#include "core.h"

static void load_rows(const ql_rows *rows, const ql_kernels *kernels, int64_t first, int64_t count,
                      char *panel, int64_t stride, char *scratch) {
    (void)scratch;
    const int64_t k = *(const int64_t *)rows->source;
    if (rows->stride == k && stride == k * kernels->element_size) {
        kernels->load(panel, rows->bytes + first * k, count * k, rows->flip);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        kernels->load(panel + i * stride, rows->bytes + (first + i) * rows->stride, k, rows->flip);
}

/* The rows of a product in the terms of ql_product; the zero points go to `shifted`. */
static ql_rows rows_of(const ql_matrix *b, const void *a, int64_t rows, int64_t a_stride,
                       int a_signed, const int32_t *a_zero_point, int64_t a_zero_point_step,
                       int32_t *shifted) {
    const int to_signed = b->kernels->left_signed;
    for (int64_t i = 0; i < (a_zero_point_step ? rows : 1); i++)
        shifted[i] = a_zero_point[i] + ql_shift(a_signed, to_signed);
    return (ql_rows){.count = rows,
                     .load = load_rows,
                     .bytes = a,
                     .stride = a_stride,
                     .flip = ql_flip(a_signed, to_signed),
                     .zero_point = shifted,
                     .zero_point_step = a_zero_point_step,
                     .source = &b->k};
}

/* The product of rows with `b`, or with `operand` packed just in time. */
static int multiply(const ql_matrix *b, const ql_operand *operand, const void *a, int64_t rows,
                    int64_t a_stride, int a_signed, const int32_t *a_zero_point,
                    int64_t a_zero_point_step, const ql_output *output, void *y, int64_t y_stride) {
    int32_t one;
    int32_t *shifted = &one;
    if (a_zero_point_step && (shifted = ql_allocate((size_t)rows * 4)) == NULL)
        return QL_NO_MEMORY;
    const ql_rows left =
        rows_of(b, a, rows, a_stride, a_signed, a_zero_point, a_zero_point_step, shifted);
    const int status = ql_product(b, operand, &left, output, y, y_stride);
    if (shifted != &one)
        ql_release(shifted);
    return status;
}

int ql_matmul(const ql_matrix *b, const void *a, int64_t rows, int64_t a_stride, int a_signed,
              const int32_t *a_zero_point, int64_t a_zero_point_step, const ql_output *output,
              void *y, int64_t y_stride) {
    return multiply(b, NULL, a, rows, a_stride, a_signed, a_zero_point, a_zero_point_step, output,
                    y, y_stride);
}

/* Whether packing panel by panel beats packing all of b first: where all rows are one block, which
 * every panel is multiplied by while it is in the cache. */
static int just_in_time(int64_t rows, int64_t k) {
    enum { MOST_ROWS = 512, MOST_CODES = 1024 * 1024 };
    return rows <= MOST_ROWS && k <= MOST_CODES / ql_max(rows, 1);
}

/* The product with an operand that is narrow enough for rows to be read where they lie. */
static int multiply_narrow(const ql_operand *operand, const void *a, int64_t rows, int64_t a_stride,
                           int a_signed, const int32_t *a_zero_point, int64_t a_zero_point_step,
                           const ql_output *output, void *y, int64_t y_stride) {
    int64_t sums[QL_NARROW];
    int32_t zero_point[QL_NARROW];
    ql_matrix b = ql_matrix_describe(ql_current_kernels(), operand);
    b.sums = sums;
    b.zero_point = zero_point;
    if (ql_narrow_describe(&b, operand) != QL_OK)
        return QL_NO_MEMORY;
    const int status = multiply(&b, NULL, a, rows, a_stride, a_signed, a_zero_point,
                                a_zero_point_step, output, y, y_stride);
    ql_release(b.columns);
    return status;
}

int ql_matmul_once(const void *b, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride,
                   int b_signed, const int32_t *b_zero_points, const void *a, int64_t rows,
                   int64_t a_stride, int a_signed, const int32_t *a_zero_point,
                   int64_t a_zero_point_step, const ql_output *output, void *y, int64_t y_stride) {
    const ql_operand operand = {b, k, n, k_stride, n_stride, b_signed, b_zero_points};
    if (ql_is_narrow(ql_current_kernels(), k, n) && (n == 1 || rows > QL_DIRECT_ROWS))
        return multiply_narrow(&operand, a, rows, a_stride, a_signed, a_zero_point,
                               a_zero_point_step, output, y, y_stride);
    if (just_in_time(rows, k)) {
        const ql_matrix described = ql_matrix_describe(ql_current_kernels(), &operand);
        return multiply(&described, &operand, a, rows, a_stride, a_signed, a_zero_point,
                        a_zero_point_step, output, y, y_stride);
    }
    ql_matrix *packed = ql_matrix_pack(b, k, n, k_stride, n_stride, b_signed, b_zero_points);
    if (packed == NULL)
        return QL_NO_MEMORY;
    const int status = multiply(packed, NULL, a, rows, a_stride, a_signed, a_zero_point,
                                a_zero_point_step, output, y, y_stride);
    ql_matrix_free(packed);
    return status;
}
